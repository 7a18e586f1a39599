// Graphs and timelines as text, so that a test reads like the drawing one would make of it.
//
//   link nic=2                                  a link that carries 2 bytes per picosecond
//   compute: a(3) b(2)<a,x                      stream "compute": a takes 3 ps; b takes 2 ps and depends on a and x
//   comm:    x(4)[nic:16,nvl:1]<a y(0)@r        x moves 16 bytes over nic and 1 over nvl; y takes part in rendezvous r
//   compute%gpu: k(4){kernel:0.5}               on device "gpu"; k is a kernel that runs at half its pace beside a transfer
//
// Names of tasks are unique in a graph and become the label of their kind. A task may name one that stands further down:
// tasks are added in an order that respects dependencies and streams.
#pragma once

#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "sim/engine/engine.h"

namespace trillion::test {

struct TextTask {
  std::string name, duration, rendezvous, side;
  std::vector<std::string> dependencies;
  std::vector<std::pair<std::string, double>> links;
};

inline std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

// "x(4)[nic:16,nvl:1]<a,b@r"; the parts after the name in any order.
inline TextTask parse_task(const std::string& token) {
  TextTask task;
  const std::string marks = "([<@{";
  std::size_t at = token.find_first_of(marks);
  if (at == std::string::npos) throw std::invalid_argument("a task needs a duration: " + token);
  task.name = token.substr(0, at);
  while (at < token.size()) {
    const char mark = token[at];
    const char close = mark == '(' ? ')' : mark == '[' ? ']' : mark == '{' ? '}' : '\0';
    const std::size_t end = close != '\0' ? token.find(close, at) : std::min(token.find_first_of(marks, at + 1), token.size());
    const std::string body = token.substr(at + 1, end - at - 1);
    if (mark == '(') task.duration = body;
    if (mark == '{') task.side = body;
    if (mark == '@') task.rendezvous = body;
    if (mark == '<') task.dependencies = split(body, ',');
    if (mark == '[') {
      for (const std::string& use : split(body, ',')) {
        const auto parts = split(use, ':');
        task.links.emplace_back(parts.at(0), std::stod(parts.at(1)));
      }
    }
    at = close != '\0' ? end + 1 : end;
  }
  return task;
}

struct TextGraph {
  TaskGraph graph;
  std::map<std::string, TaskId> tasks;
  std::map<std::string, StreamId> streams;
  std::map<std::string, LinkId> links;
};

class TextGraphReader {
 public:
  explicit TextGraphReader(const std::string& text) {
    std::istringstream in(text);
    for (std::string token; in >> token;) {
      if (token == "link") {
        in >> token;
        const auto parts = split(token, '=');
        result_.links[parts.at(0)] = result_.graph.add_link(parts.at(0), BytesPerSecond{std::stod(parts.at(1)) * 1e12});
      } else if (token.back() == ':') {
        token.pop_back();
        const auto parts = split(token, '%');
        DeviceId device;
        if (parts.size() > 1) {
          const auto [it, added] = devices_.try_emplace(parts[1]);
          if (added) it->second = result_.graph.add_device();
          device = it->second;
        }
        result_.streams[parts[0]] = result_.graph.add_stream(parts[0], device);
        pending_.emplace_back();
      } else {
        pending_.back().push_back(parse_task(token));
      }
    }
    next_.assign(pending_.size(), 0);
  }

  TextGraph read() {
    for (bool progress = true; progress;) {
      progress = false;
      for (std::size_t s = 0; s < pending_.size(); ++s) {
        while (next_[s] < pending_[s].size() && addable(pending_[s][next_[s]])) {
          add(StreamId{static_cast<std::uint32_t>(s)}, pending_[s][next_[s]++]);
          progress = true;
        }
      }
    }
    for (std::size_t s = 0; s < pending_.size(); ++s) {
      if (next_[s] != pending_[s].size()) throw std::invalid_argument("dependencies of " + pending_[s][next_[s]].name + " form a cycle");
    }
    return std::move(result_);
  }

 private:
  bool addable(const TextTask& task) const {
    for (const std::string& dependency : task.dependencies) {
      if (result_.tasks.count(dependency) == 0) return false;
    }
    return true;
  }

  void add(StreamId stream, const TextTask& task) {
    TaskKind kind{task.name, 0, SimTime{std::stoll(task.duration)}, {}};
    for (const auto& [link, bytes] : task.links) kind.links.push_back({result_.links.at(link), Bytes{bytes}});
    if (!task.side.empty()) {
      const auto parts = split(task.side, ':');
      kind.side = parts.at(0) == "kernel" ? Side::kernel : Side::transfer;
      kind.beside = std::stod(parts.at(1));
    }
    std::vector<TaskId> dependencies;
    for (const std::string& dependency : task.dependencies) dependencies.push_back(result_.tasks.at(dependency));
    RendezvousId rendezvous;
    if (!task.rendezvous.empty()) {
      const auto [it, added] = rendezvous_.try_emplace(task.rendezvous);
      if (added) it->second = result_.graph.add_rendezvous();
      rendezvous = it->second;
    }
    result_.tasks[task.name] = result_.graph.add(stream, result_.graph.add_kind(kind), dependencies, rendezvous);
  }

  TextGraph result_;
  std::vector<std::vector<TextTask>> pending_;
  std::vector<std::size_t> next_;
  std::map<std::string, RendezvousId> rendezvous_;
  std::map<std::string, DeviceId> devices_;
};

inline TextGraph read_graph(const std::string& text) { return TextGraphReader(text).read(); }

// One line per stream: "compute: a 0-3 b 7-9"
inline std::string timeline(const TaskGraph& graph, const Trace& trace) {
  std::string out;
  for (std::uint32_t s = 0; s < graph.stream_count(); ++s) {
    out += graph.stream_name(StreamId{s}) + ":";
    for (const TaskId task : graph.tasks_of(StreamId{s})) {
      out += " " + graph.kind_of(task).label + " " + std::to_string(trace.start[task.value].picoseconds()) + "-" +
             std::to_string(trace.end[task.value].picoseconds());
    }
    out += "\n";
  }
  return out;
}

inline std::string run_text(const std::string& text) {
  const TextGraph text_graph = read_graph(text);
  return timeline(text_graph.graph, run(text_graph.graph));
}

}  // namespace trillion::test
