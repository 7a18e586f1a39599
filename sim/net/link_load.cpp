#include "sim/net/link_load.h"

#include <algorithm>
#include <iterator>

#include "sim/base/error.h"
#include "sim/base/rounding.h"

namespace trillion {

LinkLoad::LinkLoad(const Fabric& fabric) : fabric_(fabric), bytes_(fabric.link_count()) {}

void LinkLoad::add(std::int64_t a, std::int64_t b, Bytes bytes) {
  for (const LinkShare& use : fabric_.shares(a, b)) {
    if (use.count == 1) {
      bytes_[use.first] += bytes.value() * use.share;
    } else {
      Run& run = runs_[use.first];
      run.count = use.count;
      run.bytes += bytes.value() * use.share;
    }
  }
}

Bytes LinkLoad::on(std::uint32_t link) const {
  const auto after = runs_.upper_bound(link);
  double bytes = bytes_[link];
  if (after != runs_.begin()) {
    const auto& [first, run] = *std::prev(after);
    if (link < first + run.count) bytes += run.bytes / run.count;
  }
  return Bytes{bytes};
}

LinkLoad::Busiest LinkLoad::busiest_in_network() const { return busiest_from(fabric_.links_of(LinkKind::nvlink).count); }

LinkLoad::Busiest LinkLoad::busiest_from(std::uint32_t first) const {
  Busiest worst;
  const auto look_at = [&](std::uint32_t link, double bytes) {
    if (bytes == 0) return;
    const Seconds time = Bytes{bytes} / fabric_.link(link).capacity;
    if (time > worst.time) worst = {link, time};
  };
  for (std::uint32_t id = first; id < fabric_.link_count(); ++id) look_at(id, bytes_[id]);
  for (const auto& [id, run] : runs_) look_at(id, run.bytes / run.count);
  return worst;
}

double nic_share(const Fabric& fabric, const RegularGroups& groups, TrafficPattern pattern) {
  CHECK(groups.size >= 1 && groups.stride >= 1 && groups.per_domain >= 1);
  const std::int64_t domains = divided_up(groups.size, groups.per_domain);
  if (domains <= 1) return 1;
  const std::int64_t peers = pattern == TrafficPattern::neighbours ? 1 : domains - 1;
  const Bytes unit{1.0};
  LinkLoad load(fabric);
  for (std::int64_t gpu = 0; gpu < fabric.gpus(); ++gpu) {
    const std::int64_t place = gpu / groups.stride % groups.size, first = gpu - place * groups.stride;
    for (std::int64_t k = 1; k <= peers; ++k) {
      const std::int64_t peer = first + (place + k * groups.per_domain) % groups.size * groups.stride;
      if (peer < fabric.gpus() && fabric.domain_of(peer) != fabric.domain_of(gpu)) load.add(gpu, peer, unit / static_cast<double>(peers));
    }
  }
  const Seconds busiest = load.busiest_in_network().time, alone = unit / fabric.own_nic_rate();
  return busiest > alone ? alone / busiest : 1;
}

}  // namespace trillion
