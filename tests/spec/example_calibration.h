// The text of a profile without curves: enough to load a scenario that is not run.
#pragma once

#include <string>

#include "sim/spec/load_calibration.h"

namespace trillion {

inline std::string example_calibration_text() {
  Calibration c;
  c.gpu = "an example";
  c.software = "none";
  c.chip = {132,
            FlopsPerSecond{1e15},
            FlopsPerSecond{2e15},
            BytesPerSecond{3e12},
            BytesPerSecond{2e11},
            BytesPerSecond{5e10},
            {Origin::assumed, "a test"}};
  for_each_figure(c.stack, [](const char*, auto& figure) {
    using T = std::decay_t<decltype(figure.value)>;
    if constexpr (std::is_same_v<T, DType>) figure.value = DType::fp8;
    constexpr bool kList = requires { figure.value.push_back({}); };
    if constexpr (!std::is_enum_v<T> && !kList) figure.value = T{1};
    figure.provenance = {Origin::assumed, "a test"};
  });
  return calibration_text(c);
}

}  // namespace trillion
