// What a search finds out about one layout, and the same as one line of text: what its journal keeps and its processes send each other.
// Text and value are inverses to the last bit.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/estimate/step_result.h"
#include "sim/planner/screening.h"

namespace trillion {

// A piece of a search's work: a family of layouts to look at, a group to screen, or a layout to simulate.
struct SearchTask {
  enum class What { look, screen, simulate } what = What::look;
  std::size_t index = 0;  // into Screening::families(), Screening::groups(), or of the layout
  friend auto operator<=>(const SearchTask&, const SearchTask&) = default;
};
std::string to_text(const SearchTask& task);  // "look 3", "screen 17", "simulate 1234"
std::optional<SearchTask> task_of_text(std::string_view text);

// A simulated layout. `step` holds what tells layouts apart: time, tokens, FLOPs, phases, exposed and compute seconds, interval, clock,
// layers_per_stage, data_parallel, micro_batches; no memory table, traffic or origins, which `trillion simulate` shows.
struct SimulatedLayout {
  StepResult step;
  Bytes peak_memory;
};

// Empty: it does not fit after all.
using Simulated = std::optional<SimulatedLayout>;

std::string to_text(const std::vector<Screened>& group);
std::string to_text(const Simulated& simulated);
// Throws InternalError where the text is none of ours: a journal's lines are checked before.
std::vector<Screened> screened_of_text(std::string_view text);
Simulated simulated_of_text(std::string_view text);

}  // namespace trillion
