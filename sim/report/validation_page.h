// Predicted against published as a table, with the median error below it.
#pragma once

#include <string>
#include <vector>

#include "sim/estimate/validation.h"
#include "sim/report/text_style.h"

namespace trillion {

std::string validation_page(const std::vector<ValidationRow>& rows, const TextStyle& style);

}  // namespace trillion
