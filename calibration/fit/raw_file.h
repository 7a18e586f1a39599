// Measurements as they come: files in, points out. Nothing is dropped silently: what a file holds and the fit cannot use is
// named in `notes`.
//
// Read are
//   *.jsonl          our probes' rows and hand-written figures: a header line {"schema":"trillion.raw/1","gpu","software",
//                    "origin","source"[,"sms"]}, then one shape per line (spec/shape_text.h) with "time_s". A row may carry its
//                    own "origin" and "source". Rows with "unsupported" say that the machine declined.
//   *.txt *.log      nccl-tests' text, with or without the prefixes of mpirun and srun (nccl_tests.h)
//   *.json           nccl-tests' JSON, whole or cut off (nccl_tests.h)
//   *.csv            GEMM timings: m,n,k,dtype_a,dtype_out,layout,time_us[,sm_clock_mhz] (gemm_csv.h)
//   facts.yaml       what is not a measurement: vendor, paper and assumed figures (facts.h)
// told apart by what they contain where the name says nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "calibration/fit/facts.h"
#include "sim/base/quantity.h"
#include "sim/spec/json_line.h"
#include "sim/spec/origin.h"
#include "sim/spec/shape_text.h"

namespace trillion {

// One measured time.
struct RawRow {
  ShapeQuery query;
  Seconds time;
  Provenance provenance;
  std::string path;                   // which library path, where there are several ("cublas-grouped"); empty otherwise
  double clock_mhz = 0, power_w = 0;  // while it was measured; 0: not said
  std::int64_t channels = 0;          // of a collective: blocks of its kernel, which hold an SM each; 0: not said
};

struct RawFile {
  std::string name;           // as given
  std::string gpu, software;  // empty where the format does not say
  Provenance provenance;
  std::int64_t sms = 0;                         // of the chip; 0 where the format does not say
  double power_limit_w = 0, clock_max_mhz = 0;  // of the chip; 0 where the format does not say
  Nvls nvls = Nvls::disabled;                   // of the collectives: the header's "nvls"; left out: disabled
  std::vector<RawRow> rows;
  std::vector<JsonLine> others;    // rows that are no shape: "launch", "host_copy", "interference", "power", "sequence", "survey"
  std::optional<Facts> facts;      // of a facts.yaml
  bool borrowed = false;           // measured on other silicon that Facts::borrow names as the same
  std::vector<std::string> notes;  // "12 rows: unsupported"
};

// Each path is a file or a folder (its files in name order; then what its facts.yaml borrows). Throws InputError with everything
// that is wrong in any of them.
std::vector<RawFile> read_raw(const std::vector<std::string>& paths);

// One file. Throws InputError.
RawFile read_raw_file(const std::string& path);

// The same from text, told apart by content; `name` is what diagnostics show.
RawFile parse_raw(const std::string& text, const std::string& name);

}  // namespace trillion
