// A figure of a report as a person reads it. The unit is in the field's name (../shared/INTERFACE.md), so the name decides:
// "step.time_s" 19.92 -> "19.92 s", "memory.stages.0.peak_bytes" -> "63.0 GiB", "step.mfu_causal" 0.41 -> "41.0 %".
#pragma once

#include <string>
#include <string_view>

namespace trillion {

std::string figure_text(std::string_view path, double value);

}  // namespace trillion
