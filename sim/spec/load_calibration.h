// A calibration profile as a file (calibration/profiles/*.yaml): reading and writing. The two are inverses to the last bit, and
// writing is deterministic, so that a refit of unchanged measurements changes no byte.
//
//   gpu: NVIDIA H800
//   software: ...
//   chip: {sms: 132, peak_bf16: 989.4 TFLOP/s, ..., origin: vendor, source: "..."}
//   stack:
//     kernel_gap: {value: 1.2 us, origin: measured, source: "..."}
//   gemms:
//     - dtype: fp8_block
//       layout: forward
//       load: sustained
//       sm_rate: 9.5 TFLOP/s
//       ...
//       residuals: {median: 0.021, p90: 0.055, points: 12}
//       origin: measured
//       source: "..."
//   attentions, memory_kernels, collectives, experts: likewise; a curve's key is what distinguishes it from the others
//
// A profile belongs to a GPU and a software stack. Another stack on the same GPU is a file of its changes:
//
//   base: h100.yaml                         # relative to the file
//   stack:
//     framework: {value: torch-eager, origin: measured, source: "..."}
#pragma once

#include <string>
#include <vector>

#include "sim/spec/calibration.h"
#include "sim/spec/yaml_reader.h"

namespace trillion {

// Throws InputError with everything that is wrong. `overrides` are "stack.kernel_gap.value=2 us" pairs as `--set` takes them.
Calibration load_calibration(const std::string& path, const std::vector<std::string>& overrides = {});

// The file's text, laid over the `base` that it names, if it names one. Throws InputError.
YamlDocument calibration_document(const std::string& path);

// The same from a mapping that is open already; complaints go to the reader's diagnostics.
Calibration read_calibration(YamlReader& reader);

// The file's text.
std::string calibration_text(const Calibration& calibration);

}  // namespace trillion
