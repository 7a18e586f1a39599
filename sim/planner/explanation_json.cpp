#include "sim/planner/explanation_json.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

namespace trillion {

namespace {

using Json = nlohmann::ordered_json;

Json change_json(const TriedChange& change) {
  Json row = {{"change", change.what}};
  if (const auto* step = std::get_if<StepResult>(&change.outcome)) {
    row["gain"] = change.gain;
    row["step_s"] = step->time.value();
  } else {
    row["infeasible"] = std::get<Infeasible>(change.outcome).reason;
  }
  return row;
}

Json causes_json(const Explanation& e) {
  Json list = Json::array();
  for (const ToldCause& told : e.causes) {
    Json row = {{"part", told.cause.part}, {"time_s", told.cause.time.value()}, {"removed_s", told.cause.removed.value()}};
    row.update(change_json(e.changes[told.cause.change]));
    row["megatron"] = told.megatron;
    list.push_back(std::move(row));
  }
  return list;
}

}  // namespace

std::string explanation_json(const Scenario& s, const Explanation& e) {
  Json json = {{"schema", "trillion.explanation/1"}, {"scenario", s.name}, {"seed", s.seed}, {"step_s", e.step.time.value()}};
  for (const TimePart& part : e.parts) json["parts"].push_back({{"name", part.name}, {"time_s", part.time.value()}});
  for (const PathLeg& leg : e.path.legs) {
    json["critical_path"]["legs"].push_back({{"first_rank", leg.first_rank},
                                             {"last_rank", leg.last_rank},
                                             {"visits", leg.visits},
                                             {"first_action", leg.first_action},
                                             {"last_action", leg.last_action},
                                             {"start_s", leg.start.seconds().value()},
                                             {"end_s", leg.end.seconds().value()},
                                             {"compute_s", leg.compute.value()},
                                             {"longest_wait", leg.longest_wait},
                                             {"longest_wait_s", leg.longest_wait_time.value()}});
  }
  for (const TimePart& part : e.path.by_kernel) {
    json["critical_path"]["kernels"].push_back({{"name", part.name}, {"time_s", part.time.value()}});
  }
  json["causes"] = causes_json(e);
  if (e.all) {
    json["all_causes"] = change_json(*e.all);
    json["all_causes"]["megatron"] = e.all_megatron;
  }
  if (e.measured) json["measured"] = {{"step_s", e.measured->value()}, {"unexplained_s", (*e.measured - e.step.time).value()}};
  const auto changes = [](const std::vector<TriedChange>& tried) {
    Json list = Json::array();
    for (const TriedChange& change : tried) list.push_back(change_json(change));
    return list;
  };
  json["changes"] = changes(e.changes);
  json["relieved"] = changes(e.relieved);
  return json.dump(2) + "\n";
}

}  // namespace trillion
