// Vendor figures of known GPUs, so that a user with one of them need not write them down.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/spec/calibration.h"

namespace trillion {

// By name in any common spelling: "H100", "NVIDIA H100 80GB HBM3", "h100 sxm". Nothing for an unknown GPU.
// The NIC is the one that the vendor's own 8-GPU node has per GPU.
std::optional<Chip> vendor_chip(const std::string& gpu);

std::vector<std::string> known_chips();

}  // namespace trillion
