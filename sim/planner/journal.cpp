#include "sim/planner/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>

#include "sim/base/checksum.h"
#include "sim/base/error.h"

namespace trillion {

namespace {

constexpr std::string_view kFormat = "trillion.journal/1";

std::string hex(std::uint64_t value) {
  std::string text(16, '0');
  for (std::size_t i = text.size(); i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15];
  return text;
}

std::string line_of(std::string_view text) {
  Checksum sum;
  sum.add(text);
  return hex(sum.value()) + " " + std::string(text) + "\n";
}

// What a whole line says; empty where its checksum is wrong.
std::optional<std::string_view> said_by(std::string_view line) {
  if (line.size() < 17 || line[16] != ' ') return std::nullopt;
  const std::string_view text = line.substr(17);
  Checksum sum;
  sum.add(text);
  return line.substr(0, 16) == hex(sum.value()) ? std::optional(text) : std::nullopt;
}

std::string first_line(const JournalKey& key) {
  return line_of(std::string(kFormat) + " inputs " + hex(key.inputs) + " program " + hex(key.program));
}

[[noreturn]] void refuse(const std::string& path, const std::string& why, const std::string& hint = {}) {
  throw InputError(Diagnostic{{}, path + ": " + why, {}, hint});
}

}  // namespace

SearchJournal::SearchJournal(const std::string& path, const JournalKey& key) : path_(path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file_ < 0) refuse(path, std::string("cannot be written: ") + std::strerror(errno));
  try {
    if (::flock(file_, LOCK_EX | LOCK_NB) != 0) refuse(path, "another search is writing this journal");
    read(key);
  } catch (...) {
    ::close(file_);
    throw;
  }
}

SearchJournal::~SearchJournal() { ::close(file_); }

void SearchJournal::read(const JournalKey& key) {
  std::string bytes;
  std::array<char, 1 << 16> buffer{};
  for (ssize_t got = 0; (got = ::read(file_, buffer.data(), buffer.size())) != 0;) {
    if (got < 0) refuse(path_, std::string("cannot be read: ") + std::strerror(errno));
    bytes.append(buffer.data(), static_cast<std::size_t>(got));
  }
  const std::string first = first_line(key);
  if (bytes.size() < first.size() && first.starts_with(bytes)) {  // new, or cut while it began
    if (::ftruncate(file_, 0) != 0) refuse(path_, std::string("cannot be written: ") + std::strerror(errno));
    return append(first);
  }
  if (!bytes.starts_with(first)) {
    const auto found = said_by(std::string_view(bytes).substr(0, bytes.find('\n')));
    if (!found || !found->starts_with(kFormat)) refuse(path_, "is no journal of a search", "name another file");
    const bool same_inputs = found->find(" inputs " + hex(key.inputs) + " ") != std::string_view::npos;
    refuse(path_,
           same_inputs ? "was written by another build of trillion, whose results may differ"
                       : "was written for other inputs: the scenario, a file that it names or an override has changed",
           "remove it, or name another file");
  }
  std::size_t good = first.size();
  for (std::size_t end = 0; (end = bytes.find('\n', good)) != std::string::npos; good = end + 1) {
    const auto text = said_by(std::string_view(bytes).substr(good, end - good));
    const std::size_t tab = text ? text->find('\t') : std::string_view::npos;
    if (tab == std::string_view::npos) break;
    const auto task = task_of_text(text->substr(0, tab));
    if (!task) break;
    results_.insert_or_assign(*task, std::string(text->substr(tab + 1)));
  }
  if (good < bytes.size() && ::ftruncate(file_, static_cast<off_t>(good)) != 0) {
    refuse(path_, std::string("cannot be written: ") + std::strerror(errno));
  }
}

const std::string* SearchJournal::find(const SearchTask& task) const {
  const auto found = results_.find(task);
  return found == results_.end() ? nullptr : &found->second;
}

void SearchJournal::add(const std::vector<SearchTask>& tasks, const std::vector<std::string>& results) {
  CHECK(tasks.size() == results.size());
  std::string lines;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    lines += line_of(to_text(tasks[i]) + "\t" + results[i]);
    results_.insert_or_assign(tasks[i], results[i]);
  }
  append(lines);
}

void SearchJournal::append(const std::string& lines) {
  for (std::size_t at = 0; at < lines.size();) {
    const ssize_t wrote = ::write(file_, lines.data() + at, lines.size() - at);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) refuse(path_, std::string("cannot be written: ") + std::strerror(errno));
    at += static_cast<std::size_t>(wrote);
  }
  if (::fdatasync(file_) != 0) refuse(path_, std::string("cannot be synced: ") + std::strerror(errno));
}

}  // namespace trillion
