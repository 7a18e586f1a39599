#include "sim/cli/megatron_plan.h"

#include <algorithm>

#include "sim/cli/output_file.h"
#include "sim/handover/given_flags.h"
#include "sim/handover/read_megatron.h"

namespace trillion {

PlanFile read_plan_file(const std::string& file, const std::string& scenario, const Overrides& overrides) {
  // Those of the plan are made for the plan of the file, which is not known yet.
  Overrides others;
  std::copy_if(overrides.begin(), overrides.end(), std::back_inserter(others),
               [](const std::string& o) { return !o.starts_with("plan.") && !o.starts_with("plan="); });
  const MegatronPlan read = read_megatron(flags_of_file(read_whole_file(file), file), load_scenario(scenario, others));
  PlanFile out{read.overrides, {}};
  for (const std::string& note : read.notes) out.notes.push_back(file + ": " + note);
  if (!read.not_modelled.empty()) {
    std::string list;
    for (const std::string& flag : read.not_modelled) list += " " + flag;
    out.notes.push_back(file + ": not modelled:" + list);
  }
  if (read.without_effect > 0) {
    const std::string flags = read.without_effect == 1 ? " flag that costs" : " flags that cost";
    out.notes.push_back(file + ": passed over: " + std::to_string(read.without_effect) + flags +
                        " no time and no memory (data, logging, checkpoints, learning rate)");
  }
  return out;
}

}  // namespace trillion
