// Memory-bound rows lent by a chip with another memory (facts.h, Borrow): what their bytes take scales with the copy rates of the
// two chips, what their instructions take beyond that stays,
//
//   time' = ((bytes / rate')^4 + time^4 - (bytes / rate)^4)^(1/4)          rate: of the chip's own large copies
#pragma once

#include <vector>

#include "calibration/fit/raw_file.h"

namespace trillion {

// Changes the borrowed files' memory-bound rows, where both chips have copies of 64 MiB or more to compare; else leaves them.
void carry_over(std::vector<RawFile>& files);

}  // namespace trillion
