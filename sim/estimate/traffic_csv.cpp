#include "sim/estimate/traffic_csv.h"

#include <cmath>

#include "sim/base/error.h"
#include "sim/estimate/prepare.h"
#include "sim/moe/drawn_traffic.h"

namespace trillion {
namespace {

enum class Way { there, back };

void add_rows(std::string& csv, const std::string& head, const Table& bytes, Way way) {
  for (std::int64_t s = 0; s < bytes.rows; ++s)
    for (std::int64_t r = 0; r < bytes.columns; ++r) {
      if (bytes.at(s, r) <= 0) continue;
      const std::int64_t from = way == Way::there ? s : r, to = way == Way::there ? r : s;
      csv += head + std::to_string(from) + "," + std::to_string(to) + "," + std::to_string(std::llround(bytes.at(s, r))) + "\n";
    }
}

}  // namespace

std::string traffic_csv(const Scenario& s) {
  if (!s.model.moe) throw InputError("--traffic: " + s.model.name + " has no experts");
  if (s.plan.expert_parallel == 1) throw InputError("--traffic: all experts are on one GPU, nothing is exchanged");
  const ExpertGroup group = expert_group(s, DeviceMesh(s.plan, s.cluster));
  const Traffic traffic = drawn_traffic(s.model, s.plan, s.training, group, s.seed);
  const Payload there = dispatch_payload(s.model.hidden_size, s.model.moe->num_experts_per_tok, s.plan.precision == Precision::fp8);
  const Wires dispatched = wires(traffic, group, there.total()),
              combined = wires(traffic, group, combine_payload(s.model.hidden_size).total());
  std::string csv = "direction,wire,from,to,bytes\n";
  add_rows(csv, "dispatch,nic,", dispatched.scale_out, Way::there);
  add_rows(csv, "dispatch,nvlink,", dispatched.scale_up, Way::there);
  add_rows(csv, "combine,nic,", combined.scale_out, Way::back);
  add_rows(csv, "combine,nvlink,", combined.scale_up, Way::back);
  return csv;
}

}  // namespace trillion
