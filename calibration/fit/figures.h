// The figures of spec/calibration.h's Stack that no fit gives: assumed ones, what facts.yaml says, what probes measured; each
// later source replaces the earlier.
#pragma once

#include <string>
#include <vector>

#include "calibration/fit/raw_file.h"
#include "sim/spec/calibration.h"

namespace trillion {

// Every figure with origin `assumed` and a source that says why.
Stack assumed_stack();

// From "launch", "host_copy" and "interference" rows (calibration/probes/host.cu, interference.cu) of all files; appends to
// `notes` what it could not use.
void apply_measured_figures(const std::vector<RawFile>& files, const Chip& chip, Stack& stack, std::vector<std::string>& notes);

// What facts.yaml says.
void apply_facts(const Facts& facts, Stack& stack);

}  // namespace trillion
