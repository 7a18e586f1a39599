#include "sim/spec/read_phases.h"

#include <string_view>
#include <utility>

#include "sim/spec/load.h"

namespace trillion {
namespace {

// A complaint of Scenario::validate() goes to the mapping that its path begins with.
void report_to(const std::vector<std::string>& messages, YamlReader& training, YamlReader& plan) {
  for (const std::string& message : messages) {
    constexpr std::string_view kTraining = "training.", kPlan = "plan.";
    if (message.starts_with(kPlan)) {
      plan.report({message.substr(kPlan.size())});
    } else {
      training.report({message.starts_with(kTraining) ? message.substr(kTraining.size()) : message});
    }
  }
}

// The training that all phases start from: without the ramp, which is over, and the phases themselves.
YamlDocument main_training(const YamlReader& root) {
  YamlDocument document = root.document().subdocument(*root.node("training"));
  document.remove("phases");
  document.remove("batch_size_schedule");
  document.remove("tokens");
  return document;
}

LaterPhase read_phase(YamlReader& root, YamlReader& entry, const YamlNode& written, const Scenario& s) {
  YamlDocument own = root.document().subdocument(written), training = main_training(root);
  YamlDocument plan = root.document().subdocument(*root.node("plan"));
  if (const YamlNode* changes = own.root().find("plan"); changes != nullptr && changes->kind == YamlNode::Kind::mapping) {
    plan.overlay(own.subdocument(*changes));
  }
  own.remove("plan");
  own.remove("name");
  training.overlay(own);
  const std::size_t before = root.diagnostics().size();
  YamlReader training_reader = YamlReader::open(std::move(training), root.diagnostics());
  YamlReader plan_reader = YamlReader::open(std::move(plan), root.diagnostics());
  Scenario at = s;
  at.training = read_training(training_reader);
  at.plan = read_plan(plan_reader, s.calibration.stack.runs_apart(UnfusedPart::attention));
  if (root.diagnostics().size() == before) {
    if (at.training.tokens <= 0) entry.problem("tokens", "a phase must say how many it takes, more than zero");
    report_to(at.validate(), training_reader, plan_reader);
  }
  training_reader.finish();
  plan_reader.finish();
  return {entry.text("name"), std::move(at.training), std::move(at.plan)};
}

}  // namespace

std::vector<LaterPhase> read_later_phases(YamlReader& root, YamlReader& training, const Scenario& s) {
  std::vector<YamlReader> entries = training.mappings("phases");
  std::vector<LaterPhase> phases;
  if (training.failed("phases") || entries.empty()) return phases;
  if (s.training.tokens <= 0) training.problem("phases", "come after the run that training.tokens is the length of, which is not given");
  if (s.extent != Extent::step) training.problem("phases", "extent: overlapped_pair looks at one pair of chunks, not at a run");
  for (std::size_t i = 0; i < entries.size(); ++i) {
    YamlReader& entry = entries[i];
    if (entry.has("plan") && entry.kind_of("plan") != YamlNode::Kind::mapping)
      entry.problem("plan", "expected keys of a plan, each with its value");
    for (const std::string& key : entry.keys()) entry.ignore({key});  // the phase's own readers judge them
    phases.push_back(read_phase(root, entry, root.node("training")->find("phases")->items[i], s));
  }
  return phases;
}

}  // namespace trillion
