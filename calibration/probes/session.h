// What every probe's main() shares: the command line, the raw file, the clock on the wall.
//
//   int main(int argc, char** argv) {
//     return probe::run_probe(argc, argv, "gemm", [](probe::Session& session) {
//       for (const Point& p : points()) session.point(p.shape(), [&] { return time(p); });
//     });
//   }
//
// Command line of every probe:
//   --output DIR    rows go to DIR/<name>.jsonl (created; an existing file is continued)
//   --budget 90s    stop after so long; s, m, h; a bare number is minutes. Points come most telling first
//   --list          print the shapes and measure nothing (needs no GPU)
//   --limit N       measure at most N new points
//   --share I/N     measure every Nth point only, from the Ith on: N GPUs of a node, a process and a folder each, share the work
//
// The raw file: a header line ("schema":"trillion.raw/1", GPU, libraries, driver, limits, environment), then a line per
// point: shape, then result. A line is written whole and synced. A point whose shape is already there is
// skipped, so a run that was cut resumes; a torn last line is dropped; a file from another GPU or driver is refused.
#pragma once

#include <functional>
#include <string>
#include <unordered_set>

#include "row.h"

namespace probe {

struct Options {
  std::string output = ".";
  double budget_s = 600;
  bool list = false;
  long limit = 1'000'000;
  long share = 0, shares = 1;  // points number share, share + shares, ...
  int gpus = 1;                // that a point keeps busy: set by the probe, not by the command line
};

// Exit code 2 with a message is the caller's business: throws std::invalid_argument.
Options parse_options(int argc, char** argv);
double parse_duration_s(const std::string& text);  // "90s" "10m" "1h" "10" (minutes)

class Session {
 public:
  Session(const Options& options, const std::string& name);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Measures one point unless it is already in the file or time is up. `measure` returns the result's members;
  // an Unsupported that it throws becomes the row's "unsupported".
  void point(const Row& shape, const std::function<Row()>& measure);

  // The two halves of point(), for probes whose ranks must agree on what is measured.
  bool wants(const Row& shape);  // not in the file yet, and time is left
  void record(const Row& shape, const Row& result);

  void expect(long points) { expected_ = points; }  // for the time left
  bool listing() const { return options_.list; }
  bool out_of_time() const;
  double seconds_left() const;
  void note(const std::string& text) const;  // to standard error

 private:
  void open();
  void read_existing(const std::string& path);
  void write_line(const std::string& line);
  void show_progress();

  Options options_;
  std::string name_;
  std::string header_;
  int file_ = -1;
  double start_s_;
  double shown_s_ = 0;
  long expected_ = 0;
  long seen_ = 0, skipped_ = 0, measured_ = 0, unsupported_ = 0, elsewhere_ = 0;
  std::unordered_set<std::string> done_;
};

// The header's members for the current GPU: name, software, driver, limits, date, whitelisted environment.
Row describe_machine(int gpus);

// Runs `body`; 0, or 1 with the error on standard error, or 2 for a bad command line.
int run_probe(int argc, char** argv, const std::string& name, const std::function<void(Session&)>& body);

}  // namespace probe
