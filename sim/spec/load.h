// Reading every input file but the calibration (spec/load_calibration.h). Each function throws one InputError with everything
// that is wrong in all the files it read; what it returns has passed validate().
//
// `overrides` are "path=value" pairs as `--set` takes them, applied before reading and checked like the file itself:
//
//   Scenario s = load_scenario("scenarios/deepseek-v3", {"plan.schedule=1f1b", "cluster.nodes=128", "model.num_hidden_layers=30"});
//
// Keys of each file: models/README.md, topologies/README.md, scenarios/README.md.
#pragma once

#include <string>
#include <vector>

#include "sim/spec/cluster.h"
#include "sim/spec/expected.h"
#include "sim/spec/model.h"
#include "sim/spec/plan.h"
#include "sim/spec/scenario.h"
#include "sim/spec/training.h"
#include "sim/spec/yaml_reader.h"

namespace trillion {

using Overrides = std::vector<std::string>;

// A models/*.yaml file, or a config.json as it comes from the Hugging Face Hub, or the folder that holds it.
Model load_model(const std::string& path, const Overrides& overrides = {});
Cluster load_cluster(const std::string& path, const Overrides& overrides = {});
// Says why the network of a cluster file does not do (Fabric::misfits) where that file says what it is. Nothing if it does.
void throw_cluster_misfits(const std::string& path, const std::vector<std::string>& misfits);

// `path` is a scenario file or a folder with a scenario.yaml in it. An override's path begins with a key of the scenario;
// below model, cluster and calibration it goes on with a key of the file named there. `base: FILE` in a scenario names another one,
// whose text stands wherever the scenario has none of its own; paths are relative to the file that they are written in.
Scenario load_scenario(const std::string& path, const Overrides& overrides = {});

// The published figures beside a scenario. `path` as in load_scenario, or the expected.yaml itself.
Expected load_expected(const std::string& path);
bool has_expected(const std::string& scenario_path);

// What a file is, by its keys: for `trillion check`.
enum class InputKind { model, cluster, calibration, scenario, expected };
InputKind kind_of_file(const std::string& path);

// The same for a mapping that is read already, as part of something larger. They report() the struct's validate().
Model read_model(YamlReader& reader, const std::string& name);  // `name` unless the file gives one
std::string default_model_name(const std::string& path);
std::string model_file(const std::string& path);  // config.json in a folder of the Hub; else `path` itself
Cluster read_cluster(YamlReader& reader);
// `unfused_attention` settles what `recompute: selective` means (spec/recompute_amount.h).
Plan read_plan(YamlReader& reader, bool unfused_attention = false);
Training read_training(YamlReader& reader);
Perturbations read_perturbations(YamlReader& reader);
Search read_search(YamlReader& reader, bool unfused_attention = false);

}  // namespace trillion
