// A search's results on disk. The algebra:
//   memory   what was added is found by whoever opens the journal next
//   kills    cut at any byte, or with any byte wrong, it holds a prefix of what was added, and can be added to again
//   resumed  a search that goes on from any prefix ends with the same ranking, to the bit
//   refused  other inputs, another build, a file that is no journal, a journal in use: said, and left as it is
#include "sim/planner/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "sim/base/error.h"
#include "sim/planner/plan_search.h"
#include "tests/support/linear_machine.h"

namespace trillion::journal_test {
namespace {

using namespace testing_support;
using testing::HasSubstr;

constexpr JournalKey kKey{17, 4};
const std::vector<SearchTask> kTasks = {
    {SearchTask::What::screen, 0}, {SearchTask::What::screen, 12}, {SearchTask::What::simulate, 3}, {SearchTask::What::simulate, 40}};
const std::vector<std::string> kResults = {"misfit 1p+3", "timed 1p+1 1p+2 1p+3", "misfit", "some other words"};

class Journal : public testing::Test {
 protected:
  Journal() : path_(testing::TempDir() + "journal-of-" + testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove(path_);
  }
  ~Journal() override { std::filesystem::remove(path_); }
  std::string bytes() const {
    std::ostringstream text;
    text << std::ifstream(path_, std::ios::binary).rdbuf();
    return text.str();
  }
  void write(const std::string& text) const { std::ofstream(path_, std::ios::binary) << text; }
  std::string refusal(const JournalKey& key) const {
    try {
      SearchJournal journal(path_, key);
    } catch (const InputError& error) {
      return error.what();
    }
    return "accepted";
  }
  std::string path_;
};

TEST_F(Journal, RemembersWhatWasAdded) {
  { SearchJournal(path_, kKey).add(kTasks, kResults); }
  const SearchJournal again(path_, kKey);
  ASSERT_EQ(again.size(), kTasks.size());
  for (std::size_t i = 0; i < kTasks.size(); ++i) EXPECT_EQ(*again.find(kTasks[i]), kResults[i]);
  EXPECT_EQ(again.find({SearchTask::What::screen, 3}), nullptr);
}

TEST_F(Journal, SurvivesAKillAtAnyByte) {
  { SearchJournal(path_, kKey).add(kTasks, kResults); }
  const std::string whole = bytes();
  for (std::size_t length = 0; length <= whole.size(); ++length) {
    write(whole.substr(0, length));
    std::size_t held = 0;
    {
      SearchJournal cut(path_, kKey);
      held = cut.size();
      for (std::size_t i = 0; i < kTasks.size(); ++i) {
        ASSERT_EQ(cut.find(kTasks[i]) != nullptr, i < held) << length;
        if (i < held) {
          ASSERT_EQ(*cut.find(kTasks[i]), kResults[i]);
        }
      }
      cut.add({kTasks.begin() + static_cast<std::ptrdiff_t>(held), kTasks.end()},
              {kResults.begin() + static_cast<std::ptrdiff_t>(held), kResults.end()});
    }
    ASSERT_EQ(bytes(), whole) << length;
  }
}

TEST_F(Journal, AWrongByteEndsIt) {
  { SearchJournal(path_, kKey).add(kTasks, kResults); }
  const std::string whole = bytes();
  const std::size_t first = whole.find('\n') + 1;
  for (std::size_t at = first; at < whole.size(); ++at) {
    std::string wrong = whole;
    wrong[at] = static_cast<char>(wrong[at] ^ 1);
    write(wrong);
    const SearchJournal cut(path_, kKey);
    ASSERT_LT(cut.size(), kTasks.size()) << at;
    for (std::size_t i = 0; i < cut.size(); ++i) ASSERT_EQ(*cut.find(kTasks[i]), kResults[i]);
  }
}

TEST_F(Journal, OtherInputsAreRefusedAndNothingIsLost) {
  { SearchJournal(path_, kKey).add(kTasks, kResults); }
  const std::string whole = bytes();
  EXPECT_THAT(refusal({18, 4}), HasSubstr("other inputs"));
  EXPECT_THAT(refusal({17, 5}), HasSubstr("another build"));
  EXPECT_EQ(bytes(), whole);
  write("name: my cluster\n");
  EXPECT_THAT(refusal(kKey), HasSubstr("no journal"));
  EXPECT_EQ(bytes(), "name: my cluster\n");
}

TEST_F(Journal, TwoSearchesDoNotShareOne) {
  const SearchJournal first(path_, kKey);
  EXPECT_THAT(refusal(kKey), HasSubstr("another search is writing"));
}

std::vector<std::string> ranking(const Scenario& s, const std::string& path, std::size_t most_tasks) {
  SearchJournal journal(path, kKey);
  PlanSearch search(s, {.keep = 3});
  std::size_t performed = 0;
  for (auto tasks = search.next(); !tasks.empty(); tasks = search.next()) {
    for (const SearchTask& task : tasks) {
      const std::string* known = journal.find(task);
      if (!known && performed++ == most_tasks) return {};
      const std::string result = known ? *known : search.perform(task);
      if (!known) journal.add({task}, {result});
      search.take(task, result);
    }
  }
  std::vector<std::string> out;
  for (const Ranked& r : search.ranked())
    out.push_back(std::to_string(r.index) + " " + to_text(Simulated{SimulatedLayout{r.step, r.peak_memory}}));
  return out;
}

TEST_F(Journal, ResumedSearchesEndTheSame) {
  Scenario s = linear_scenario(dense_model(8), {}, 1, 32);
  s.search.micro_batch_size = std::vector<std::int64_t>{1};
  s.search.tensor_parallel = std::vector<std::int64_t>{1, 2};
  s.search.overlap_parameter_gather = std::vector<bool>{false};
  const std::vector<std::string> whole = ranking(s, path_, 1000000);
  ASSERT_GT(whole.size(), 3u);
  for (const std::size_t cut : {1u, 5u, 20u}) {
    std::filesystem::remove(path_);
    EXPECT_TRUE(ranking(s, path_, cut).empty());
    EXPECT_EQ(ranking(s, path_, 1000000), whole);
  }
}

}  // namespace
}  // namespace trillion::journal_test
