// What measured expert loads (spec/expert_counts.h) say that the model cannot have.
#pragma once

#include <string>
#include <vector>

#include "sim/base/error.h"
#include "sim/spec/expert_counts.h"
#include "sim/spec/model.h"

namespace trillion {

// The first row of a layer or an expert that the model does not have, and the first row of every layer whose counts are all 0. Layers are
// numbered from 0, modules for multi-token prediction after the last. `path` is the file that `counts` were read from.
std::vector<Diagnostic> expert_misfits(const std::vector<ExpertCount>& counts, const std::string& path, const Model& model);

}  // namespace trillion
