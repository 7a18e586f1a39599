#include "sim/estimate/traffic_csv.h"

#include <cmath>

#include "sim/base/number_text.h"

namespace trillion {

std::string traffic_csv(const ExchangeFlows& flows) {
  std::string csv = "direction,wire,from,to,bytes,alone_us,together_us\n";
  for (const ExchangeTransfer& t : flows.transfers) {
    csv += std::string(t.dispatch ? "dispatch," : "combine,") + (t.nic ? "nic," : "nvlink,") + std::to_string(t.from) + "," +
           std::to_string(t.to) + "," + std::to_string(std::llround(t.bytes.value())) + "," + fixed_text(t.alone.value() * 1e6, 1) + "," +
           fixed_text(t.together.value() * 1e6, 1) + "\n";
  }
  return csv;
}

}  // namespace trillion
