// The comment above every handed-over file: what it is, what was predicted, and what the framework runs instead of what. Internal to
// the room.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/handover/hand_over.h"

namespace trillion {

// Lines, each beginning with "# " and none longer than a terminal. `what`: "Megatron-LM flags (NVIDIA/Megatron-LM@...)". `notes` are
// told below the rest.
std::string header_comment(const HandedPlan& plan, std::string_view what, const Expressed& nearest, const std::vector<std::string>& notes);

// "tp2 pp8 ep64 dp128 mbs1 1f1b", as a name: letters, digits and underscores.
std::string layout_name(const Scenario& scenario);

}  // namespace trillion
