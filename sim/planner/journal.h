// A search's results on disk, so that a search that was cut goes on where it stopped.
//
// One line each, appended as they come and synced: a checksum of the rest of the line in 16 hex digits, the task, its result. The first
// line names the search: the checksum of everything its inputs say, and the program's. A kill at any byte leaves whole lines and at most
// one that is not: reading ends at the first line whose checksum is wrong, and what follows is cut off.
//
//   SearchJournal journal("plan.journal", {scenario.content, program});
//   if (const std::string* known = journal.find(task)) ...
//   else journal.add(task, result);
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sim/planner/search_result.h"

namespace trillion {

// What results depend on.
struct JournalKey {
  std::uint64_t inputs = 0;   // Scenario::content, the seed and how it is simulated
  std::uint64_t program = 0;  // another build may come to other results
};

class SearchJournal {
 public:
  // Creates the file and its folders. Throws InputError: it cannot be written, another search is writing it, it belongs to other inputs or
  // to another build, it is no journal at all.
  SearchJournal(const std::string& path, const JournalKey& key);
  ~SearchJournal();
  SearchJournal(const SearchJournal&) = delete;
  SearchJournal& operator=(const SearchJournal&) = delete;

  std::size_t size() const { return results_.size(); }
  const std::string* find(const SearchTask& task) const;
  // On disk when it returns. Throws InputError where the disk is full.
  void add(const std::vector<SearchTask>& tasks, const std::vector<std::string>& results);

 private:
  void read(const JournalKey& key);
  void append(const std::string& lines);

  std::string path_;
  int file_ = -1;
  std::map<SearchTask, std::string> results_;
};

}  // namespace trillion
