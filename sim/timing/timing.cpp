#include "sim/timing/timing.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "sim/base/error.h"
#include "sim/base/rounding.h"
#include "sim/spec/node_facts.h"
#include "sim/timing/fallback.h"

namespace trillion {
namespace {

constexpr std::array kLoads = {Load::burst, Load::sustained};

std::size_t gemm_key(bool grouped, DType dtype, GemmLayout layout, bool accumulate, Load load) {
  std::size_t key = grouped ? 1 : 0;
  key = key * kDTypeNames.size() + static_cast<std::size_t>(dtype);
  key = key * kGemmLayoutNames.size() + static_cast<std::size_t>(layout);
  key = key * 2 + (accumulate ? 1 : 0);
  return key * kLoadNames.size() + static_cast<std::size_t>(load);
}

std::size_t gemm_key(const GemmCurve& c) { return gemm_key(c.grouped, c.dtype, c.layout, c.accumulate_fp32, c.load); }

template <class Enum>
std::size_t key_with_load(Enum value, Load load) {
  return static_cast<std::size_t>(value) * kLoadNames.size() + static_cast<std::size_t>(load);
}

[[noreturn]] void nothing_related(const Calibration& calibration, std::string_view what) {
  throw InputError("the profile of '" + calibration.gpu + "' has no curve for " + std::string(what) +
                   " and none that is related; calibrate with measurements of it");
}

bool within(const GemmCurve& curve, double m, double n, double k) {
  return curve.m.contains(m) && curve.n.contains(n) && curve.k.contains(k);
}

}  // namespace

Timing::Timing(const Calibration& calibration, const Cluster& cluster)
    : calibration_(calibration), cluster_(cluster), curves_(calibration.curves()) {
  fill_gemms();
  fill_attentions();
  fill_memory_kernels();
  fill_collectives();
  add_host_curves();
}

namespace {
// Parameters that one node's processors update a second. The ZeRO-Offload paper's own Adam takes 2.6 s for 10^10 of them.
constexpr double kHostAdam = 1e10 / 2.6;
}  // namespace

// One figure each, without a shape: it says nothing about latency, which is microseconds beside milliseconds.
void Timing::add_host_curves() {
  host_curves_ = static_cast<std::uint32_t>(curves_.size());
  const Stack& stack = calibration_.stack;
  const auto send = collective_table_[static_cast<std::size_t>(CollectiveKind::send_recv)];
  curves_.push_back({"peer copy",
                     {Origin::assumed, send < 0 ? std::string("no send was measured")
                                                : "a copy engine reaches the rate of NCCL's largest sends: '" +
                                                      collectives_.curves[static_cast<std::size_t>(send)].info.name + "'"},
                     {0.1, 0.25, 0},
                     1});
  peer_curve_ = host_curves_;
  host_curves_ = static_cast<std::uint32_t>(curves_.size());
  curves_.push_back({"host copy to host", stack.device_to_host.provenance, {0.05, 0.1, 0}, 1});
  curves_.push_back({"host copy to device", stack.host_to_device.provenance, {0.05, 0.1, 0}, 1});
  curves_.push_back({"host adam",
                     {Origin::assumed,
                      "about what the ZeRO-Offload paper reports of its Adam on two Xeon sockets (arXiv:2101.06840, "
                      "table 4), shared by the node's GPUs; today's hosts have more memory bandwidth"},
                     {0.3, 0.5, 0},
                     1});
}

template <class Curve>
std::int32_t Timing::shelve(Shelf<Curve>& shelf, const Curve& curve) {
  shelf.curves.push_back(curve);
  shelf.index.push_back(static_cast<std::uint32_t>(curves_.size()));
  curves_.push_back(curve.info);
  return static_cast<std::int32_t>(shelf.curves.size() - 1);
}

// Each fill puts the profile's own curves on the shelf (they are already in curves_), then a stand-in for every missing key.
void Timing::fill_gemms() {
  gemms_.curves = calibration_.gemms;
  for (std::size_t i = 0; i < calibration_.gemms.size(); ++i) gemms_.index.push_back(static_cast<std::uint32_t>(i));
  gemm_table_.assign(2 * kDTypeNames.size() * kGemmLayoutNames.size() * 2 * kLoadNames.size(), -1);
  for (std::size_t i = 0; i < calibration_.gemms.size(); ++i) gemm_table_[gemm_key(calibration_.gemms[i])] = static_cast<std::int32_t>(i);

  GemmCurve wanted;
  for (const bool grouped : {false, true}) {
    for (std::size_t dtype = 0; dtype < kDTypeNames.size(); ++dtype) {
      for (std::size_t layout = 0; layout < kGemmLayoutNames.size(); ++layout) {
        for (const bool accumulate : {false, true}) {
          for (const Load load : kLoads) {
            wanted.grouped = grouped;
            wanted.dtype = static_cast<DType>(dtype);
            wanted.layout = static_cast<GemmLayout>(layout);
            wanted.accumulate_fp32 = accumulate;
            wanted.load = load;
            auto& place = gemm_table_[gemm_key(wanted)];
            if (place >= 0) continue;
            if (const auto curve = stand_in(calibration_, wanted)) place = shelve(gemms_, *curve);
          }
        }
      }
    }
  }
}

// Head dimensions are a model's own, so stand-ins are made for those that the profile knows in the other power state and
// direction; other dimensions use the nearest of these (ask() widens the interval).
void Timing::fill_attentions() {
  const auto offset = static_cast<std::uint32_t>(calibration_.gemms.size());
  attentions_.curves = calibration_.attentions;
  for (std::uint32_t i = 0; i < calibration_.attentions.size(); ++i) attentions_.index.push_back(offset + i);
  const auto has = [&](const AttentionCurve& w) {
    return std::any_of(attentions_.curves.begin(), attentions_.curves.end(), [&](const AttentionCurve& c) {
      return c.direction == w.direction && c.load == w.load && c.library == w.library && c.qk_dim == w.qk_dim && c.v_dim == w.v_dim &&
             c.dtype == w.dtype;
    });
  };
  for (AttentionCurve wanted : calibration_.attentions) {
    for (const Direction direction : {Direction::forward, Direction::backward}) {
      for (const Load load : kLoads) {
        wanted.direction = direction;
        wanted.load = load;
        if (has(wanted)) continue;
        if (const auto curve = stand_in(calibration_, wanted)) shelve(attentions_, *curve);
      }
    }
  }
}

void Timing::fill_memory_kernels() {
  const std::size_t offset = calibration_.gemms.size() + calibration_.attentions.size();
  memory_kernels_.curves = calibration_.memory_kernels;
  memory_table_.assign(kMemoryKernelNames.size() * kLoadNames.size(), -1);
  for (std::size_t i = 0; i < calibration_.memory_kernels.size(); ++i) {
    memory_kernels_.index.push_back(static_cast<std::uint32_t>(offset + i));
    memory_table_[key_with_load(calibration_.memory_kernels[i].kernel, calibration_.memory_kernels[i].load)] = static_cast<std::int32_t>(i);
  }
  MemoryCurve wanted;
  for (std::size_t kernel = 0; kernel < kMemoryKernelNames.size(); ++kernel) {
    for (const Load load : kLoads) {
      wanted.kernel = static_cast<MemoryKernel>(kernel);
      wanted.load = load;
      auto& place = memory_table_[key_with_load(wanted.kernel, load)];
      if (place >= 0) continue;
      if (const auto curve = stand_in(calibration_, wanted)) place = shelve(memory_kernels_, *curve);
    }
  }
}

void Timing::fill_collectives() {
  std::size_t offset = calibration_.gemms.size() + calibration_.attentions.size() + calibration_.memory_kernels.size();
  collectives_.curves = calibration_.collectives;
  collective_table_.assign(kCollectiveKindNames.size(), -1);
  for (std::size_t i = 0; i < calibration_.collectives.size(); ++i) {
    collectives_.index.push_back(static_cast<std::uint32_t>(offset + i));
    collective_table_[static_cast<std::size_t>(calibration_.collectives[i].kind)] = static_cast<std::int32_t>(i);
  }
  offset += calibration_.collectives.size();
  experts_.curves = calibration_.experts;
  expert_table_.assign(kCollectiveKindNames.size() * kLoadNames.size(), -1);
  for (std::size_t i = 0; i < calibration_.experts.size(); ++i) {
    experts_.index.push_back(static_cast<std::uint32_t>(offset + i));
    expert_table_[key_with_load(calibration_.experts[i].kind, calibration_.experts[i].load)] = static_cast<std::int32_t>(i);
  }
  for (std::size_t kind = 0; kind < kCollectiveKindNames.size(); ++kind) {
    const auto wanted_kind = static_cast<CollectiveKind>(kind);
    if (wanted_kind == CollectiveKind::expert_dispatch || wanted_kind == CollectiveKind::expert_combine) {
      for (const Load load : kLoads) {
        ExpertCurve wanted;
        wanted.kind = wanted_kind;
        wanted.load = load;
        auto& place = expert_table_[key_with_load(wanted_kind, load)];
        if (place >= 0) continue;
        if (const auto curve = stand_in(calibration_, wanted)) place = shelve(experts_, *curve);
      }
    } else if (collective_table_[kind] < 0) {
      CollectiveCurve wanted;
      wanted.kind = wanted_kind;
      if (const auto curve = stand_in(calibration_, wanted)) collective_table_[kind] = shelve(collectives_, *curve);
    }
  }
}

KernelTime Timing::time(const Kernel& kernel, const Conditions& conditions) const {
  KernelTime result = std::visit([&](const auto& k) { return ask(k, conditions); }, kernel);
  if (conditions.slowest_clock < 1 && !std::holds_alternative<MemoryBound>(kernel)) {
    const double factor = 1 / conditions.slowest_clock;
    return {result.time * factor, result.low * factor, result.high * factor, result.curve, result.extrapolated};
  }
  if (conditions.clock_mhz <= 0 || result.time.value() <= 0) return result;
  const Seconds held = time_at(calibration_.power, power_load(kernel, conditions.sms, 1), conditions.clock_mhz);
  const double factor = held / result.time;
  return {held, result.low * factor, result.high * factor, result.curve, result.extrapolated};
}

PowerLoad Timing::power_load(const Kernel& kernel, std::int64_t sms, double count) const {
  CHECK(calibration_.power.known());
  const auto alone = [&](Load load) { return std::visit([&](const auto& k) { return ask(k, {.sms = sms, .load = load}).time; }, kernel); };
  PowerLoad load{alone(Load::burst), alone(Load::sustained), {}, {}, count};
  if (const auto* m = std::get_if<MemoryBound>(&kernel)) {
    load.memory = ask(MemoryBound{MemoryKernel::copy, m->read, m->written}, {.sms = sms, .load = Load::burst}).time;
  }
  const Shape shape = std::visit([](const auto& k) { return Shape{k}; }, kernel);
  if (load.sustained.value() > 0) load.draw = *draw_of(shape, load.sustained);
  return load;
}

KernelTime Timing::time(const Collective& c, Load load) const {
  if (c.kind == CollectiveKind::expert_dispatch || c.kind == CollectiveKind::expert_combine) {
    const auto place = expert_table_[key_with_load(c.kind, load)];
    if (place < 0) nothing_related(calibration_, kCollectiveKindNames[static_cast<std::size_t>(c.kind)]);
    const auto& curve = experts_.curves[static_cast<std::size_t>(place)];
    const bool outside = !curve.bytes.contains(c.bytes.value()) || !curve.ranks.contains(static_cast<double>(c.ranks));
    return answer(evaluate(curve, c, links(curve.nvlink, curve.nic * c.nic_share)), experts_.index[static_cast<std::size_t>(place)],
                  outside);
  }
  const auto place = collective_table_[static_cast<std::size_t>(c.kind)];
  if (place < 0) nothing_related(calibration_, kCollectiveKindNames[static_cast<std::size_t>(c.kind)]);
  const auto& curve = collectives_.curves[static_cast<std::size_t>(place)];
  const double nodes = std::ceil(static_cast<double>(c.ranks) / static_cast<double>(std::max<std::int64_t>(1, c.ranks_per_node)));
  const bool outside =
      !curve.bytes.contains(c.bytes.value()) || !curve.ranks.contains(static_cast<double>(c.ranks)) || !curve.nodes.contains(nodes);
  return answer(evaluate(curve, c, links(curve.nvlink, curve.nic * c.nic_share)), collectives_.index[static_cast<std::size_t>(place)],
                outside);
}

std::string Timing::algorithm(const Collective& c) const {
  const auto place = collective_table_[static_cast<std::size_t>(c.kind)];
  if (place < 0) return {};
  const auto& curve = collectives_.curves[static_cast<std::size_t>(place)];
  return algorithm_of(c, links(curve.nvlink, curve.nic * c.nic_share));
}

std::int64_t Timing::sms_held(CollectiveKind kind) const {
  if (kind != CollectiveKind::expert_dispatch && kind != CollectiveKind::expert_combine) {
    const auto place = collective_table_[static_cast<std::size_t>(kind)];
    const std::int64_t held = place < 0 ? 0 : collectives_.curves[static_cast<std::size_t>(place)].sms;
    return held > 0 ? held : calibration_.stack.collective_sms.value;
  }
  const auto place = expert_table_[key_with_load(kind, Load::sustained)];
  return place < 0 ? calibration_.stack.collective_sms.value : experts_.curves[static_cast<std::size_t>(place)].sms;
}

KernelTime Timing::ask(const Gemm& g, const Conditions& conditions) const {
  const auto place = gemm_table_[gemm_key(false, g.dtype, g.layout, g.accumulate_fp32, conditions.load)];
  if (place < 0) nothing_related(calibration_, "GEMMs");
  const auto& curve = gemms_.curves[static_cast<std::size_t>(place)];
  const bool outside = !within(curve, static_cast<double>(g.m), static_cast<double>(g.n), static_cast<double>(g.k));
  const GemmMemo::Key key{place, g.m, g.n, g.k, sms(conditions)};
  std::optional<Seconds> time = products_.find(key);
  if (!time) products_.add(key, *(time = evaluate(curve, g, key.sms)));
  return answer(*time, gemms_.index[static_cast<std::size_t>(place)], outside);
}

KernelTime Timing::ask(const GroupedGemm& g, const Conditions& conditions) const {
  const auto place = gemm_table_[gemm_key(true, g.dtype, g.layout, g.accumulate_fp32, conditions.load)];
  if (place < 0) nothing_related(calibration_, "grouped GEMMs");
  const auto& curve = gemms_.curves[static_cast<std::size_t>(place)];
  // Of one group, at the mean size: a few groups beyond the range do not move the whole far.
  double tokens = 0;
  for (const auto m : g.m) tokens += static_cast<double>(m);
  const double mean = tokens / static_cast<double>(std::max<std::size_t>(1, g.m.size()));
  const bool weight_gradient = g.layout == GemmLayout::weight_gradient;
  const bool inside = weight_gradient ? within(curve, static_cast<double>(g.k), static_cast<double>(g.n), mean)
                                      : within(curve, mean, static_cast<double>(g.n), static_cast<double>(g.k));
  return answer(evaluate(curve, g, sms(conditions)), gemms_.index[static_cast<std::size_t>(place)], !inside);
}

KernelTime Timing::ask(const Attention& asked, const Conditions& conditions) const {
  constexpr std::int64_t kFlashMultiple = 32;
  const std::int64_t multiple = asked.library == AttentionLibrary::flash ? kFlashMultiple : calibration_.stack.head_multiple.value;
  Attention a = asked;
  a.qk_dim = multiple * divided_up(asked.qk_dim, multiple);
  a.v_dim = multiple * divided_up(asked.v_dim, multiple);
  const AttentionCurve* best = nullptr;
  double distance = std::numeric_limits<double>::infinity();
  std::size_t place = 0;
  for (std::size_t i = 0; i < attentions_.curves.size(); ++i) {
    const auto& c = attentions_.curves[i];
    if (c.direction != a.direction || c.load != conditions.load) continue;
    const double d = std::abs(std::log2(static_cast<double>(a.qk_dim + a.v_dim) / static_cast<double>(c.qk_dim + c.v_dim))) +
                     (c.qk_dim != a.qk_dim || c.v_dim != a.v_dim ? 0.01 : 0.0) + (c.dtype != a.dtype ? 16.0 : 0.0) +
                     (c.library != a.library ? 8.0 : 0.0);
    if (d < distance) distance = d, best = &c, place = i;
  }
  if (best == nullptr) nothing_related(calibration_, "attention");
  const bool other = distance > 0 || a.qk_dim != asked.qk_dim ||
                     a.v_dim != asked.v_dim;  // head dimensions or precision that the curve was not measured with
  const bool outside =
      other || !best->queries.contains(static_cast<double>(a.queries)) || !best->keys.contains(static_cast<double>(a.keys));
  KernelTime result = answer(evaluate(*best, a, sms(conditions)), attentions_.index[place], outside);
  if (other) result.low /= 1.1, result.high *= 1.1;
  return result;
}

KernelTime Timing::ask(const MemoryBound& k, const Conditions& conditions) const {
  const auto place = memory_table_[key_with_load(k.kernel, conditions.load)];
  if (place < 0) nothing_related(calibration_, "memory-bound kernels");
  const auto& curve = memory_kernels_.curves[static_cast<std::size_t>(place)];
  const bool outside = !curve.measured.contains((k.read + k.written).value());
  // Another memory behind the same chip (a 40 GB A100, an H100 with HBM2e) moves the same bytes at the ratio of the vendor's rates.
  const bool known = cluster_.gpu.memory_bandwidth.value() > 0;
  const double ratio = known ? calibration_.chip.memory_bandwidth / cluster_.gpu.memory_bandwidth : 1.0;
  const MemoryBound here{k.kernel, k.read * ratio, k.written * ratio, k.rows};
  return answer(evaluate(curve, here, sms(conditions)), memory_kernels_.index[static_cast<std::size_t>(place)], outside);
}

KernelTime Timing::peer_copy(Bytes bytes) const {
  const auto place = collective_table_[static_cast<std::size_t>(CollectiveKind::send_recv)];
  if (place < 0) nothing_related(calibration_, "sends between GPUs");
  const CollectiveCurve& curve = collectives_.curves[static_cast<std::size_t>(place)];
  const Seconds latency = std::max(curve.nvlink_step, cluster_.scale_up.latency);
  return answer(latency + bytes / links(curve.nvlink, curve.nic).nvlink, peer_curve_, false);
}

KernelTime Timing::host_copy(Bytes bytes, HostDirection direction) const {
  const bool out = direction == HostDirection::to_host;
  BytesPerSecond rate = out ? calibration_.stack.device_to_host.value : calibration_.stack.host_to_device.value;
  if (cluster_.gpu.host_bandwidth.value() > 0) rate = std::min(rate, cluster_.gpu.host_bandwidth);
  if (rate.value() <= 0) nothing_related(calibration_, "copies between host and device (stack.host_to_device, stack.device_to_host)");
  return answer(bytes / rate, host_curves_ + (out ? 0 : 1), false);
}

KernelTime Timing::host_update(double parameters) const {
  const double own_share = kHostAdam / static_cast<double>(std::max<std::int64_t>(1, cluster_.gpus_per_node));
  return answer(Seconds{parameters / own_share}, host_curves_ + 2, false);
}

double Timing::sms(const Conditions& conditions) const {
  if (conditions.sms > 0) return static_cast<double>(conditions.sms);
  return static_cast<double>(chip_sms());
}

// Achieved rates scale with the vendor's: a profile measured with 400 Gbps NICs speaks of a 200 Gbps cluster at half the rate.
GroupLinks Timing::links(BytesPerSecond nvlink, BytesPerSecond nic) const {
  const double nics =
      static_cast<double>(cluster_.scale_out.nics_per_node) / static_cast<double>(std::max<std::int64_t>(1, cluster_.gpus_per_node));
  const double own_nic = cluster_.scale_out.nic_bandwidth.value() * nics;
  const std::int64_t generation = compute_capability_of(calibration_.gpu);
  return {nvlink * (cluster_.scale_up.bandwidth / calibration_.chip.nvlink), nic * (own_nic / calibration_.chip.nic.value()),
          nccl_links(cluster_.scale_up.bandwidth, generation, calibration_.stack.nvls.value)};
}

// Beyond the measured range the interval doubles.
KernelTime Timing::answer(Seconds time, std::uint32_t curve, bool extrapolated) const {
  const double half = curves_[curve].residuals.p90 * (extrapolated ? 2.0 : 1.0);
  return {time, time / (1 + half), time * (1 + half), curve, extrapolated};
}

}  // namespace trillion
