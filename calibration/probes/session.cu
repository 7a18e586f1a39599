#include "session.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>

#include "bench.h"
#include "check.h"

namespace probe {
namespace {

[[noreturn]] void fail_io(const std::string& what) { throw std::runtime_error(what + ": " + std::strerror(errno)); }

void write_all(int file, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(file, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail_io("cannot write the raw file");
    done += static_cast<std::size_t>(n);
  }
  if (::fsync(file) != 0 && errno != EINVAL && errno != ENOTSUP) fail_io("cannot sync the raw file");
}

// The header member `key` as text, quotes included; empty when absent.
std::string member(const std::string& line, const std::string& key) {
  const std::string mark = "\"" + key + "\":";
  const std::size_t at = line.find(mark);
  if (at == std::string::npos) return {};
  const std::size_t from = at + mark.size();
  std::size_t to = from;
  if (to < line.size() && line[to] == '"') {
    to = line.find('"', from + 1);
    return to == std::string::npos ? std::string{} : line.substr(from, to - from + 1);
  }
  while (to < line.size() && line[to] != ',' && line[to] != '}') ++to;
  return line.substr(from, to - from);
}

// The shape part of a line: everything before the first member of the result.
std::string shape_of(const std::string& line) {
  for (const char* first : {",\"time_s\":", ",\"unsupported\":"}) {
    const std::size_t at = line.find(first);
    if (at != std::string::npos) return line.substr(1, at - 1);
  }
  return {};
}

std::string clock_text(double seconds) {
  char text[32];
  const long s = static_cast<long>(seconds + 0.5);
  std::snprintf(text, sizeof text, "%ld:%02ld", s / 60, s % 60);
  return text;
}

}  // namespace

double parse_duration_s(const std::string& text) {
  std::size_t used = 0;
  double value = -1;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
  }
  const std::string unit = text.substr(used);
  const double scale = unit == "s" ? 1 : unit == "h" ? 3600 : unit == "m" || unit.empty() ? 60 : -1;
  if (!(value > 0) || scale < 0) {
    throw std::invalid_argument("--budget " + text + ": expected a duration such as 90s, 10m or 1h");
  }
  return value * scale;
}

namespace {

// "1/4": the first of four shares.
void parse_share(const std::string& text, Options& options) {
  char *slash = nullptr, *end = nullptr;
  const long first = std::strtol(text.c_str(), &slash, 10);
  const long shares = *slash == '/' ? std::strtol(slash + 1, &end, 10) : 0;
  if (end == nullptr || *end != '\0' || first < 1 || first > shares) {
    throw std::invalid_argument("--share " + text + ": expected I/N with 1 <= I <= N, such as 1/4");
  }
  options.share = first - 1, options.shares = shares;
}

}  // namespace

Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--list") {
      options.list = true;
      continue;
    }
    if (flag != "--output" && flag != "--budget" && flag != "--limit" && flag != "--share") {
      throw std::invalid_argument(flag + ": expected --output DIR, --budget TIME, --limit N, --share I/N or --list");
    }
    if (i + 1 >= argc) throw std::invalid_argument(flag + " needs a value");
    const std::string value = argv[++i];
    if (flag == "--output") options.output = value;
    if (flag == "--budget") options.budget_s = parse_duration_s(value);
    if (flag == "--share") parse_share(value, options);
    if (flag == "--limit") {
      char* end = nullptr;
      options.limit = std::strtol(value.c_str(), &end, 10);
      if (value.empty() || *end != '\0' || options.limit < 0) {
        throw std::invalid_argument("--limit " + value + ": expected a count");
      }
    }
  }
  return options;
}

Session::Session(const Options& options, const std::string& name) : options_(options), name_(name), start_s_(host_clock_s()) {
  if (!options_.list) open();
}

Session::~Session() {
  if (file_ >= 0) ::close(file_);
  if (!options_.list) {
    note(std::to_string(measured_) + " points measured, " + std::to_string(skipped_) + " already there, " + std::to_string(unsupported_) +
         " unsupported, " + std::to_string(std::max(0L, seen_ - measured_ - skipped_ - unsupported_ - elsewhere_)) + " left; took " +
         clock_text(host_clock_s() - start_s_));
  }
}

void Session::open() {
  header_ = "{" + describe_machine(options_.gpus).members() + "}";
  std::filesystem::create_directories(options_.output);
  const std::string path = options_.output + "/" + name_ + ".jsonl";
  if (!std::filesystem::exists(path)) {
    const std::string fresh = path + "." + std::to_string(::getpid());
    const int file = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (file < 0) fail_io(fresh);
    write_all(file, header_ + "\n");
    ::close(file);
    if (std::rename(fresh.c_str(), path.c_str()) != 0) fail_io(path);
  }
  read_existing(path);
  file_ = ::open(path.c_str(), O_WRONLY | O_APPEND);
  if (file_ < 0) fail_io(path);
}

void Session::read_existing(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(in)), {});
  const std::size_t whole = content.rfind('\n') + 1;  // 0 when there is no newline
  if (whole != content.size()) std::filesystem::resize_file(path, whole);
  std::size_t from = 0;
  for (bool first = true; from < whole; first = false) {
    const std::size_t to = content.find('\n', from);
    const std::string line = content.substr(from, to - from);
    from = to + 1;
    if (!first) {
      done_.insert(shape_of(line));
      continue;
    }
    for (const char* key : {"gpu_name", "driver", "software", "power_limit_w"}) {
      if (member(line, key) != member(header_, key)) {
        throw std::runtime_error(path + " was measured with " + key + " " + member(line, key) + ", here it is " + member(header_, key) +
                                 ": give another --output");
      }
    }
  }
}

bool Session::out_of_time() const { return seconds_left() <= 0 || measured_ >= options_.limit; }

double Session::seconds_left() const { return options_.budget_s - (host_clock_s() - start_s_); }

void Session::note(const std::string& text) const { std::cerr << name_ << ": " << text << std::endl; }

void Session::write_line(const std::string& line) { write_all(file_, line + "\n"); }

void Session::show_progress() {
  const double now = host_clock_s();
  const bool terminal = ::isatty(2) != 0;
  if (now - shown_s_ < (terminal ? 0.2 : 10)) return;
  shown_s_ = now;
  const double spent = now - start_s_;
  const long fresh = measured_ + unsupported_;
  const double all = expected_ > seen_ && fresh > 0 ? spent / fresh * (expected_ - seen_) / options_.shares : 0;
  std::cerr << (terminal ? "\r" : "") << name_ << ": " << seen_;
  if (expected_ > 0) std::cerr << " of " << expected_;
  std::cerr << " points, " << clock_text(std::min(all, std::max(0.0, seconds_left()))) << " left   " << (terminal ? "" : "\n")
            << std::flush;
}

bool Session::wants(const Row& shape) {
  const long number = seen_++;
  if (number % options_.shares != options_.share) {
    ++elsewhere_;
    return false;
  }
  if (options_.list) {
    std::cout << '{' << shape.members() << "}\n";
    return false;
  }
  if (done_.count(shape.members()) > 0) {
    ++skipped_;
    return false;
  }
  return !out_of_time();
}

void Session::record(const Row& shape, const Row& result) {
  ++(result.members().rfind("\"unsupported\"", 0) == 0 ? unsupported_ : measured_);
  write_line("{" + shape.members() + "," + result.members() + "}");
  done_.insert(shape.members());
  show_progress();
}

void Session::point(const Row& shape, const std::function<Row()>& measure) {
  if (!wants(shape)) return;
  Row result;
  try {
    result = measure();
  } catch (const Unsupported& reason) {
    result.text("unsupported", reason.what());
  }
  record(shape, result);
}

int run_probe(int argc, char** argv, const std::string& name, const std::function<void(Session&)>& body) {
  try {
    Session session(parse_options(argc, argv), name);
    body(session);
    return 0;
  } catch (const std::invalid_argument& error) {
    std::cerr << name << ": " << error.what() << '\n';
    return 2;
  } catch (const std::exception& error) {
    std::cerr << name << ": " << error.what() << '\n';
    return 1;
  }
}

}  // namespace probe
