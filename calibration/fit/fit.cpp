#include "calibration/fit/fit.h"

#include <algorithm>
#include <map>
#include <set>

#include "calibration/fit/carry_over.h"
#include "calibration/fit/chips.h"
#include "calibration/fit/curve_fits.h"
#include "calibration/fit/figures.h"
#include "calibration/fit/fit_power.h"
#include "calibration/fit/least_squares.h"
#include "calibration/fit/level.h"
#include "calibration/fit/readable.h"
#include "sim/base/error.h"
#include "sim/base/number_text.h"

namespace trillion {
namespace {

// What the profile is of: facts.yaml's word, else the one GPU that all files name.
struct Subject {
  Facts facts;
  std::string gpu, software;
  Chip chip;
};

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

Facts find_facts(const std::vector<RawFile>& files) {
  const RawFile* found = nullptr;
  for (const auto& file : files) {
    if (!file.facts || file.borrowed) continue;
    if (found != nullptr) throw InputError("two facts files: '" + found->name + "' and '" + file.name + "'");
    found = &file;
  }
  return found == nullptr ? Facts{} : *found->facts;
}

// Distinct in order of appearance, of files that are the subject's own.
template <class Member>
std::vector<std::string> own_words(const std::vector<RawFile>& files, Member member) {
  std::vector<std::string> words;
  for (const auto& file : files) {
    const std::string& word = file.*member;
    if (!file.borrowed && !word.empty() && std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
  }
  return words;
}

std::string chip_key(const std::string& gpu) {
  const auto chip = vendor_chip(gpu);
  return chip ? chip->provenance.source : gpu;
}

Subject find_subject(const std::vector<RawFile>& files) {
  Subject subject;
  subject.facts = find_facts(files);
  const std::vector<std::string> gpus = own_words(files, &RawFile::gpu);
  subject.gpu = subject.facts.gpu;
  if (subject.gpu.empty()) {
    if (gpus.empty()) throw InputError("no file says which GPU was measured; write a facts.yaml with 'gpu: ...' beside them");
    for (const auto& gpu : gpus) {
      if (chip_key(gpu) != chip_key(gpus.front())) {
        throw InputError("the measurements are of several GPUs (" + joined(gpus, ", ") + "); a profile is of one: give one folder per GPU");
      }
    }
    subject.gpu = gpus.front();
  }
  subject.software = subject.facts.software.empty() ? joined(own_words(files, &RawFile::software), "; ") : subject.facts.software;
  if (subject.software.empty()) subject.software = "not said";
  const auto chip = subject.facts.chip ? subject.facts.chip : vendor_chip(subject.gpu);
  if (!chip) {
    throw InputError("the GPU '" + subject.gpu + "' is not one of " + joined(known_chips(), ", ") +
                     "; write its vendor figures under 'chip:' in a facts.yaml beside the measurements");
  }
  subject.chip = *chip;
  return subject;
}

// Keys of the five kinds of curves, ordered as the profile lists them.
GemmCurve key_of(const Gemm& g, Load load) {
  GemmCurve key;
  key.dtype = g.dtype, key.layout = g.layout, key.accumulate_fp32 = g.accumulate_fp32, key.load = load;
  return key;
}
GemmCurve key_of(const GroupedGemm& g, Load load) {
  GemmCurve key;
  key.grouped = true, key.dtype = g.dtype, key.layout = g.layout, key.accumulate_fp32 = g.accumulate_fp32, key.load = load;
  return key;
}
AttentionCurve key_of(const Attention& a, Load load) {
  AttentionCurve key;
  key.dtype = a.dtype, key.direction = a.direction, key.qk_dim = a.qk_dim, key.v_dim = a.v_dim, key.load = load;
  key.library = a.library;
  return key;
}
MemoryCurve key_of(const MemoryBound& m, Load load) {
  MemoryCurve key;
  key.kernel = m.kernel, key.load = load;
  return key;
}

struct Group {
  Points points;
  std::map<std::string, Points> by_path;  // while several library paths compete
};

// All points, sorted by curve. std::map: the order of a profile must not depend on the order of files.
struct Sorted {
  std::map<std::string, std::pair<GemmCurve, Group>> gemms;
  std::map<std::string, std::pair<AttentionCurve, Group>> attentions;
  std::map<std::string, std::pair<MemoryCurve, Group>> memory_kernels;
  std::map<std::string, std::pair<CollectiveCurve, Group>> collectives;
  std::map<std::string, std::pair<ExpertCurve, Group>> experts;

  template <class Map, class Curve>
  static void put(Map& map, const Curve& key, const Point& point, const std::string& path) {
    auto& entry = map.try_emplace(curve_name(key), key, Group{}).first->second;
    entry.second.by_path[path].push_back(point);
  }

  void add(const Point& point, const std::string& path) {
    const Load load = point.query.load;
    if (const auto* c = std::get_if<Collective>(&point.query.shape)) return add(*c, point, path);
    if (const auto* g = std::get_if<Gemm>(&point.query.shape)) put(gemms, key_of(*g, load), point, path);
    if (const auto* g = std::get_if<GroupedGemm>(&point.query.shape)) put(gemms, key_of(*g, load), point, path);
    if (const auto* a = std::get_if<Attention>(&point.query.shape)) put(attentions, key_of(*a, load), point, path);
    if (const auto* m = std::get_if<MemoryBound>(&point.query.shape)) put(memory_kernels, key_of(*m, load), point, path);
  }

  void add(const Collective& c, const Point& point, const std::string& path) {
    if (c.kind == CollectiveKind::expert_dispatch || c.kind == CollectiveKind::expert_combine) {
      ExpertCurve key;
      key.kind = c.kind, key.load = point.query.load;
      put(experts, key, point, path);
    } else {
      CollectiveCurve key;
      key.kind = c.kind;
      put(collectives, key, point, path);
    }
  }
};

// Work of a shape, so that times of unlike shapes can be compared between paths.
double work_of(const Shape& shape) {
  if (const auto* g = std::get_if<Gemm>(&shape)) return flops(*g).value();
  if (const auto* g = std::get_if<GroupedGemm>(&shape)) return flops(*g).value();
  if (const auto* a = std::get_if<Attention>(&shape)) return flops(*a).value();
  return 1;
}

bool is_measured(const Point& point) { return point.provenance.origin == Origin::measured; }

// Geometric mean of time over work on the shapes that two paths share; on all shapes when they share none.
double cost_beside(const Points& points, const Points& others) {
  std::set<std::uint64_t> shared;
  for (const auto& point : others) shared.insert(point.hash);
  double sum = 0, count = 0, all = 0;
  for (const auto& point : points) {
    const double cost = std::log(point.seconds / std::max(1.0, work_of(point.query.shape)));
    all += cost;
    if (shared.count(point.hash) > 0) sum += cost, count += 1;
  }
  return count > 0 ? sum / count : all / static_cast<double>(std::max<std::size_t>(1, points.size()));
}

// Of several library paths the fastest, as a stack would choose; a path with less than half of the largest one's points does not
// stand. Rows without a path (a trace's, a published figure) join any.
Points fastest_path(const std::string& name, const Group& group, std::vector<std::string>& notes) {
  std::string best_path;
  std::size_t most = 0;
  for (const auto& [path, points] : group.by_path) {
    if (!path.empty() && points.size() > most) most = points.size(), best_path = path;
  }
  for (const auto& [path, points] : group.by_path) {
    const Points& best = group.by_path.at(best_path);
    if (path.empty() || path == best_path || 2 * points.size() < most) continue;
    if (cost_beside(points, best) < cost_beside(best, points)) best_path = path;
  }
  Points result = group.by_path.at(best_path);
  const auto plain = group.by_path.find("");
  if (!best_path.empty() && plain != group.by_path.end()) result.insert(result.end(), plain->second.begin(), plain->second.end());
  if (group.by_path.size() > 1 && !best_path.empty())
    notes.push_back(name + ": library path '" + best_path + "' is used, the fastest of those measured");
  return result;
}

// The path's points: measured ones alone if there are any, and own ones alone if there are enough.
Points chosen_points(const std::string& name, const Group& group, std::vector<std::string>& notes) {
  Points points = fastest_path(name, group, notes);
  if (std::any_of(points.begin(), points.end(), is_measured)) std::erase_if(points, [](const Point& p) { return !is_measured(p); });
  const auto own = std::count_if(points.begin(), points.end(), [](const Point& p) { return !p.borrowed; });
  if (static_cast<std::size_t>(own) >= kEnoughOwnRows) std::erase_if(points, [](const Point& p) { return p.borrowed; });
  return points;
}

Sorted sort_points(const std::vector<RawFile>& files, const Chip& chip) {
  Sorted sorted;
  for (const auto& file : files) {
    const double sms = static_cast<double>(file.sms > 0 ? file.sms : chip.sms);
    for (const auto& row : file.rows) {
      Point point;
      point.query = row.query;
      point.seconds = row.time.value();
      point.sms = row.query.sms > 0 ? static_cast<double>(row.query.sms) : sms;
      point.provenance = row.provenance;
      if (!row.path.empty()) point.provenance.source += " (" + row.path + ")";
      point.borrowed = file.borrowed;
      point.channels = row.channels;
      if (file.borrowed) point.provenance.source = "borrowed from " + file.gpu + ": " + point.provenance.source;
      ShapeQuery identity = row.query;
      identity.sms = 0;
      point.hash = hash_of(shape_text(identity));
      sorted.add(point, row.path);
    }
  }
  return sorted;
}

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

class Fitter {
 public:
  Fitter(const Subject& subject, FitReport& report) : subject_(subject), report_(report) {}

  template <class Map, class Fit, class Curve>
  void fit_all(Map& map, const Fit& fit_one, std::vector<Curve>& curves) {
    for (auto& [name, entry] : map) {
      const Points points = chosen_points(name, entry.second, report_.notes);
      Curve curve = fit_one(entry.first, points);
      curve.info.provenance = provenance_of(points);
      curve.info.name = name;
      ResidualRow row = line_for(curve, points, fit_one);
      if constexpr (!std::is_same_v<Curve, CollectiveCurve> && !std::is_same_v<Curve, ExpertCurve>) {
        if (const auto level = levelled(entry.first, points, map, fit_one)) {
          if (points.size() < 3 || score_of(level->info.residuals) < score_of(curve.info.residuals)) {
            curve = *level;
            row = {name,
                   curve.info.provenance.origin,
                   curve.info.residuals.points,
                   curve.info.residuals.median,
                   curve.info.residuals.p90,
                   aim_of(curve).median,
                   "level of few points on another curve's shape"};
          }
        }
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
  static double score_of(const Residuals& r) { return r.median + 0.25 * r.p90; }

  // A curve with the donor's shape and the level of the few points; nothing when the points are many or no donor has more.
  // Donors: borrowed points of the same key (for attention and memory-bound kernels, whose own few points are whole layers'; a
  // stack's few GEMMs are too special to set a level), and the kernel's points in the other power state.
  template <class Curve, class Map, class Fit>
  std::optional<Curve> levelled(const Curve& key, const Points& points, Map& map, const Fit& fit_one) {
    constexpr bool kGemm = std::is_same_v<Curve, GemmCurve>;
    Points level = points, donor;
    if (!kGemm && std::any_of(points.begin(), points.end(), [](const Point& p) { return !p.borrowed; })) {
      std::erase_if(level, [](const Point& p) { return p.borrowed; });
      donor = points;
      std::erase_if(donor, [](const Point& p) { return !p.borrowed; });
    }
    Curve other = key;
    other.load = key.load == Load::burst ? Load::sustained : Load::burst;
    if (const auto found = map.find(curve_name(other)); found != map.end()) {
      std::vector<std::string> unheard;
      Points points_of_other = chosen_points(found->first, found->second.second, unheard);
      if (points_of_other.size() > donor.size()) donor = std::move(points_of_other);
    }
    const std::size_t few = kGemm ? 16 : kEnoughOwnRows;
    if (level.empty() || level.size() >= few || donor.size() < kEnoughOwnRows || donor.size() < 2 * level.size()) return std::nullopt;
    Curve curve = fit_one(key, donor);
    if constexpr (std::is_same_v<Curve, AttentionCurve>) curve.throttle = key.load == Load::burst ? curve.throttle : 0.0;
    std::vector<double> ratios;
    for (const auto& point : level) ratios.push_back(std::log(point.seconds / predict(curve, point)));
    slow_down(curve, std::exp(mean_of(ratios)));
    curve.info.residuals = level_residuals(ratios, curve.info.residuals);
    curve.info.provenance = provenance_of(level);
    curve.info.provenance.source += "; shape of the curve: " + std::to_string(donor.size()) + " points, " + provenance_of(donor).source;
    curve.info.name = curve_name(key);
    return curve;
  }

  template <class Curve, class Fit>
  ResidualRow line_for(const Curve& curve, const Points& points, const Fit& fit_one) const {
    ResidualRow row{curve.info.name,
                    curve.info.provenance.origin,
                    curve.info.residuals.points,
                    curve.info.residuals.median,
                    curve.info.residuals.p90,
                    aim_of(curve).median,
                    {}};
    const auto lent = std::count_if(points.begin(), points.end(), [](const Point& p) { return p.borrowed; });
    if (lent > 0) row.note = std::to_string(lent) + " of " + std::to_string(points.size()) + " points borrowed";
    const double from = aim_of(curve).from_bytes;
    if (from > 0 && row.points > 0) row.note += (row.note.empty() ? "" : "; ") + large_note(points, entry_key(curve), fit_one, from);
    return row;
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

  const Subject& subject_;
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
  apply_facts(subject.facts, calibration.stack);

  Sorted sorted = sort_points(files, subject.chip);
  Fitter fitter(subject, report);
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
