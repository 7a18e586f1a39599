#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "sim/base/error.h"
#include "sim/base/number_text.h"
#include "sim/cli/command_line.h"
#include "sim/cli/output_file.h"
#include "sim/cli/shape_lines.h"
#include "sim/cli/verbs.h"
#include "sim/net/fabric.h"
#include "sim/spec/load.h"
#include "sim/spec/load_calibration.h"
#include "sim/spec/node_facts.h"
#include "sim/workload/counts.h"
#include "sim/workload/schedule.h"

namespace trillion {
namespace {

namespace fs = std::filesystem;

std::string counted(std::size_t count, const char* one) { return std::to_string(count) + " " + one + (count == 1 ? "" : "s"); }

std::string summary(const Model& model) {
  const ModelSize size = model_size(model);
  std::string text = "model " + model.name + ": " + count_text(static_cast<double>(size.total)) + " parameters (" +
                     grouped_text(size.total) + "), " + count_text(static_cast<double>(size.activated)) + " activated per token";
  if (size.mtp > 0) text += ", and " + count_text(static_cast<double>(size.mtp)) + " in multi-token-prediction modules";
  return text;
}

std::string summary(const Cluster& cluster) {
  std::string text = "cluster " + cluster.name + ": " + grouped_text(cluster.nodes) + " nodes of " + std::to_string(cluster.gpus_per_node) +
                     " " + cluster.gpu.name + ", " + grouped_text(cluster.gpus()) + " GPUs";
  if (cluster.price) text += ", " + usd_text(Usd{(cluster.price->per_gpu * kHour).value()}) + " per GPU-hour";
  return text;
}

std::string summary(const Calibration& calibration) {
  return "calibration of " + calibration.gpu + " with " + calibration.software + ": " + counted(calibration.curves().size(), "curve");
}

std::size_t figure_count(const Expected& expected) {
  std::size_t count = 0;
  for (const ExpectedCase& c : expected) count += c.figures.size();
  return count;
}

std::string summary(const std::string& path, const Scenario& scenario) {
  std::string text = "scenario " + scenario.name + ": " + scenario.model.name + " on " + grouped_text(scenario.cluster.gpus()) + " " +
                     scenario.cluster.gpu.name;
  if (const auto& schedule = scenario.plan.schedule_file) parse_schedule(schedule->text, schedule->path);
  Fabric::misfits(scenario.cluster);  // throws if something fails that is not there; whether the plan can run is for simulate to say
  if (has_expected(path)) text += ", " + counted(figure_count(load_expected(path)), "published figure");
  return text;
}

// What a cluster's own figures rule out together.
Cluster fitting_cluster(const std::string& path) {
  const Cluster cluster = load_cluster(path);
  throw_cluster_misfits(path, Fabric::misfits(cluster));
  return cluster;
}

// What a machine says of its node, as the keys that `from:` puts into a topology.
std::string summary(const NodeFacts& facts, const std::string& path) {
  std::string text = "a node of " + std::to_string(facts.gpus_per_node) + " GPUs; `from: " + path + "` in a topology file stands for\n";
  std::istringstream lines(topology_text(facts, path, "H100"));
  if (facts.nvlinks > 0 && facts.compute_capability == 0) text += "  (NVLink as fast as an H100's unless gpu.name says otherwise)\n";
  for (std::string line; std::getline(lines, line);) text += "    " + line + "\n";
  text.pop_back();
  return text;
}

// What a good file holds, in one line. Throws InputError for a bad one.
std::string checked(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return summary(path, load_scenario(path));
  if (fs::path(path).extension() == ".jsonl") {
    std::istringstream stream(read_whole_file(path));
    return counted(read_shape_lines(stream, path).size(), "shape");
  }
  if (fs::path(path).extension() != ".yaml" && fs::path(path).extension() != ".json") {
    if (const std::string text = read_whole_file(path); is_node_dump(text)) return summary(node_facts_of(text, path), path);
  }
  switch (kind_of_file(path)) {
    case InputKind::model: return summary(load_model(path));
    case InputKind::cluster: return summary(fitting_cluster(path));
    case InputKind::calibration: return summary(load_calibration(path));
    case InputKind::scenario: return summary(path, load_scenario(path));
    case InputKind::expected: return counted(figure_count(load_expected(path)), "published figure");
  }
  throw InternalError("a kind of file without a check");
}

}  // namespace

int run_check(const CheckOptions& options, const Streams& streams) {
  int code = kExitDone;
  for (const std::string& path : options.files) {
    try {
      const std::string found = checked(path);  // before a word is printed: it may throw
      streams.out << path << ": OK, " << found << "\n" << std::flush;
    } catch (const InputError& error) {
      streams.err << error.what() << "\n";
      code = kExitBadInput;
    }
  }
  return code;
}

}  // namespace trillion
