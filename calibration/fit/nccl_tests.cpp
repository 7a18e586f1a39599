#include "calibration/fit/nccl_tests.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>

#include "sim/spec/unit_text.h"

namespace trillion {
namespace {

// "all_reduce_perf" or "alltoall" anywhere in a word -> kind. Longer names first: "all_gather" before "gather".
std::optional<CollectiveKind> kind_in(const std::string& text) {
  static constexpr std::pair<const char*, CollectiveKind> kNames[] = {{"all_reduce", CollectiveKind::all_reduce},
                                                                      {"allreduce", CollectiveKind::all_reduce},
                                                                      {"all_gather", CollectiveKind::all_gather},
                                                                      {"allgather", CollectiveKind::all_gather},
                                                                      {"reduce_scatter", CollectiveKind::reduce_scatter},
                                                                      {"reducescatter", CollectiveKind::reduce_scatter},
                                                                      {"all_to_all", CollectiveKind::all_to_all},
                                                                      {"alltoall", CollectiveKind::all_to_all},
                                                                      {"send_recv", CollectiveKind::send_recv},
                                                                      {"sendrecv", CollectiveKind::send_recv},
                                                                      {"broadcast", CollectiveKind::broadcast}};
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const auto& [name, kind] : kNames) {
    if (lower.find(name) != std::string::npos) return kind;
  }
  return std::nullopt;
}

std::string without_prefix(const std::string& line) {
  std::size_t start = 0;
  if (const auto tag = line.find(">:"); !line.empty() && line.front() == '[' && tag != std::string::npos) start = tag + 2;
  // srun -l: digits, a colon, a space.
  std::size_t at = line.find_first_not_of(' ', start);
  const std::size_t digits = at;
  while (at < line.size() && std::isdigit(static_cast<unsigned char>(line[at]))) ++at;
  if (digits != std::string::npos && at > digits && at + 1 < line.size() && line[at] == ':' && line[at + 1] == ' ') start = at + 2;
  return line.substr(start);
}

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

bool is_count(const std::string& word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) { return std::isdigit(c); });
}

// One run of one test.
struct Run {
  std::optional<CollectiveKind> kind;
  std::string test;
  std::set<std::string> hosts;
  std::int64_t ranks = 0;
  std::size_t side = 4;  // columns of out-of-place
  bool has_root = true;
  bool seen_rows = false;

  std::int64_t ranks_per_node() const { return ranks / std::max<std::int64_t>(1, static_cast<std::int64_t>(hosts.size())); }
};

void add_row(const Run& run, double bytes, double microseconds, RawFile& file) {
  if (bytes <= 0 || !(microseconds > 0)) return;
  RawRow row;
  row.query.shape = Collective{*run.kind, Bytes{bytes}, run.ranks, run.ranks_per_node(), Bytes{}};
  row.time = Seconds{microseconds * 1e-6};
  row.provenance = file.provenance;
  file.rows.push_back(row);
}

// "#  Rank  0 Group  0 Pid    558 on         vm device  0 [0000:00:06] NVIDIA H200"
void read_device(const std::vector<std::string>& words, Run& run, RawFile& file) {
  const auto on = std::find(words.begin(), words.end(), "on");
  if (words.size() < 4 || on == words.end() || on + 1 == words.end() || !is_count(words[2])) return;
  run.ranks = std::max<std::int64_t>(run.ranks, std::stoll(words[2]) + 1);
  run.hosts.insert(*(on + 1));
  std::string gpu;
  bool after = false;
  for (const auto& word : words) {
    if (after) gpu += (gpu.empty() ? "" : " ") + word;
    if (word.back() == ']') after = true;
  }
  if (!gpu.empty()) file.gpu = gpu;
}

void read_columns(const std::vector<std::string>& words, Run& run) {
  const auto is_time = [](const std::string& w) { return w == "time" || w == "cputime"; };
  const auto first = std::find_if(words.begin(), words.end(), is_time);
  if (first == words.end()) return;
  const auto second = std::find_if(first + 1, words.end(), is_time);
  run.side = second == words.end() ? 4 : static_cast<std::size_t>(second - first);
  run.has_root = std::find(words.begin(), first, "root") != first;
}

void read_row(const std::vector<std::string>& words, Run& run, RawFile& file) {
  // size count type, a word for the reduction where there is one, the root where the layout has one, then the times.
  std::size_t at = 3;
  while (at < words.size() && std::isalpha(static_cast<unsigned char>(words[at].front())) && words[at] != "N/A" && words[at] != "nan") ++at;
  if (run.has_root) ++at;
  const auto time_at = [&](std::size_t i) {
    const ParsedNumber parsed = i < words.size() ? parse_number(words[i]) : ParsedNumber{0, "absent", ""};
    return parsed.ok() ? parsed.value : 0.0;
  };
  const double out_of_place = time_at(at), in_place = time_at(at + run.side);
  add_row(run, parse_number(words[0]).value, out_of_place > 0 ? out_of_place : in_place, file);
  run.seen_rows = true;
}

bool is_row(const std::vector<std::string>& words) {
  return words.size() >= 6 && is_count(words[0]) && is_count(words[1]) && std::isalpha(static_cast<unsigned char>(words[2].front()));
}

void check_run(const Run& run, const std::string& name) {
  if (!run.kind) {
    throw InputError("'" + name + "': cannot tell which collective was tested" + (run.test.empty() ? "" : " ('" + run.test + "')") +
                     "; name the file after it, such as all_reduce.txt");
  }
  if (run.ranks < 1) throw InputError("'" + name + "': no '#  Rank ... on HOST device ...' lines, so the number of ranks is unknown");
}

// Cuts a JSON text that ends too early after its last whole object or list, and closes what is open.
std::string closed(const std::string& text) {
  std::string open, open_at_end;
  std::size_t whole = 0;
  bool quoted = false, escaped = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      quoted = escaped || c != '"';
      escaped = !escaped && c == '\\';
      continue;
    }
    if (c == '"') quoted = true;
    if (c == '{' || c == '[') open += c == '{' ? '}' : ']';
    if ((c == '}' || c == ']') && !open.empty()) {
      open.pop_back();
      whole = i + 1;
      open_at_end = open;
    }
  }
  std::reverse(open_at_end.begin(), open_at_end.end());
  return text.substr(0, whole) + open_at_end;
}

double json_number(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0.0;
}

// Microseconds of one side of a result; 0 when it was not measured ("nan" is a string there).
double side_time(const nlohmann::json& result, const char* side) {
  const auto found = result.find(side);
  if (found == result.end() || !found->is_object()) return 0;
  const double time = json_number(*found, "time");
  return time > 0 ? time : json_number(*found, "cpu_time");
}

Run read_json_config(const nlohmann::json& root, RawFile& file) {
  Run run;
  if (const auto args = root.find("args"); args != root.end() && args->is_array() && !args->empty() && args->front().is_string()) {
    run.test = args->front().get<std::string>();
    run.kind = kind_in(run.test);
  }
  const auto config = root.find("config");
  if (config == root.end() || !config->is_object()) return run;
  const auto devices = config->find("devices");
  if (devices == config->end() || !devices->is_array()) return run;
  for (const auto& device : *devices) {
    if (!device.is_object()) continue;
    ++run.ranks;
    if (const auto host = device.find("hostname"); host != device.end() && host->is_string()) run.hosts.insert(host->get<std::string>());
    if (const auto info = device.find("device_info"); info != device.end() && info->is_string()) file.gpu = info->get<std::string>();
  }
  // Only the first device of each process is listed.
  run.ranks *= std::max<std::int64_t>(1, static_cast<std::int64_t>(json_number(*config, "nthreads"))) *
               std::max<std::int64_t>(1, static_cast<std::int64_t>(json_number(*config, "ngpus")));
  return run;
}

}  // namespace

bool looks_like_nccl_tests(const std::string& text) {
  return text.find("nThread") != std::string::npos || text.find("nccl-tests") != std::string::npos ||
         (text.find("algbw") != std::string::npos && text.find("busbw") != std::string::npos);
}

RawFile parse_nccl_tests_text(const std::string& text, const std::string& name) {
  RawFile file;
  file.name = name;
  file.software = "NCCL";
  file.provenance = {Origin::measured, "nccl-tests, " + name.substr(name.find_last_of('/') + 1)};
  Run run;
  run.kind = kind_in(name.substr(name.find_last_of('/') + 1));
  std::istringstream in(text);
  for (std::string raw; std::getline(in, raw);) {
    const std::vector<std::string> words = words_of(without_prefix(raw));
    if (words.empty()) continue;
    if (words[0] == "#" || words[0].front() == '#') {
      const std::string line = without_prefix(raw);
      if (const auto starting = line.find("test starting:"); starting != std::string::npos) {
        Run next;
        next.test = line.substr(starting + 14);
        next.kind = kind_in(next.test);
        if (!next.kind) file.notes.push_back("test '" + words.back() + "' is not one that is modelled");
        run = next;
      }
      if (words.size() > 1 && words[1] == "nThread" && run.seen_rows) run = Run{run.kind, run.test, {}, 0, 4, true, false};
      if (words.size() > 1 && words[1] == "Rank") read_device(words, run, file);
      if (line.find("nccl-library") != std::string::npos || line.find("NCCL version") != std::string::npos) {
        file.software = "NCCL (" + line.substr(line.find_first_not_of("# ")) + ")";
      }
      read_columns(words, run);
    } else if (is_row(words)) {
      if (!run.kind && !run.test.empty()) continue;  // a test that is not modelled, noted above
      check_run(run, name);
      read_row(words, run, file);
    }
  }
  if (file.rows.empty() && file.notes.empty()) throw InputError("'" + name + "' looks like nccl-tests' output but holds no result rows");
  return file;
}

RawFile parse_nccl_tests_json(const std::string& text, const std::string& name) {
  RawFile file;
  file.name = name;
  file.software = "NCCL";
  file.provenance = {Origin::measured, "nccl-tests, " + name.substr(name.find_last_of('/') + 1)};
  nlohmann::json root = nlohmann::json::parse(text, nullptr, false);
  if (root.is_discarded()) {
    root = nlohmann::json::parse(closed(text), nullptr, false);
    file.notes.push_back("the file is cut off; its whole results are used");
  }
  if (!root.is_object() || root.find("results") == root.end() || !root["results"].is_array()) {
    throw InputError("'" + name + "' is JSON, but neither our probes' rows nor nccl-tests' results");
  }
  if (const double version = json_number(root, "nccl_version"); version > 0) {
    file.software = "NCCL " + std::to_string(static_cast<std::int64_t>(version));
  }
  Run run = read_json_config(root, file);
  for (const auto& result : root["results"]) {
    if (!result.is_object()) continue;
    if (!run.kind) {
      if (const auto test = result.find("experiment_name"); test != result.end() && test->is_string())
        run.kind = kind_in(test->get<std::string>());
      if (!run.kind) run.kind = kind_in(name.substr(name.find_last_of('/') + 1));
    }
    check_run(run, name);
    const double out_of_place = side_time(result, "out_of_place");
    add_row(run, json_number(result, "size"), out_of_place > 0 ? out_of_place : side_time(result, "in_place"), file);
  }
  return file;
}

}  // namespace trillion
