#include <bit>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

#include "sim/base/checksum.h"
#include "sim/base/closest_word.h"
#include "sim/spec/cluster_document.h"
#include "sim/spec/expert_misfits.h"
#include "sim/spec/load.h"
#include "sim/spec/load_calibration.h"
#include "sim/spec/read_phases.h"

namespace trillion {

namespace fs = std::filesystem;

namespace {

std::string normal(const fs::path& path) { return path.lexically_normal().string(); }

// The scenario's file: the path itself, or scenario.yaml in the folder.
fs::path scenario_file(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error) ? fs::path(path) / "scenario.yaml" : fs::path(path);
}

std::string scenario_name(const fs::path& file) {
  if (file.stem() != "scenario") return file.stem().string();
  std::error_code error;
  const fs::path folder = fs::weakly_canonical(file, error).parent_path();
  return error || folder.filename().empty() ? "scenario" : folder.filename().string();
}

bool is_part(std::string_view key) { return key == "model" || key == "cluster" || key == "calibration"; }

// What belongs to the scenario's own text, and what goes on to the files it names: "model.hidden_size=8" for `model`.
struct SplitOverrides {
  YamlDocument scenario;
  std::vector<std::pair<std::string, std::string>> parts;  // (part, whole override)
};

SplitOverrides apply_overrides(YamlDocument scenario, const Overrides& overrides) {
  SplitOverrides split{std::move(scenario), {}};
  for (const std::string& text : overrides) {
    const std::string shown = "--set " + text;
    const Assignment a = parse_assignment(text, shown);
    const YamlNode* part = split.scenario.root().find(a.path.front());
    const bool in_file = is_part(a.path.front()) && a.path.size() > 1 && part != nullptr && part->kind == YamlNode::Kind::scalar;
    if (in_file) {
      split.parts.emplace_back(a.path.front(), text);
    } else {
      split.scenario.apply_override(text, shown);
    }
  }
  return split;
}

struct PartSource {
  std::string key;  // model, cluster or calibration
  const fs::path& scenario;
  const SplitOverrides& split;
};

// The model's, cluster's or calibration's own text.
struct Part {
  std::optional<YamlDocument> document;
  std::string file;  // as the report names it; "inline" for a mapping without a base
};

SourceLocation place_of(const YamlReader& reader, std::string_view key) { return reader.document().location(reader.node(key)->position); }

// A path in a file is relative to that file; one from the command line to the working directory, where it is there.
fs::path resolve(const SourceLocation& where, const fs::path& scenario, const std::string& written) {
  std::error_code error;
  if (where.line == 0 && fs::exists(written, error)) return written;
  return (where.line == 0 ? scenario : fs::path(where.file)).parent_path() / written;
}

// The scenario's own text over that of the scenario that its `base` names, and of that one's, over and over.
YamlDocument scenario_document(const fs::path& file, int depth = 0) {
  constexpr int kMostBases = 16;
  YamlDocument own = YamlDocument::from_file(normal(file));
  const YamlNode* base = own.root().find("base");
  if (base == nullptr) return own;
  const SourceLocation where = own.location(base->position);
  const auto wrong = [&](const std::string& what, const std::string& hint) {
    return InputError(Diagnostic{where, "'base': " + what, own.source_line(base->position), hint});
  };
  if (base->kind != YamlNode::Kind::scalar) throw wrong("expected a scenario's file or folder", "");
  const fs::path path = scenario_file((file.parent_path() / base->text).string());
  std::error_code error;
  if (!fs::is_regular_file(path, error)) throw wrong("there is no file " + normal(path), "");
  if (depth == kMostBases) throw wrong("more than 16 scenarios, each the base of another", "is one its own base?");
  YamlDocument document = scenario_document(path, depth + 1);
  own.remove("base");
  // `model: {topk_group: 2}` changes the file that the base names.
  for (const char* part : {"model", "cluster", "calibration"}) {
    const YamlNode *mine = own.root().find(part), *below = document.root().find(part);
    const bool changes = mine != nullptr && mine->kind == YamlNode::Kind::mapping && mine->find("base") == nullptr;
    if (changes && below != nullptr && below->kind == YamlNode::Kind::scalar) document.wrap(part, "base");
  }
  document.overlay(own);
  return document;
}

// Opens the file of a part; what is wrong with it is said at the place that names it when it is not there.
std::optional<YamlDocument> open_file(YamlReader& reader, std::string_view key, std::string_view part, const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) {
    reader.problem(key, "there is no file " + normal(path));
    return std::nullopt;
  }
  try {
    if (part == "calibration") return calibration_document(normal(path));
    return part == "cluster" ? cluster_document(normal(path)) : YamlDocument::from_file(normal(path));
  } catch (const InputError& e) {
    reader.diagnostics().add(e);
    return std::nullopt;
  }
}

// `key: path`, `key: {base: path, ...changes}` or `key: {...everything}`.
Part open_part(YamlReader& root, const std::string& key, const fs::path& scenario, Diagnostics& diagnostics) {
  Part part;
  if (root.kind_of(key) != YamlNode::Kind::mapping) {
    const std::string written = root.text(key);
    if (root.failed(key)) return part;
    fs::path path = resolve(place_of(root, key), scenario, written);
    if (key == "model") path = model_file(path.string());
    part.file = normal(path);
    part.document = open_file(root, key, key, path);
    return part;
  }
  YamlDocument inline_text = root.subdocument(key);
  const YamlNode* base = inline_text.root().find("base");
  if (base == nullptr) {
    part.file = "inline";
    part.document = std::move(inline_text);
    return part;
  }
  YamlReader reader = YamlReader::open(inline_text, diagnostics);  // for `base` alone: the other keys are the base file's
  const std::string written = reader.text("base");
  if (reader.failed("base")) return part;
  const fs::path path = resolve(place_of(reader, "base"), scenario, written);
  part.file = normal(path);
  part.document = open_file(reader, "base", key, path);
  if (part.document) {
    inline_text.remove("base");
    if (key == "cluster") {
      part.document = with_node_facts(inline_text, &*part.document, scenario.parent_path());
    } else {
      part.document->overlay(inline_text);
    }
  }
  return part;
}

// The schedule that a plan names a file for.
void read_schedule_file(YamlReader& plan, Plan& p, const fs::path& scenario) {
  if (!p.schedule_file || plan.failed("schedule_file")) return;
  const fs::path path = resolve(place_of(plan, "schedule_file"), scenario, p.schedule_file->path);
  std::ifstream stream(path);
  if (!stream) {
    plan.problem("schedule_file", "there is no file " + normal(path));
    return;
  }
  std::ostringstream text;
  text << stream.rdbuf();
  p.schedule_file = ScheduleFile{normal(path), text.str()};
}

void apply_part_overrides(Part& part, const std::string& key, const SplitOverrides& split, Diagnostics& diagnostics) {
  for (const auto& [name, text] : split.parts) {
    if (name != key || !part.document) continue;
    try {
      part.document->apply_override(text.substr(key.size() + 1), "--set " + text);
    } catch (const InputError& e) {
      diagnostics.add(e);
    }
  }
}

// What tables beside the scenario say.
void note_files(Scenario& s) {
  Checksum sum;
  sum.add(s.content);
  if (s.plan.schedule_file) sum.add(s.plan.schedule_file->text);
  for (const ExpertCount& row : s.training.routing.loads) {
    sum.add(static_cast<std::uint64_t>(row.layer));
    sum.add(static_cast<std::uint64_t>(row.expert));
    sum.add(std::bit_cast<std::uint64_t>(static_cast<double>(row.count)));
  }
  s.content = sum.value();
}

void note_defaults(Scenario& s, const std::string& prefix, const YamlReader& reader) {
  for (const std::string& line : reader.defaults()) s.defaults.push_back(prefix + line);
}

// What a document says, however it is written: keys and values without comments, places and layout.
void add_content(Checksum& sum, const YamlNode& node) {
  sum.add(static_cast<std::uint64_t>(node.kind));
  sum.add(node.text);
  for (const YamlNode& item : node.items) add_content(sum, item);
  for (const YamlEntry& entry : node.entries) {
    sum.add(entry.key);
    add_content(sum, entry.value);
  }
}

void note_content(Scenario& s, const YamlNode& root) {
  Checksum sum;
  sum.add(s.content);
  add_content(sum, root);
  s.content = sum.value();
}

// Opens one part with its overrides, reads it with `read`, and remembers what it took for granted.
template <class Read>
void read_part(Scenario& s, YamlReader& root, const PartSource& source, const Read& read) {
  Part part;
  try {
    part = open_part(root, source.key, source.scenario, root.diagnostics());
    apply_part_overrides(part, source.key, source.split, root.diagnostics());
    if (part.document && source.key == "cluster") part.document = with_node_facts(*part.document, nullptr, source.scenario.parent_path());
  } catch (const InputError& e) {  // of a node's dump
    root.diagnostics().add(e);
    return;
  }
  if (!part.document) return;
  note_content(s, part.document->root());
  YamlReader reader = YamlReader::open(std::move(*part.document), root.diagnostics());
  read(reader, part.file);
  reader.finish();
  if (source.key != "calibration") note_defaults(s, source.key + ".", reader);  // a profile is written by a program
}

void read_parts(Scenario& s, YamlReader& root, const SplitOverrides& split, const fs::path& file) {
  read_part(s, root, {"model", file, split}, [&](YamlReader& reader, const std::string& from) {
    s.model_file = from;
    s.model = read_model(reader, from == "inline" ? s.name : default_model_name(from));
  });
  read_part(s, root, {"cluster", file, split}, [&](YamlReader& reader, const std::string& from) {
    s.cluster_file = from;
    s.cluster = read_cluster(reader);
  });
  read_part(s, root, {"calibration", file, split}, [&](YamlReader& reader, const std::string& from) {
    s.calibration_file = from;
    s.calibration = read_calibration(reader);
  });
}

// Hardware that a search chooses from: its files are relative to the scenario, as its own cluster's and calibration's are.
void read_clusters(Scenario& scenario, YamlReader& r, const fs::path& file) {
  Search& search = scenario.search;
  const SplitOverrides nothing{YamlDocument{}, {}};
  for (YamlReader& entry : r.mappings("clusters")) {
    Scenario s;
    s.content = scenario.content;
    read_part(s, entry, {"cluster", file, nothing}, [&](YamlReader& reader, const std::string& from) {
      s.cluster_file = from;
      s.cluster = read_cluster(reader);
    });
    read_part(s, entry, {"calibration", file, nothing}, [&](YamlReader& reader, const std::string& from) {
      s.calibration_file = from;
      s.calibration = read_calibration(reader);
    });
    if (s.calibration.power.known()) s.calibration.power.limit = s.cluster.gpu.power_limit;
    scenario.content = s.content;
    const std::string name = entry.text("name", s.cluster.name);
    search.clusters.push_back({name, s.cluster_file, s.calibration_file, std::move(s.cluster), std::move(s.calibration)});
  }
}

// What a search asks of the rest of the scenario.
void check_search(const Scenario& s, YamlReader& r) {
  const bool priced = s.cluster.price || !s.search.clusters.empty();
  if (s.search.objective == Objective::usd && !priced) r.problem("objective", "usd: the cluster has no price (cluster.price.per_gpu)");
  if (s.search.budget && !priced) r.problem("budget", "the cluster has no price (cluster.price.per_gpu)");
  if ((s.search.budget || s.search.deadline) && s.training.tokens <= 0) {
    r.problem(s.search.budget ? "budget" : "deadline", "is the whole run's, and training.tokens does not say how long that is");
  }
}

// REQUIRES: the scenario is valid.
void check_loads(const Scenario& s, const YamlDocument& document, const fs::path& scenario, Diagnostics& diagnostics) {
  if (s.training.routing.loads.empty()) return;
  const YamlNode& written = *document.root().find("training")->find("routing")->find("loads");
  const fs::path path = resolve(document.location(written.position), scenario, written.text);
  for (Diagnostic& misfit : expert_misfits(s.training.routing.loads, normal(path), s.model)) diagnostics.add(std::move(misfit));
}

}  // namespace

Scenario load_scenario(const std::string& path, const Overrides& overrides) {
  static constexpr std::array<std::string_view, 2> kExtentNames = {"step", "overlapped_pair"};
  const fs::path file = scenario_file(path);
  const SplitOverrides split = apply_overrides(scenario_document(file), overrides);
  Diagnostics diagnostics;
  YamlReader root = YamlReader::open(split.scenario, diagnostics);
  Scenario s;
  s.name = scenario_name(file);
  s.question = root.text("question");
  note_content(s, split.scenario.root());
  read_parts(s, root, split, file);
  if (ChipPower& power = s.calibration.power; power.known()) {
    power.measured_under = power.limit;
    power.limit = s.cluster.gpu.power_limit;
  }
  YamlReader training = root.mapping("training"), plan = root.mapping("plan");
  s.training = read_training(training);
  training.ignore({"phases"});
  s.plan = read_plan(plan, s.calibration.stack.runs_apart(UnfusedPart::attention));
  read_schedule_file(plan, s.plan, file);
  s.extent = root.choice<Extent>("extent", kExtentNames, Extent::step);
  if (s.extent == Extent::overlapped_pair || root.has("pair_layers")) s.pair_layers = root.integer("pair_layers");
  root.ignore({"pair_layers"});
  if (auto search = root.optional_mapping("search")) {
    s.search = read_search(*search, s.calibration.stack.runs_apart(UnfusedPart::attention));
    const std::size_t before = diagnostics.size();
    read_clusters(s, *search, file);
    if (diagnostics.size() == before) {  // a cluster that cannot be read has no price either
      search->report(s.search.validate());
      check_search(s, *search);
    }
  }
  if (auto perturbations = root.optional_mapping("perturbations")) {
    s.perturbations = read_perturbations(*perturbations);
    if (diagnostics.empty()) root.report(s.perturbations.validate(s.cluster.gpus()), "perturbations");
  }
  if (diagnostics.empty()) root.report(s.validate());
  if (diagnostics.empty()) check_loads(s, split.scenario, file, diagnostics);
  if (diagnostics.empty()) s.later = read_later_phases(root, training, s);
  root.finish();
  note_files(s);
  note_defaults(s, "", root);
  diagnostics.throw_if_any();
  return s;
}

InputKind kind_of_file(const std::string& path) {
  // A file that says no more than its base is what its base is; a ring of bases ends, and its reader says so.
  std::set<fs::path> seen;
  for (fs::path file = path;;) {
    const YamlDocument document = YamlDocument::from_file(file.string());
    const auto has = [&](std::string_view key) { return document.root().find(key) != nullptr; };
    if (has("plan") || has("question") || has("training") || has("model") || has("cluster")) return InputKind::scenario;
    if (has("figures") || has("cases")) return InputKind::expected;
    if (has("gpus_per_node") || has("scale_up") || has("from")) return InputKind::cluster;
    if (has("chip") || has("stack")) return InputKind::calibration;
    const YamlNode* base = document.root().find("base");
    if (base == nullptr) return InputKind::model;
    seen.insert(fs::weakly_canonical(file));
    const fs::path below = scenario_file((file.parent_path() / base->text).string());
    if (base->kind != YamlNode::Kind::scalar || !fs::is_regular_file(below) || seen.contains(fs::weakly_canonical(below)))
      return InputKind::cluster;
    file = below;
  }
}

}  // namespace trillion
