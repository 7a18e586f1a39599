// The grammar of schedules: text to value and back.
#include <algorithm>
#include <charconv>
#include <tuple>
#include <utility>

#include "sim/base/error.h"
#include "sim/workload/schedule.h"

namespace trillion {
namespace {

constexpr std::int32_t kLargestNumber = 999'999;
constexpr const char* kAccepted =
    "accepted: <stage><kind><micro-batch> with kind F (forward), B (backward), I (input gradient) or W (weight gradient), such as "
    "2F0, or an overlapped pair of a forward and a backward, such as (1F3;2B0)";
constexpr std::string_view kPairSuffix = "OVERLAP_F_B";

char letter(ActionKind kind) {
  switch (kind) {
    case ActionKind::forward: return 'F';
    case ActionKind::backward: return 'B';
    case ActionKind::input_gradient: return 'I';
    case ActionKind::weight_gradient: return 'W';
  }
  CHECK(false, "unknown kind of pass");
}

std::string to_text(const Pass& pass) { return std::to_string(pass.stage) + letter(pass.kind) + std::to_string(pass.micro_batch); }

// A pass and where the user wrote it.
struct WrittenPass {
  Pass pass;
  int line = 0, column = 0;
};

// Reads one line: a rank's actions.
class LineReader {
 public:
  LineReader(std::string_view line, int number, const std::string& file) : line_(line), number_(number), file_(file) {}

  std::vector<Action> actions(std::vector<WrittenPass>& passes) {
    std::vector<Action> found;
    for (skip_blanks(); at_ < line_.size(); skip_blanks()) {
      if (line_[at_] != ',') {
        found.push_back(action(passes));
        skip_blanks();
        if (at_ < line_.size() && line_[at_] != ',') fail(at_, "expected a comma between actions", kAccepted);
      }
      ++at_;  // the comma; nothing between two commas is an idle cell
    }
    if (found.empty()) fail(0, "this rank has no action", "every pipeline rank runs at least one stage; leave the line out");
    return found;
  }

  [[noreturn]] void fail(std::size_t at, std::string message, std::string hint) const {
    throw InputError({{file_, number_, static_cast<int>(at) + 1}, std::move(message), std::string(line_), std::move(hint)});
  }

 private:
  void skip_blanks() {
    while (at_ < line_.size() && (line_[at_] == ' ' || line_[at_] == '\t' || line_[at_] == '"')) ++at_;
  }

  bool take(char c) {
    skip_blanks();
    if (at_ == line_.size() || line_[at_] != c) return false;
    ++at_;
    return true;
  }

  Action action(std::vector<WrittenPass>& passes) {
    if (!take('(')) return {pass(passes), {}};
    const std::size_t start = at_;
    Action pair{pass(passes), {}};
    if (!take(';')) fail(at_, "expected ';' between the two passes of an overlapped pair", kAccepted);
    pair.second = pass(passes);
    if (!take(')')) fail(at_, "expected ')' after an overlapped pair", kAccepted);
    if (line_.substr(at_, kPairSuffix.size()) == kPairSuffix) at_ += kPairSuffix.size();
    if (pair.first.kind != ActionKind::forward || pair.second->kind != ActionKind::backward) {
      fail(start, "an overlapped pair is a forward and a whole backward, in this order", "such as (1F3;2B0)");
    }
    return pair;
  }

  Pass pass(std::vector<WrittenPass>& passes) {
    skip_blanks();
    const std::size_t start = at_;
    Pass found;
    found.stage = number(start);
    found.kind = kind(start);
    found.micro_batch = number(start);
    passes.push_back({found, number_, static_cast<int>(start) + 1});
    return found;
  }

  ActionKind kind(std::size_t start) {
    const auto is_letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; };
    const std::size_t first = at_;
    while (at_ < line_.size() && is_letter(line_[at_])) ++at_;
    const std::string_view word = line_.substr(first, at_ - first);
    if (word == "F") return ActionKind::forward;
    if (word == "B") return ActionKind::backward;
    if (word == "I") return ActionKind::input_gradient;
    if (word == "W") return ActionKind::weight_gradient;
    if (word.empty()) fail(start, "not an action", kAccepted);
    fail(first, "unknown kind of action '" + std::string(word) + "'",
         std::string(kAccepted) + "; sends, receives and sharding follow from the order and are not written");
  }

  std::int32_t number(std::size_t start) {
    std::int32_t value = 0;
    const char* const begin = line_.data() + at_;
    const auto [end, error] = std::from_chars(begin, line_.data() + line_.size(), value);
    if (error == std::errc::result_out_of_range || value > kLargestNumber) {
      fail(at_, "number too large", "stages and micro-batches count from 0 to " + std::to_string(kLargestNumber));
    }
    if (error != std::errc{} || value < 0) fail(start, "not an action", kAccepted);
    at_ += static_cast<std::size_t>(end - begin);
    return value;
  }

  std::string_view line_;
  int number_;
  const std::string& file_;
  std::size_t at_ = 0;
};

// Calls read(line, number) for every line that is not blank.
template <class Read>
void for_each_line(std::string_view text, const Read& read) {
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") != std::string_view::npos) read(line, number);
  }
}

// Every stage of every micro-batch has F and either B or both I and W, each once.
class CompletenessCheck {
 public:
  CompletenessCheck(std::vector<WrittenPass> passes, const std::string& file) : passes_(std::move(passes)), file_(file) {
    const auto key = [](const WrittenPass& p) { return std::tuple(p.pass.micro_batch, p.pass.stage, p.pass.kind, p.line, p.column); };
    std::sort(passes_.begin(), passes_.end(), [&](const WrittenPass& a, const WrittenPass& b) { return key(a) < key(b); });
  }

  void run(std::int32_t stages) const {
    std::size_t at = 0;
    // The number of micro-batches is one more than the largest, so the walk ends after at most as many chunks as there are passes.
    for (std::int32_t micro_batch = 0; at < passes_.size(); ++micro_batch) {
      for (std::int32_t stage = 0; stage < stages; ++stage) at = check_chunk(at, stage, micro_batch);
    }
  }

 private:
  // passes_[at ...] that belong to this chunk; the index after them.
  std::size_t check_chunk(std::size_t at, std::int32_t stage, std::int32_t micro_batch) const {
    bool has[4] = {false, false, false, false};
    std::size_t end = at;
    for (; end < passes_.size() && passes_[end].pass.stage == stage && passes_[end].pass.micro_batch == micro_batch; ++end) {
      bool& seen = has[static_cast<std::size_t>(passes_[end].pass.kind)];
      if (seen) fail(passes_[end], to_text(passes_[end].pass) + " is scheduled twice", "the first one is " + place(passes_[end - 1]));
      seen = true;
    }
    const auto [forward, whole, input, weight] = has;
    const WrittenPass& nearest = passes_[std::min(at, passes_.size() - 1)];
    const auto name = [&](ActionKind kind) { return to_text(Pass{kind, stage, micro_batch}); };
    if (!forward) fail(nearest, name(ActionKind::forward) + " is missing", complete_hint());
    if (whole && (input || weight)) {
      fail(nearest, name(ActionKind::backward) + " already contains the split backward that is scheduled too", complete_hint());
    }
    if (!whole && !input)
      fail(nearest, name(input || weight ? ActionKind::input_gradient : ActionKind::backward) + " is missing", complete_hint());
    if (!whole && !weight) fail(nearest, name(ActionKind::weight_gradient) + " is missing", complete_hint());
    return end;
  }

  static std::string complete_hint() { return "every stage runs F and either B, or I and W, once for every micro-batch"; }
  static std::string place(const WrittenPass& p) { return "in line " + std::to_string(p.line) + ", column " + std::to_string(p.column); }
  [[noreturn]] void fail(const WrittenPass& at, std::string message, std::string hint) const {
    throw InputError({{file_, at.line, at.column}, std::move(message), {}, std::move(hint)});
  }

  std::vector<WrittenPass> passes_;
  const std::string& file_;
};

}  // namespace

std::string to_text(const Action& action) {
  if (!action.second) return to_text(action.first);
  return "(" + to_text(action.first) + ";" + to_text(*action.second) + ")";
}

std::string to_text(const PipelineSchedule& schedule) {
  std::string text;
  for (const auto& actions : schedule.ranks) {
    const char* separator = "";
    for (const Action& action : actions) {
      text += separator + to_text(action);
      separator = ",";
    }
    text += '\n';
  }
  return text;
}

PipelineSchedule parse_schedule(std::string_view text, const std::string& file) {
  PipelineSchedule schedule{0, 0, {}};
  std::vector<WrittenPass> passes;
  for_each_line(text, [&](std::string_view line, int number) { schedule.ranks.push_back(LineReader(line, number, file).actions(passes)); });
  if (passes.empty()) throw InputError({{file, 0, 0}, "the schedule has no action", {}, kAccepted});
  for (const WrittenPass& written : passes) {
    schedule.stages = std::max(schedule.stages, written.pass.stage + 1);
    schedule.micro_batches = std::max(schedule.micro_batches, written.pass.micro_batch + 1);
  }
  CompletenessCheck(std::move(passes), file).run(schedule.stages);
  return schedule;
}

}  // namespace trillion
