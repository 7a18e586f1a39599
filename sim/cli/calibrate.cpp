#include <string>

#include "calibration/fit/fit.h"
#include "sim/base/number_text.h"
#include "sim/cli/command_line.h"
#include "sim/cli/output_file.h"
#include "sim/cli/verbs.h"
#include "sim/report/table.h"
#include "sim/spec/load_calibration.h"

namespace trillion {
namespace {

// |predicted / measured - 1| on points that the fit did not see, per curve.
std::string residual_table(const FitReport& report, const TextStyle& style) {
  Table table({{"curve", Align::left, Fit::shrink},
               {"origin", Align::left},
               {"points"},
               {"median"},
               {"90th pct."},
               {"aim"},
               {"note", Align::left, Fit::shrink}});
  for (const ResidualRow& row : report.residuals) {
    const bool held_out = row.points > 0;
    table.add_row({row.curve, to_text(row.origin), std::to_string(row.points), held_out ? percent_text(row.median) : "-",
                   held_out ? percent_text(row.p90) : "-", row.aim_median > 0 ? percent_text(row.aim_median) : "", row.note});
  }
  return table.to_text(0, style);
}

}  // namespace

int run_calibrate(const CalibrateOptions& options, const Streams& streams) {
  const FitReport report = fit(read_raw(options.raw));
  const std::string profile = calibration_text(report.calibration);
  if (options.output == "-") {
    streams.out << profile;
  } else {
    write_whole_file(options.output, profile);
    streams.out << residual_table(report, streams.out_style);
  }
  if (options.quiet) return kExitDone;
  for (const std::string& note : report.notes) streams.err << "note: " << note << "\n";
  if (options.output != "-") streams.err << "note: the profile of " << report.calibration.gpu << " is " << options.output << "\n";
  return kExitDone;
}

}  // namespace trillion
