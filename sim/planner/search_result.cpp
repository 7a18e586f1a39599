#include "sim/planner/search_result.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <type_traits>

#include "sim/base/error.h"

namespace trillion {

namespace {

constexpr std::array<std::string_view, 3> kTaskNames = {"look", "screen", "simulate"};  // in the order of SearchTask::What

class Writer {
 public:
  template <class T>
  void operator()(const T& value) {
    if constexpr (std::is_floating_point_v<T>) {
      number(value, std::chars_format::hex);
    } else if constexpr (std::is_integral_v<T>) {
      number(value);
    } else {
      number(value.value(), std::chars_format::hex);
    }
  }
  void word(std::string_view text) { text_ += (text_.empty() ? "" : " ") + std::string(text); }
  std::string text() && { return std::move(text_); }

 private:
  template <class... Arguments>
  void number(Arguments... arguments) {
    std::array<char, 40> buffer{};
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), arguments...);
    word({buffer.data(), end.ptr});
  }
  std::string text_;
};

class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}
  bool done() const { return rest_.empty(); }
  std::string_view word() {
    const std::string_view found = rest_.substr(0, rest_.find(' '));
    CHECK(!found.empty(), "a search's result ends early");
    rest_.remove_prefix(std::min(rest_.size(), found.size() + 1));
    return found;
  }
  template <class T>
  void operator()(T& value) {
    if constexpr (std::is_floating_point_v<T>) {
      value = number<T>(std::chars_format::hex);
    } else if constexpr (std::is_integral_v<T>) {
      value = number<T>();
    } else {
      value = T{number<double>(std::chars_format::hex)};
    }
  }

 private:
  template <class T, class... Format>
  T number(Format... format) {
    const std::string_view text = word();
    T value{};
    const auto end = std::from_chars(text.data(), text.data() + text.size(), value, format...);
    CHECK(end.ec == std::errc{} && end.ptr == text.data() + text.size(), "a search's result is no number");
    return value;
  }
  std::string_view rest_;
};

// Every figure that is kept of a step, for writing and for reading.
template <class Step, class Visit>
void each_figure(Step& r, Visit& visit) {
  visit(r.time), visit(r.tokens), visit(r.model_flops_causal);
  auto& p = r.phases;
  visit(p.forward), visit(p.backward), visit(p.weight), visit(p.forward_backward), visit(p.bubble), visit(p.optimizer), visit(p.other);
  auto& e = r.exposed;
  visit(e.expert_all_to_all), visit(e.pipeline_p2p), visit(e.tensor_parallel), visit(e.context_parallel), visit(e.gradient_reduce);
  visit(e.parameter_gather), visit(e.host_offload), visit(e.straggler);
  auto& c = r.compute;
  visit(c.attention), visit(c.dense_ffn), visit(c.experts), visit(c.gate), visit(c.embedding_and_head), visit(c.norm_and_elementwise);
  visit(c.cast_and_quantize), visit(c.recompute), visit(c.optimizer);
  visit(r.time_low_ratio), visit(r.time_high_ratio), visit(r.clock_mhz), visit(r.data_parallel), visit(r.micro_batches);
}

}  // namespace

std::string to_text(const SearchTask& task) {
  return std::string(kTaskNames.at(static_cast<std::size_t>(task.what))) + " " + std::to_string(task.index);
}

std::optional<SearchTask> task_of_text(std::string_view text) {
  const std::size_t space = std::min(text.find(' '), text.size());
  const auto name = std::find(kTaskNames.begin(), kTaskNames.end(), text.substr(0, space));
  if (name == kTaskNames.end() || space == text.size()) return std::nullopt;
  SearchTask task{static_cast<SearchTask::What>(name - kTaskNames.begin()), 0};
  const auto end = std::from_chars(text.data() + space + 1, text.data() + text.size(), task.index);
  if (end.ec != std::errc{} || end.ptr != text.data() + text.size()) return std::nullopt;
  return task;
}

std::string to_text(const std::vector<Screened>& group) {
  Writer write;
  for (const Screened& s : group) {
    write.word(!s.fits ? "misfit" : s.time ? "timed" : "bounded");
    write(s.peak);
    if (!s.fits) continue;
    write(s.bound);
    if (s.time) write(*s.time);
  }
  return std::move(write).text();
}

std::vector<Screened> screened_of_text(std::string_view text) {
  Reader read(text);
  std::vector<Screened> group;
  while (!read.done()) {
    Screened s;
    const std::string_view fate = read.word();
    CHECK(fate == "misfit" || fate == "timed" || fate == "bounded", "a search's result with an unknown word");
    s.fits = fate != "misfit";
    read(s.peak);
    if (s.fits) read(s.bound);
    if (fate == "timed") read(s.time.emplace());
    group.push_back(s);
  }
  return group;
}

std::string to_text(const Simulated& simulated) {
  Writer write;
  write.word(simulated ? "step" : "misfit");
  if (!simulated) return std::move(write).text();
  each_figure(simulated->step, write);
  write(simulated->peak_memory);
  for (const std::int64_t layers : simulated->step.layers_per_stage) write(layers);
  return std::move(write).text();
}

Simulated simulated_of_text(std::string_view text) {
  Reader read(text);
  const std::string_view fate = read.word();
  CHECK(fate == "step" || fate == "misfit", "a search's result with an unknown word");
  if (fate == "misfit") return std::nullopt;
  Simulated simulated(std::in_place);
  each_figure(simulated->step, read);
  read(simulated->peak_memory);
  while (!read.done()) read(simulated->step.layers_per_stage.emplace_back());
  return simulated;
}

}  // namespace trillion
