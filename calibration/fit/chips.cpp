#include "calibration/fit/chips.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

namespace trillion {
namespace {

struct Row {
  const char* name;
  std::int64_t sms;
  double bf16_tflops, fp8_tflops, memory_tb, nvlink_gb, nic_gb;
};

// Dense peaks; NVLink one way; NVIDIA datasheets and ../shared/facts/hardware.md, sections 1 and 2. The longer names first.
constexpr std::array<Row, 11> kRows = {{{"A100-40", 108, 312, 0, 1.555, 300, 25},
                                        {"A100", 108, 312, 0, 2.039, 300, 25},
                                        {"A800", 108, 312, 0, 2.039, 200, 25},
                                        {"H100", 132, 989.4, 1978.9, 3.35, 450, 50},
                                        {"H800", 132, 989.4, 1978.9, 3.35, 200, 50},
                                        {"H200", 132, 989.4, 1978.9, 4.8, 450, 50},
                                        {"H20", 78, 148, 296, 4.0, 450, 50},
                                        {"GB300", 160, 2500, 5000, 8.0, 900, 100},
                                        {"B300", 160, 2500, 5000, 8.0, 900, 100},
                                        {"GB200", 148, 2500, 5000, 8.0, 900, 50},
                                        {"B200", 148, 2250, 4500, 8.0, 900, 50}}};

std::string plain(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c))) result += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return result;
}

}  // namespace

std::optional<Chip> vendor_chip(const std::string& gpu) {
  const std::string wanted = plain(gpu);
  for (const auto& row : kRows) {
    if (wanted.find(plain(row.name)) == std::string::npos) continue;
    Chip chip;
    chip.sms = row.sms;
    chip.peak_bf16 = FlopsPerSecond{row.bf16_tflops * 1e12};
    chip.peak_fp8 = FlopsPerSecond{row.fp8_tflops * 1e12};
    chip.memory_bandwidth = BytesPerSecond{row.memory_tb * 1e12};
    chip.nvlink = BytesPerSecond{row.nvlink_gb * 1e9};
    chip.nic = BytesPerSecond{row.nic_gb * 1e9};
    chip.provenance = {Origin::vendor, std::string("NVIDIA datasheet of the ") + row.name + " SXM and of its 8-GPU node"};
    return chip;
  }
  return std::nullopt;
}

std::vector<std::string> known_chips() {
  std::vector<std::string> names;
  for (const auto& row : kRows) names.emplace_back(row.name);
  return names;
}

}  // namespace trillion
