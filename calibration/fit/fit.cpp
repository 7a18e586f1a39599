#include "calibration/fit/fit.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "calibration/fit/carry_over.h"
#include "calibration/fit/curve_fits.h"
#include "calibration/fit/curve_model.h"
#include "calibration/fit/curve_points.h"
#include "calibration/fit/figures.h"
#include "calibration/fit/fit_power.h"
#include "calibration/fit/fit_spread.h"
#include "calibration/fit/gemm_correction.h"
#include "calibration/fit/least_squares.h"
#include "calibration/fit/level.h"
#include "calibration/fit/readable.h"
#include "calibration/fit/subject.h"
#include "sim/base/error.h"
#include "sim/base/number_text.h"

namespace trillion {
namespace {

// The part of a kind's points that the project's aims speak of.
struct Aim {
  double median = 0;
  double from_bytes = 0;  // 0: all points
};
Aim aim_of(const GemmCurve&) { return {0.04, 0}; }
Aim aim_of(const AttentionCurve&) { return {0.04, 0}; }
Aim aim_of(const MemoryCurve&) { return {0.03, 16.0 * 1048576}; }
Aim aim_of(const CollectiveCurve&) { return {0.05, 1048576}; }
Aim aim_of(const ExpertCurve&) { return {0, 0}; }

double size_of(const Shape& shape) {
  if (const auto* m = std::get_if<MemoryBound>(&shape)) return (m->read + m->written).value();
  if (const auto* c = std::get_if<Collective>(&shape)) return c->bytes.value();
  return 0;
}

// Whether a fit asks for the power state: attention's priors do.
bool prior_of_load(const AttentionCurve& key) { return key.load == Load::sustained; }
template <class Curve>
bool prior_of_load(const Curve&) {
  return false;
}

std::vector<std::uint64_t> hashes_of(const Points& points) {
  std::vector<std::uint64_t> hashes;
  for (const Point& point : points) hashes.push_back(point.hash);
  return hashes;
}

class Fitter {
 public:
  explicit Fitter(FitReport& report) : report_(report) {}

  template <class Curve, class Fit>
  void fit_all(const CurvePoints<Curve>& map, const Fit& fit_anew, std::vector<Curve>& curves) {
    // A burst's points also lend their shape to the sustained curve: each set of points is fitted once.
    std::map<std::pair<bool, std::vector<std::uint64_t>>, Curve> fits;
    const auto fit_one = [&](const Curve& key, const Points& points) {
      const auto [at, fresh] = fits.try_emplace({prior_of_load(key), hashes_of(points)}, Curve{});
      if (fresh) at->second = fit_anew(key, points);
      Curve curve = at->second;
      if constexpr (requires { key.load; }) curve.load = key.load;
      if constexpr (std::is_same_v<Curve, GemmCurve>) curve.layout = key.layout;
      return curve;
    };
    for (const auto& [name, entry] : map) {
      const Points points = chosen_points(name, entry.second, report_.notes);
      ResidualRow row;
      Curve curve;
      const bool stands = own_groups_stand(entry.first, points);
      if (const auto level = stands ? std::nullopt : levelled(entry.first, points, map, fit_one)) {
        curve = *level;
        row = line_of(curve, "level of its few own points");
      } else {
        curve = fitted(entry.first, points, fit_one);
        row = line_of(curve, note_on(curve, points, fit_one));
      }
      // A point that was not measured says less than a residual between such points would claim.
      if (curve.info.provenance.origin != Origin::measured) curve.info.residuals.p90 = std::max(curve.info.residuals.p90, 0.15);
      make_readable(curve);
      row.median = curve.info.residuals.median, row.p90 = curve.info.residuals.p90;
      report_.residuals.push_back(row);
      curves.push_back(std::move(curve));
    }
  }

 private:
  template <class Curve, class Fit>
  static Curve fitted(const Curve& key, const Points& points, const Fit& fit_one) {
    Curve curve = fit_one(key, points);
    curve.info.provenance = provenance_of(points);
    curve.info.name = curve_name(key);
    return curve;
  }

  // Groups of GPUs of which own rows are enough stand beside borrowed rows of other groups: each group has a level of its own. Few own
  // rows of a group set the level of all.
  static bool own_groups_stand(const CollectiveCurve&, const Points& points) {
    std::map<GpuGroup, std::size_t> own;
    for (const Point& point : points) {
      if (!point.borrowed) ++own[group_of(point)];
    }
    return !own.empty() && std::all_of(own.begin(), own.end(), [](const auto& entry) { return entry.second >= kEnoughOwnRows; });
  }
  template <class Curve>
  static bool own_groups_stand(const Curve&, const Points&) {
    return false;
  }

  // The curve whose level the few points set and other points the shape: borrowed ones, or the kernel's in the other power state. Own
  // rows beside borrowed ones always set the level: either so or, where that predicts a left-out row better, by a fit of them alone.
  // Nothing: the points are many, or nothing else has a shape.
  template <class Curve, class Fit>
  std::optional<Curve> levelled(const Curve& key, const Points& points, const CurvePoints<Curve>& map, const Fit& fit_one) {
    Points own, lent;
    for (const Point& point : points) (point.borrowed ? lent : own).push_back(point);
    const bool mixed = !own.empty() && !lent.empty();
    if (own.empty()) own = points, lent.clear();
    Points shape = shape_points(key, lent, map);
    if (mixed && shape.size() < kEnoughOwnRows) shape = points;
    constexpr std::size_t kFew = 64;
    const bool enough_shape = shape.size() >= kEnoughOwnRows && shape.size() >= 2 * own.size();
    if (!mixed && (own.empty() || own.size() >= kFew || !enough_shape)) return std::nullopt;
    Curve level = level_on(key, own, shape, fit_one, mixed);
    if (own.size() < 3) return level;
    if (!mixed) level = bent(std::move(level), own);
    const Curve alone = fitted(key, own, fit_one);
    if (score(level.info.residuals) < score(alone.info.residuals)) return level;
    return mixed ? std::optional<Curve>(alone) : std::nullopt;
  }

  // `lent` where they are enough for a shape of their own; else the more of them and of the kernel's points in the other power state.
  template <class Curve>
  Points shape_points(const Curve& key, const Points& lent, const CurvePoints<Curve>& map) {
    constexpr std::size_t kEnough = 30;
    if constexpr (requires { key.load; }) {
      Curve other = key;
      other.load = key.load == Load::burst ? Load::sustained : Load::burst;
      const auto found = map.find(curve_name(other));
      if (lent.size() >= kEnough || found == map.end()) return lent;
      std::vector<std::string> unheard;
      const Points of_other = chosen_points(found->first, found->second.second, unheard);
      return of_other.size() > lent.size() ? of_other : lent;
    }
    return lent;
  }

  // A burst's products under the power limit: the clock that is left depends on fill and k, so the level does too, where that is better
  // by a twentieth.
  static GemmCurve bent(GemmCurve curve, const Points& points) {
    if (curve.grouped || points.size() < 16) return curve;
    const Residuals residuals = cross_validate(points, [&](const Points& train) { return with_correction(curve, train); });
    if (score(residuals) > 0.95 * score(curve.info.residuals)) return curve;
    curve = with_correction(std::move(curve), points);
    curve.info.residuals = residuals;
    return curve;
  }
  template <class Curve>
  static Curve bent(Curve curve, const Points&) {
    return curve;
  }

  // A product's time depends on the library's choice for its shape, so a few products of one kind say little about another kind.
  static bool set_level_nearby(GemmCurve& curve, const Points& level) {
    if (curve.grouped) return false;
    curve = with_level_nearby(std::move(curve), level);
    return true;
  }
  template <class Curve>
  static bool set_level_nearby(Curve&, const Points&) {
    return false;
  }

  // `nearby`: of products the level near them alone, for the shape is not of this chip or stack.
  template <class Curve, class Fit>
  static Curve level_on(const Curve& key, const Points& level, const Points& shape, const Fit& fit_one, bool nearby) {
    Curve curve = fit_one(key, shape);
    if constexpr (std::is_same_v<Curve, AttentionCurve>) curve.throttle = key.load == Load::burst ? curve.throttle : 0.0;
    std::vector<double> ratios;
    for (const auto& point : level) ratios.push_back(std::log(point.seconds / predict(curve, point)));
    if (!nearby || !set_level_nearby(curve, level)) slow_down(curve, std::exp(mean_of(ratios)));
    curve.info.residuals = level_residuals(ratios, curve.info.residuals);
    curve.info.provenance = provenance_of(level);
    curve.info.provenance.source += "; shape of the curve: " + std::to_string(shape.size()) + " points, " + provenance_of(shape).source;
    curve.info.name = curve_name(key);
    return curve;
  }

  template <class Curve>
  static ResidualRow line_of(const Curve& curve, const std::string& note) {
    const Residuals& r = curve.info.residuals;
    return {curve.info.name, curve.info.provenance.origin, r.points, r.median, r.p90, aim_of(curve).median, note};
  }

  template <class Curve, class Fit>
  std::string note_on(const Curve& curve, const Points& points, const Fit& fit_one) const {
    std::string note;
    const auto lent = std::count_if(points.begin(), points.end(), [](const Point& p) { return p.borrowed; });
    if (lent > 0) note = std::to_string(lent) + " of " + std::to_string(points.size()) + " points borrowed";
    const double from = aim_of(curve).from_bytes;
    if (from > 0 && curve.info.residuals.points > 0)
      note += (note.empty() ? "" : "; ") + large_note(points, entry_key(curve), fit_one, from);
    return note;
  }

  // The key alone, without parameters: what the fit of each fold starts from.
  template <class Curve>
  static Curve entry_key(Curve curve) {
    curve.info = {};
    return strip(curve);
  }
  static MemoryCurve strip(const MemoryCurve& c) {
    MemoryCurve key;
    key.kernel = c.kernel, key.load = c.load;
    return key;
  }
  static CollectiveCurve strip(const CollectiveCurve& c) {
    CollectiveCurve key;
    key.kind = c.kind;
    return key;
  }
  template <class Curve>
  static Curve strip(const Curve& c) {
    return c;
  }

  template <class Curve, class Fit>
  std::string large_note(const Points& points, const Curve& key, const Fit& fit_one, double from) const {
    std::vector<double> errors;
    std::vector<double> sizes;
    const auto ratios = held_out(points, [&](const Points& train, const Points& test) {
      const Curve curve = fit_one(key, train);
      std::vector<double> seconds;
      for (const auto& point : test) {
        seconds.push_back(predict(curve, point));
        sizes.push_back(size_of(point.query.shape));
      }
      return seconds;
    });
    for (std::size_t i = 0; i < ratios.size(); ++i) {
      if (sizes[i] >= from) errors.push_back(std::abs(std::expm1(ratios[i])));
    }
    if (errors.empty()) return "no point above " + bytes_text(Bytes{from});
    return "above " + bytes_text(Bytes{from}) + ": median " + percent_text(quantile(errors, 0.5)) + ", p90 " +
           percent_text(quantile(errors, 0.9));
  }

  FitReport& report_;
};

// Collectives that nobody measured, from the achieved rates that facts.yaml names.
void add_link_collectives(const Subject& subject, FitReport& report) {
  if (!subject.facts.links) return;
  auto& curves = report.calibration.collectives;
  for (std::size_t i = 0; i < kCollectiveKindNames.size(); ++i) {
    CollectiveCurve key;
    key.kind = static_cast<CollectiveKind>(i);
    if (key.kind == CollectiveKind::expert_dispatch || key.kind == CollectiveKind::expert_combine) continue;
    const bool have = std::any_of(curves.begin(), curves.end(), [&](const auto& c) { return c.kind == key.kind; });
    if (have) continue;
    CollectiveCurve curve = fit_collective(key, {}, subject.chip, subject.facts.links);
    curve.info = {curve_name(curve), subject.facts.links->provenance, {0.10, 0.20, 0}, 1};
    make_readable(curve);
    report.residuals.push_back(
        {curve.info.name, curve.info.provenance.origin, 0, 0.10, 0.20, 0.05, "no rows: closed form with the stated rates"});
    curves.push_back(curve);
  }
}

}  // namespace

FitReport fit(const std::vector<RawFile>& as_read) {
  std::vector<RawFile> files = as_read;
  carry_over(files);
  const Subject subject = find_subject(files);
  FitReport report;
  for (const auto& file : files) {
    for (const auto& note : file.notes) report.notes.push_back(file.name + ": " + note);
  }
  Calibration& calibration = report.calibration;
  calibration.gpu = subject.gpu;
  calibration.software = subject.software;
  calibration.chip = subject.chip;
  calibration.power = fit_power(files);
  calibration.stack = assumed_stack();
  apply_measured_figures(files, subject.chip, calibration.stack, report.notes);
  if (const auto spread = fit_spread(files, report.notes)) calibration.stack.chip_spread = *spread;
  apply_facts(subject.facts, calibration.stack);

  SortedPoints sorted = sort_points(files, subject.chip);
  Fitter fitter(report);
  const Chip& chip = subject.chip;
  const auto& links = subject.facts.links;
  fitter.fit_all(
      sorted.gemms, [&](const GemmCurve& key, const Points& p) { return fit_gemm(key, p, chip); }, calibration.gemms);
  fitter.fit_all(
      sorted.attentions, [&](const AttentionCurve& key, const Points& p) { return fit_attention(key, p, chip); }, calibration.attentions);
  fitter.fit_all(
      sorted.memory_kernels, [&](const MemoryCurve& key, const Points& p) { return fit_memory(key, p, chip); }, calibration.memory_kernels);
  fitter.fit_all(
      sorted.collectives, [&](const CollectiveCurve& key, const Points& p) { return fit_collective(key, p, chip, links); },
      calibration.collectives);
  add_link_collectives(subject, report);
  fitter.fit_all(
      sorted.experts, [&](const ExpertCurve& key, const Points& p) { return fit_expert(key, p, chip, links); }, calibration.experts);
  if (report.residuals.empty())
    throw InputError("no row that can be fitted: " + std::to_string(files.size()) + " files, none with a shape and a time");

  const std::vector<std::string> complaints = calibration.validate();
  CHECK(complaints.empty(), complaints.empty() ? "" : complaints.front());
  return report;
}

}  // namespace trillion
