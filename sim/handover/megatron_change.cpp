#include "sim/handover/megatron_change.h"

#include <algorithm>
#include <utility>

#include "sim/handover/expressed.h"
#include "sim/handover/megatron_flags.h"

namespace trillion {
namespace {

std::vector<FlagGroup> flags_of(const Scenario& s, const Plan& nearest) {
  Scenario said = s;
  said.plan = nearest;
  std::vector<std::string> notes;
  std::vector<FlagGroup> all = megatron_training_flags(said, notes);
  for (FlagGroup& group : megatron_plan_flags(s, nearest)) all.push_back(std::move(group));
  return all;
}

}  // namespace

std::string megatron_change(const Scenario& from, const Scenario& to) {
  const Expressed before = expressed_in_megatron(from), after = expressed_in_megatron(to);
  for (const std::string& lost : after.lost) {
    const bool lost_before = std::find(before.lost.begin(), before.lost.end(), lost) != before.lost.end();
    if (!lost_before) return "no flags: " + lost;
  }
  const std::string difference = flag_difference(flags_of(from, before.plan), flags_of(to, after.plan));
  return difference.empty() ? "no flags: Megatron-LM makes no difference between the two" : difference;
}

}  // namespace trillion
