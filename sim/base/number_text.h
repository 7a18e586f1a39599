// Numbers as a person reads them: three or four significant digits, a unit, no raw doubles. Locale-independent.
#pragma once

#include <cstdint>
#include <string>

#include "sim/base/quantity.h"

namespace trillion {

std::string duration_text(Seconds t);                    // "12.34 ms" "19.9 s" "3.7 days"
std::string bytes_text(Bytes b);                         // binary units: "58.7 MiB" "74.5 GiB"
std::string rate_text(BytesPerSecond r);                 // decimal units, as wires are sold: "50.0 GB/s"
std::string flops_rate_text(FlopsPerSecond r);           // "556 TFLOP/s"
std::string flops_text(Flops f);                         // "250.5 GFLOP"
std::string usd_text(Usd usd);                           // "$361K" "$5.33M" "$12.40"
std::string count_text(double count);                    // "14.8T" "180.2K" "671.0B" "120"
std::string grouped_text(std::int64_t count);            // "62 914 560" with thin grouping by spaces
std::string percent_text(double ratio);                  // 0.4312 -> "43.1 %"
std::string signed_percent_text(double ratio);           // -0.0173 -> "-1.7 %"
std::string fixed_text(double value, int decimals);      // "3.14"; never "-0.00"
std::string significant_text(double value, int digits);  // 12345.6, 3 -> "12300"; plain decimal, no exponent

}  // namespace trillion
