#include "sim/report/chrome_trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>

namespace trillion {

namespace {

// Threads are numbered in the order in which a viewer shall show them. What a thread shows must not overlap, so the parts of blocks
// that are exchanges have a thread of their own.
constexpr int kActions = 1, kSections = 2, kExchanges = 3, kFirstStream = 4;

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

class Writer {
 public:
  Writer() { text_ = "{\"schemaVersion\": 1, \"displayTimeUnit\": \"ms\", \"traceEvents\": [\n"; }

  void name(const char* what, std::int64_t process, int thread, std::string_view name) {
    begin();
    fmt::format_to(std::back_inserter(text_), R"({{"ph":"M","name":"{}","pid":{},"tid":{},"args":{{"name":"{}"}}}})", what, process, thread,
                   escaped(name));
  }

  struct Event {
    const char* category;
    std::string_view name;
    std::int64_t process;
    int thread;
    SimTime start, end;
    std::string arguments;  // JSON members, may be empty
  };
  void event(const Event& e) {
    begin();
    fmt::format_to(std::back_inserter(text_),
                   R"({{"ph":"X","cat":"{}","name":"{}","pid":{},"tid":{},"ts":{:.6f},"dur":{:.6f},"args":{{{}}}}})", e.category,
                   escaped(e.name), e.process, e.thread, microseconds(e.start), microseconds(e.end - e.start), e.arguments);
  }

  std::string finish() && {
    text_ += "\n]}\n";
    return std::move(text_);
  }

 private:
  static double microseconds(SimTime t) { return static_cast<double>(t.picoseconds()) * 1e-6; }
  void begin() {
    if (!first_) text_ += ",\n";
    first_ = false;
  }

  std::string text_;
  bool first_ = true;
};

class RankWriter {
 public:
  RankWriter(Writer& out, const TracedStep& step, std::int32_t rank)
      : out_(out), step_(step), rank_(rank), gpu_(rank * step.lowered.replicas) {}

  void write(const std::string& gpu_name) {
    const std::int64_t process = rank_;
    out_.name("process_name", process, 0, gpu_name + ", pipeline rank " + std::to_string(rank_));
    out_.name("thread_name", process, kActions, "schedule");
    out_.name("thread_name", process, kSections, "parts of blocks");
    out_.name("thread_name", process, kExchanges, "exchanges");
    actions();
    sections();
    const auto& streams = step_.lowered.streams[static_cast<std::size_t>(gpu_)];
    for (std::size_t lane = 0; lane < streams.size(); ++lane) {
      if (step_.lowered.graph.tasks_of(streams[lane]).empty()) continue;
      const int thread = kFirstStream + static_cast<int>(lane);
      out_.name("thread_name", process, thread, "stream " + std::to_string(lane) + " " + std::string(kLaneNames[lane]));
      for (const TaskId task : step_.lowered.graph.tasks_of(streams[lane])) kernel(task, thread);
    }
  }

 private:
  void actions() {
    for (const ActionSpan& span : step_.lowered.spans) {
      if (span.gpu != gpu_) continue;
      const Action& action = step_.prepared.schedule.ranks[static_cast<std::size_t>(rank_)][static_cast<std::size_t>(span.position)];
      annotate(to_text(action), kActions, span.first, span.end, Lane::compute);
    }
    const TaskId end{static_cast<std::uint32_t>(step_.lowered.graph.task_count())};
    annotate("optimizer", kActions, step_.lowered.step_end, end, Lane::compute);
  }

  void sections() {
    for (const Section& section : step_.lowered.sections) {
      if (section.gpu == gpu_) {
        annotate(section.name, section.lane == Lane::compute ? kSections : kExchanges, section.first, section.end, section.lane);
      }
    }
  }

  // From the first to the last of the tasks that run on this GPU's `lane`; a section whose tasks lie elsewhere is not shown.
  void annotate(const std::string& name, int thread, TaskId first, TaskId end, Lane lane) {
    const StreamId stream = step_.lowered.streams[static_cast<std::size_t>(gpu_)][static_cast<std::size_t>(lane)];
    SimTime from, to;
    bool found = false;
    for (std::uint32_t t = first.value; t < end.value; ++t) {
      if (step_.lowered.graph.stream_of(TaskId{t}) != stream) continue;
      if (!found) from = step_.trace.start[t];
      to = step_.trace.end[t];
      found = true;
    }
    if (found) out_.event({"gpu_user_annotation", name, rank_, thread, from, to, {}});
  }

  void kernel(TaskId task, int thread) {
    const TaskKind& kind = step_.lowered.graph.kind_of(task);
    const Evidence& evidence = step_.lowered.evidence[step_.lowered.graph.kind_id_of(task).value];
    std::string arguments;
    if (evidence.work.value() > 0) arguments = fmt::format(R"("GFLOP":{:.3f})", evidence.work.value() * 1e-9);
    const double bytes = (evidence.wire.nic + evidence.wire.nvlink).value();
    if (bytes > 0) arguments += fmt::format(R"({}"MB on the wire":{:.3f})", arguments.empty() ? "" : ",", bytes * 1e-6);
    const char* category = is_communication(static_cast<Category>(kind.tag)) ? "communication" : "kernel";
    out_.event({category, kind.label, rank_, thread, step_.trace.start[task.value], step_.trace.end[task.value], arguments});
  }

  Writer& out_;
  const TracedStep& step_;
  std::int32_t rank_, gpu_;
};

}  // namespace

std::string chrome_trace(const Scenario& scenario, const TracedStep& step, const std::vector<std::int64_t>& ranks) {
  Writer out;
  const auto all = static_cast<std::int32_t>(step.lowered.streams.size()) / step.lowered.replicas;
  for (std::int32_t rank = 0; rank < all; ++rank) {
    if (!ranks.empty() && std::find(ranks.begin(), ranks.end(), rank) == ranks.end()) continue;
    const std::int64_t number = rank * step.lowered.folding.replicas + step.lowered.folding.classes.front().replica;
    RankWriter(out, step, rank).write(scenario.cluster.gpu.name + " " + std::to_string(number));
  }
  return std::move(out).finish();
}

}  // namespace trillion
