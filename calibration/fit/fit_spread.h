// How unlike chips of one kind are (sim/spec/chip_spread.h), from rows of calibration/probes/survey.cu: one heavy product, back to back
// on every GPU of a machine, so that each chip settles at the clock that its power limit leaves.
//
//   spread = sqrt(sum over kinds and chips of (rate / mean of its kind - 1)^2 / (chips - kinds))      rate: FLOP/s of the product
//
// Borrowed surveys count: silicon of one design made by one process under one limit. Each kind is compared with its own mean. A chip that
// appears twice ("chip", the head of its UUID) counts once, by the mean of its rows. Left out, and named in `notes`: chips that their limit
// did not hold back (they tell nothing of the spread), and those 5 % below their kind's median, which survey.cu calls outliers and an
// operator replaces.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "calibration/fit/raw_file.h"
#include "sim/spec/calibration.h"

namespace trillion {

// Fewer chips know their deviation to no better than a quarter.
inline constexpr std::size_t kEnoughChips = 8;

// Nothing with fewer chips than that. Origin measured; the source says how many chips, and between what the deviation lies with 95 %
// (normal, its square's logarithm taken for normal: exp(+-1.96 / sqrt(2 (chips - kinds)))).
std::optional<Figure<double>> fit_spread(const std::vector<RawFile>& files, std::vector<std::string>& notes);

}  // namespace trillion
