// --export: the plan of an answer in a framework's own words.
#pragma once

#include "sim/cli/streams.h"
#include "sim/cli/verbs.h"
#include "sim/estimate/estimate.h"

namespace trillion {

// Writes `options.file`, or standard output where there is none. What a file has no room for goes beside it ("x.launch.sh"), or to
// standard error. REQUIRES: options.target.
void export_plan(const Scenario& scenario, const StepResult& step, const ExportOptions& options, const Streams& streams);

// The export goes where nothing else may go.
bool takes_standard_output(const ExportOptions& options);

// Throws InputError: a file without a framework; two that want standard output.
void check_export(const ExportOptions& options, const std::string& json);

}  // namespace trillion
