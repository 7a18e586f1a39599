// facts.yaml: the figures of a profile that are not measurements, each with origin and source. All of it is optional.
//
//   gpu: NVIDIA H800                        # what the profile is called; default: the raw files' own
//   software: DeepSeek-V3 training stack
//   borrow:                                 # measured on the same silicon: rows of these ops stand in where own rows lack
//     - {folder: ../h100, ops: [gemm, attention]}
//     - {folder: ../a100, ops: [gemm], same_chip: true}     # of this very chip under other software: they are own rows
//   chip: {sms: 132, peak_bf16: 989.4 TFLOP/s, ...}      # default: the vendor's figures of known GPUs (chips.h)
//   links: {nvlink: 160 GB/s, nic: 47 GB/s, origin: paper, source: "..."}      # achieved by collectives, where none is measured
//   stack:                                  # any of spec/calibration.h's figures; default: assumed ones (figures.h)
//     context: {value: 600 MiB, origin: measured, source: "..."}
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/spec/calibration.h"
#include "sim/spec/yaml_reader.h"

namespace trillion {

// Achieved by large collectives.
struct AchievedLinks {
  BytesPerSecond nvlink, nic;
  Provenance provenance;
};

// Rows of another folder (relative to the file) that hold for this GPU too.
struct Borrow {
  std::string folder;
  std::vector<std::string> ops;
  bool same_chip = false;
};

struct Facts {
  std::string gpu, software;  // empty: not said
  std::vector<Borrow> borrow;
  std::optional<Chip> chip;
  std::optional<AchievedLinks> links;
  Stack stack;  // figures with an empty source were not given
};

// Throws InputError.
Facts read_facts(YamlDocument document);

}  // namespace trillion
