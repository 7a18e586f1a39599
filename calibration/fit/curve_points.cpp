#include "calibration/fit/curve_points.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "sim/spec/nccl.h"
#include "sim/spec/node_facts.h"

namespace trillion {
namespace {

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

template <class Curve>
void put(CurvePoints<Curve>& map, const Curve& key, const Point& point, const std::string& path) {
  map.try_emplace(curve_name(key), key, PointsByPath{}).first->second.second[path].push_back(point);
}

void put(SortedPoints& sorted, const Collective& c, const Point& point, const std::string& path) {
  if (c.kind == CollectiveKind::expert_dispatch || c.kind == CollectiveKind::expert_combine) {
    ExpertCurve key;
    key.kind = c.kind, key.load = point.query.load;
    put(sorted.experts, key, point, path);
  } else {
    CollectiveCurve key;
    key.kind = c.kind;
    put(sorted.collectives, key, point, path);
  }
}

void put(SortedPoints& sorted, const Point& point, const std::string& path) {
  const Load load = point.query.load;
  const Shape& shape = point.query.shape;
  if (const auto* c = std::get_if<Collective>(&shape)) put(sorted, *c, point, path);
  if (const auto* g = std::get_if<Gemm>(&shape)) put(sorted.gemms, key_of(*g, load), point, path);
  if (const auto* g = std::get_if<GroupedGemm>(&shape)) put(sorted.gemms, key_of(*g, load), point, path);
  if (const auto* a = std::get_if<Attention>(&shape)) put(sorted.attentions, key_of(*a, load), point, path);
  if (const auto* m = std::get_if<MemoryBound>(&shape)) put(sorted.memory_kernels, key_of(*m, load), point, path);
}

// Work of a shape, so that times of unlike shapes can be compared between paths.
double work_of(const Shape& shape) {
  if (const auto* g = std::get_if<Gemm>(&shape)) return flops(*g).value();
  if (const auto* g = std::get_if<GroupedGemm>(&shape)) return flops(*g).value();
  if (const auto* a = std::get_if<Attention>(&shape)) return flops(*a).value();
  return 1;
}

bool is_measured(const Point& point) { return point.provenance.origin == Origin::measured; }

std::int64_t ranks_of(const Point& point) {
  const auto* c = std::get_if<Collective>(&point.query.shape);
  return c == nullptr ? 0 : c->ranks;
}

// A measurement replaces what others published of the same; of a group of another size it says little.
void drop_what_was_measured_here(Points& points) {
  std::set<std::int64_t> measured;
  for (const Point& p : points) {
    if (is_measured(p)) measured.insert(ranks_of(p));
  }
  std::erase_if(points, [&](const Point& p) { return !is_measured(p) && measured.count(ranks_of(p)) > 0; });
}

// By NCCL's own estimate, where the rows do not say.
bool left_to_the_switch(const RawRow& row, const RawFile& file, const Chip& chip) {
  const auto* c = std::get_if<Collective>(&row.query.shape);
  if (c == nullptr || c->ranks < 2 || c->ranks_per_node < c->ranks) return false;
  return takes_nvls(c->kind, c->bytes, c->ranks, nccl_links(chip.nvlink, compute_capability_of(file.gpu), file.nvls));
}

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

Points fastest_path(const std::string& name, const PointsByPath& paths, std::vector<std::string>& notes) {
  std::string best_path;
  std::size_t most = 0;
  for (const auto& [path, points] : paths) {
    if (!path.empty() && points.size() > most) most = points.size(), best_path = path;
  }
  for (const auto& [path, points] : paths) {
    const Points& best = paths.at(best_path);
    if (path.empty() || path == best_path || 2 * points.size() < most) continue;
    if (cost_beside(points, best) < cost_beside(best, points)) best_path = path;
  }
  Points result = paths.at(best_path);
  const auto plain = paths.find("");
  if (!best_path.empty() && plain != paths.end()) result.insert(result.end(), plain->second.begin(), plain->second.end());
  if (paths.size() > 1 && !best_path.empty())
    notes.push_back(name + ": library path '" + best_path + "' is used, the fastest of those measured");
  return result;
}

// Layouts whose products are one and the same call to the library, operands, scales, accumulation and all (probes/lt_gemm.h): both
// FP8 gradients with scales of whole tensors, since Hopper takes transposed copies; what a weight enters with scales of blocks.
std::optional<GemmLayout> same_call(const GemmCurve& key) {
  if (key.grouped || key.accumulate_fp32) return std::nullopt;
  if (key.dtype == DType::fp8 && key.layout == GemmLayout::input_gradient) return GemmLayout::weight_gradient;
  if (key.dtype == DType::fp8 && key.layout == GemmLayout::weight_gradient) return GemmLayout::input_gradient;
  if (key.dtype == DType::fp8_block && key.layout == GemmLayout::forward) return GemmLayout::input_gradient;
  if (key.dtype == DType::fp8_block && key.layout == GemmLayout::input_gradient) return GemmLayout::forward;
  return std::nullopt;
}

// Each of two such curves is fitted to the rows of both.
void share_same_calls(CurvePoints<GemmCurve>& curves) {
  for (auto& [name, entry] : curves) {
    const std::optional<GemmLayout> other = same_call(entry.first);
    if (!other || entry.first.layout > *other) continue;
    GemmCurve key = entry.first;
    key.layout = *other;
    const auto found = curves.find(curve_name(key));
    if (found == curves.end()) continue;
    for (auto& [path, points] : found->second.second) {
      Points& all = entry.second[path];
      all.insert(all.end(), points.begin(), points.end());
    }
    found->second.second = entry.second;
  }
}

}  // namespace

GpuGroup group_of(const Point& point) {
  const auto* c = std::get_if<Collective>(&point.query.shape);
  return c == nullptr ? GpuGroup{} : GpuGroup{c->ranks, c->ranks_per_node};
}

Points chosen_points(const std::string& name, const PointsByPath& paths, std::vector<std::string>& notes) {
  Points points = fastest_path(name, paths, notes);
  drop_what_was_measured_here(points);
  std::map<GpuGroup, std::size_t> own;
  for (const Point& point : points) own[group_of(point)] += point.borrowed ? 0 : 1;
  std::erase_if(points, [&](const Point& p) { return p.borrowed && own.at(group_of(p)) >= kEnoughOwnRows; });
  return points;
}

SortedPoints sort_points(const std::vector<RawFile>& files, const Chip& chip) {
  SortedPoints sorted;
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
      point.in_switch = left_to_the_switch(row, file, chip);
      if (file.borrowed) point.provenance.source = "borrowed from " + file.gpu + ": " + point.provenance.source;
      ShapeQuery identity = row.query;
      identity.sms = 0;
      if (auto* gemm = std::get_if<Gemm>(&identity.shape)) {  // the same product in another layout: the same fold
        const std::optional<GemmLayout> other = same_call(key_of(*gemm, row.query.load));
        if (other) gemm->layout = std::min(gemm->layout, *other);
      }
      point.hash = hash_of(shape_text(identity));
      put(sorted, point, row.path);
    }
  }
  share_same_calls(sorted.gemms);
  return sorted;
}

}  // namespace trillion
