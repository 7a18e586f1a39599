#include "calibration/fit/raw_file.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "calibration/fit/gemm_csv.h"
#include "calibration/fit/nccl_tests.h"
#include "sim/spec/unit_text.h"

namespace trillion {
namespace {

namespace fs = std::filesystem;

// Rows that are not used, by reason; one note each at the end.
class Unused {
 public:
  void add(const std::string& reason) { ++counts_[reason]; }
  void write(std::vector<std::string>& notes) const {
    for (const auto& [reason, count] : counts_) notes.push_back(std::to_string(count) + (count == 1 ? " row: " : " rows: ") + reason);
  }

 private:
  std::map<std::string, int> counts_;
};

std::string text_member(const JsonLine& line, const char* key) {
  const JsonValue* value = line.find(key);
  return value != nullptr && value->kind == JsonKind::string ? value->text : std::string();
}

double number_member(const JsonLine& line, const char* key, double fallback) {
  const JsonValue* value = line.find(key);
  if (value == nullptr || value->kind != JsonKind::number) return fallback;
  return parse_number(value->text).value;
}

Provenance read_provenance(const JsonLine& line, Provenance otherwise) {
  const JsonValue* origin = line.find("origin");
  if (origin != nullptr) {
    bool known = false;
    for (const Origin o : {Origin::measured, Origin::paper, Origin::vendor, Origin::assumed}) {
      if (origin->kind == JsonKind::string && origin->text == to_text(o)) otherwise.origin = o, known = true;
    }
    if (!known) throw InputError(line.diagnostic(origin->column, "origin must be measured, paper, vendor or assumed"));
  }
  if (const std::string source = text_member(line, "source"); !source.empty()) otherwise.source = source;
  return otherwise;
}

void read_header(const JsonLine& line, RawFile& file) {
  const JsonValue* schema = line.find("schema");
  if (schema == nullptr || schema->text != "trillion.raw/1") {
    throw InputError(line.diagnostic(schema == nullptr ? 1 : schema->column,
                                     "the first line must be a header with \"schema\":\"trillion.raw/1\"",
                                     "a newer schema needs a newer version of this program"));
  }
  file.gpu = text_member(line, "gpu");
  file.software = text_member(line, "software");
  file.provenance = read_provenance(line, {Origin::measured, ""});
  if (file.provenance.source.empty()) throw InputError(line.diagnostic(1, "the header must name its \"source\""));
  file.sms = static_cast<std::int64_t>(number_member(line, "sms", 0));
  file.power_limit_w = number_member(line, "power_limit_w", 0);
  file.clock_max_mhz = number_member(line, "clock_max_mhz", 0);
  if (const JsonValue* nvls = line.find("nvls"); nvls != nullptr) {
    if (nvls->text != kNvlsNames[0] && nvls->text != kNvlsNames[1]) {
      throw InputError(line.diagnostic(nvls->column, "nvls must be enabled or disabled"));
    }
    file.nvls = nvls->text == kNvlsNames[1] ? Nvls::enabled : Nvls::disabled;
  }
}

// Why a row is set aside; empty: it is a point.
std::string set_aside(const JsonLine& line) {
  if (line.find("unsupported") != nullptr) return "the machine declined the shape";
  if (number_member(line, "imbalance", 1) != 1) return "uneven all-to-all (the balanced curve is fitted)";
  const std::string op = text_member(line, "op");
  const auto known = [](const auto& names, const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  const std::string kernel = text_member(line, "kernel"), kind = text_member(line, "kind");
  if (op == "memory_bound" && !known(kMemoryKernelNames, kernel)) return "memory-bound kernel '" + kernel + "' is not one that is modelled";
  const bool expert = kind == "expert_dispatch" || kind == "expert_combine";
  if (op == "collective" && !expert && number_member(line, "sms", 0) > 0) return "collective with a limited number of SMs";
  if (op == "collective" && !known(kCollectiveKindNames, kind)) return "collective '" + kind + "' is not one that is modelled";
  return {};
}

void read_row(const JsonLine& line, RawFile& file, Unused& unused) {
  const std::string op = text_member(line, "op");
  if (op == "survey" && line.find("chip") == nullptr) return unused.add("a survey that does not name its chips");
  if (op == "launch" || op == "host_copy" || op == "interference" || op == "power" || op == "sequence" || op == "survey") {
    file.others.push_back(line);
    return;
  }
  if (const std::string reason = set_aside(line); !reason.empty()) return unused.add(reason);
  RawRow row;
  row.query = read_shape(line);
  const JsonValue* time = line.find("time_s");
  if (time == nullptr) throw InputError(line.diagnostic(1, "a measured row needs \"time_s\""));
  row.time = Seconds{number_member(line, "time_s", 0)};
  if (!(row.time.value() > 0)) throw InputError(line.diagnostic(time->column, "time_s must be a positive number of seconds"));
  row.provenance = read_provenance(line, file.provenance);
  row.path = text_member(line, "path");
  row.clock_mhz = number_member(line, "clock_mhz", 0);
  row.power_w = number_member(line, "power_w", 0);
  auto* attention = std::get_if<Attention>(&row.query.shape);
  if (attention != nullptr && row.path == "pytorch-sdpa-flash") attention->library = AttentionLibrary::flash;
  row.channels = static_cast<std::int64_t>(number_member(line, "channels", 0));
  file.rows.push_back(std::move(row));
}

RawFile parse_json_lines(const std::string& text, const std::string& name) {
  RawFile file;
  file.name = name;
  Unused unused;
  Diagnostics diagnostics;
  bool header = true;
  int number = 0;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = text.find('\n', start);
    const std::string line = text.substr(start, end - start);
    start = end == std::string::npos ? text.size() : end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      const JsonLine parsed = parse_json_line(line, {name, number, 1});
      header ? read_header(parsed, file) : read_row(parsed, file, unused);
    } catch (const InputError& error) {
      // A run that was cut leaves half a line at the end.
      if (end == std::string::npos && !header && line.back() != '}') {
        unused.add("the last line is torn");
        break;
      }
      if (header) throw;
      diagnostics.add(error);
    }
    header = false;
  }
  diagnostics.throw_if_any();
  unused.write(file.notes);
  return file;
}

std::string first_word_of(const std::string& text) {
  const auto start = text.find_first_not_of(" \t\r\n");
  return start == std::string::npos ? std::string() : text.substr(start, 400);
}

std::string read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw InputError("cannot read '" + path + "'");
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

std::string op_of(const RawRow& row) {
  static constexpr const char* kOps[] = {"gemm", "grouped_gemm", "attention", "memory_bound", "collective"};
  return kOps[row.query.shape.index()];
}

// Leaves what is lent.
void keep_ops(const std::vector<std::string>& ops, RawFile& file) {
  const auto lent = [&](const std::string& op) { return std::find(ops.begin(), ops.end(), op) != ops.end(); };
  std::erase_if(file.rows, [&](const RawRow& row) { return !lent(op_of(row)); });
  std::erase_if(file.others, [&](const JsonLine& line) { return !lent(text_member(line, "op")); });
}

void add_folder(const fs::path& folder, std::vector<RawFile>& files, const Borrow* borrow) {
  std::vector<fs::path> entries;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string extension = entry.path().extension().string();
    const bool readable =
        extension == ".jsonl" || extension == ".txt" || extension == ".log" || extension == ".json" || extension == ".csv";
    const bool facts = entry.path().filename() == "facts.yaml" && borrow == nullptr;
    if (entry.is_regular_file() && (readable || facts)) entries.push_back(entry.path());
  }
  std::sort(entries.begin(), entries.end());
  std::vector<Borrow> lenders;
  for (const auto& entry : entries) {
    RawFile file = read_raw_file(entry.string());
    file.borrowed = borrow != nullptr && !borrow->same_chip;
    if (borrow != nullptr) keep_ops(borrow->ops, file);
    if (file.facts) lenders = file.facts->borrow;
    files.push_back(std::move(file));
  }
  for (const auto& lender : lenders) {
    const fs::path other = (folder / lender.folder).lexically_normal();
    // A folder that has not been measured yet lends nothing; the curves then say what they rest on instead.
    if (fs::is_directory(other)) add_folder(other, files, &lender);
  }
}

}  // namespace

RawFile parse_raw(const std::string& text, const std::string& name) {
  const std::string head = first_word_of(text);
  if (head.empty()) throw InputError("'" + name + "' is empty");
  if (head.front() == '{') {
    const bool json_lines = head.substr(0, head.find('\n')).find("\"schema\"") != std::string::npos;
    return json_lines ? parse_json_lines(text, name) : parse_nccl_tests_json(text, name);
  }
  if (looks_like_gemm_csv(text)) return parse_gemm_csv(text, name);
  if (looks_like_nccl_tests(text)) return parse_nccl_tests_text(text, name);
  throw InputError("'" + name +
                   "' is neither our probes' rows (a first line with \"schema\"), nor nccl-tests' output, nor a CSV of GEMM timings "
                   "(m,n,k,dtype_a,dtype_out,layout,time_us)");
}

RawFile read_raw_file(const std::string& path) {
  if (fs::path(path).extension() == ".yaml") {
    RawFile file;
    file.name = path;
    file.facts = read_facts(YamlDocument::from_file(path));
    return file;
  }
  return parse_raw(read_text(path), path);
}

std::vector<RawFile> read_raw(const std::vector<std::string>& paths) {
  std::vector<RawFile> files;
  for (const auto& path : paths) {
    if (fs::is_directory(path)) {
      add_folder(path, files, nullptr);
    } else {
      files.push_back(read_raw_file(path));
    }
  }
  if (files.empty()) throw InputError("no measurements found (*.jsonl, *.txt, *.log, *.json, *.csv)");
  return files;
}

}  // namespace trillion
