// What a profile is of: facts.yaml's word, else the one GPU that all files name.
#pragma once

#include <string>
#include <vector>

#include "calibration/fit/facts.h"
#include "calibration/fit/raw_file.h"

namespace trillion {

struct Subject {
  Facts facts;
  std::string gpu, software;
  Chip chip;
};

// Borrowed files have no say. Throws InputError: two facts files, no GPU or several, a GPU without vendor figures.
Subject find_subject(const std::vector<RawFile>& files);

}  // namespace trillion
