// From operations to task kinds: asks timing once for every distinct operation and remembers which evidence the time leans on.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "sim/engine/task_graph.h"
#include "sim/moe/expert_load.h"
#include "sim/timing/timing.h"
#include "sim/workload/operation.h"

namespace trillion {

// Bytes that one rank of the group puts on its NIC and on NVLink.
struct WireBytes {
  Bytes nic, nvlink;
};
WireBytes wire_bytes(const Collective& collective);

// What a task kind's duration rests on; parallel to the graph's kinds.
struct Evidence {
  std::uint32_t curve = 0;  // index into Timing::curves()
  bool extrapolated = false;
  float low = 1, high = 1;  // 90 % interval relative to the time
  SimTime balanced;         // the duration on perfectly even expert load: the rest is waiting for the busiest rank
  Flops work;               // arithmetic on even load
  WireBytes wire;           // of one rank
};

// Links of one simulated GPU; without NICs the first two are not valid().
struct RankLinks {
  LinkId nic_send, nic_receive, nvlink;
};

// Who runs an operation.
struct Runner {
  static constexpr std::int32_t kBusiest = -1;
  double slowdown = 1;                  // of its kernels
  std::int32_t expert_rank = kBusiest;  // in its expert-parallel group; kBusiest stands for all, who wait for it
  friend auto operator<=>(const Runner&, const Runner&) = default;
};

// The operation as this rank of the expert-parallel group runs it.
Operation at_load(Operation operation, const LayerRouting& routing, std::int32_t expert_rank = Runner::kBusiest);

// What the stack adds to the kernels' own times.
struct IssueCosts {
  Seconds kernel_gap;  // the device idles so long between two kernels of a full queue
  // Of the host to issue a product or attention, and anything else; 0: nothing waits for the host.
  Seconds host_product, host_elementwise;
  Seconds host_wait;  // from the end of a kernel whose result it needs until it goes on
  // The host issues a kernel when the one before has ended (UnfusedPart::blocking): it never runs ahead, so that what it spends lies
  // between the kernels and counts with them.
  bool blocking = false;
};
IssueCosts issue_costs(const Stack& stack);

// Whether a GPU's communication may run while the operation does. If so, the engine finds out when it does, and what it costs both
// (engine/task_graph.h, Side): a kernel has the SMs that the communication leaves and its share of memory and power, a collective is
// slower beside kernels (timing/interference.h).
enum class Company : bool { alone, shared };

// Communication that holds SMs. What the copy engines move (pieces beside their own GEMM) or the NIC fetches (sends to another node)
// holds none or few; for expert-parallel libraries SMs are set aside (kernel_conditions in workload/lower.h).
bool holds_sms(const Operation& operation);

class KindTable {
 public:
  // `conditions` holds for every kernel.
  KindTable(TaskGraph& graph, const Timing& timing, const Conditions& conditions, const IssueCosts& costs)
      : graph_(graph), timing_(timing), conditions_(conditions), costs_(costs) {}

  // An operation's time at some load, which does not depend on who runs it: asked once where many GPUs run the same.
  struct Timed {
    KernelTime loaded, even;
    WireBytes wire;  // at load
    Company company = Company::alone;
    double beside = 1;  // time alone over time in company
  };
  Timed timed(const Operation& operation, const LayerRouting& routing, std::int32_t expert_rank, Company company = Company::alone) const;

  KindId kind(const Operation& operation, const Timed& timed, double slowdown);
  KindId kind_on_links(const Operation& operation, const Timed& timed, const RankLinks& sender, const RankLinks& receiver);
  // Both steps at once.
  KindId kind(const Operation& operation, const LayerRouting& routing = {}, const Runner& runner = {}) {
    return kind(operation, timed(operation, routing, runner.expert_rank), runner.slowdown);
  }
  // A communication whose bytes share the rank's links with others.
  KindId kind_on_links(const Operation& operation, const RankLinks& sender, const RankLinks& receiver, Company company = Company::alone) {
    return kind_on_links(operation, timed(operation, {}, Runner::kBusiest, company), sender, receiver);
  }

  // The host's task that issues the operation; not valid() where nothing waits for the host.
  KindId launch_of(const Operation& operation);
  // The same after a wait for a result.
  KindId after_wait(KindId launch);
  // The same, of which `before` has happened earlier. REQUIRES: launch is one of launch_of, before < its duration.
  KindId rest_of_launch(KindId launch, SimTime before);

  // Work of the host, or a copy to or from it.
  KindId host_kind(const char* label, const KernelTime& time);

  // Kernels that follow each other on one stream with nothing in between: one task that takes as long as all of them. The same parts
  // give the same kind. REQUIRES: parts have no links, none is a run itself; one part is its own run.
  KindId run_of(const std::vector<KindId>& parts);
  // `kind` with its time off by the level-th of kJitterLevels equally likely deviations. Kernels' times vary independently of each
  // other by `deviation` (standard, relative), so that those of a run partly make up for each other. REQUIRES: no links.
  KindId jittered(KindId kind, double deviation, std::int32_t level);
  static constexpr std::int32_t kJitterLevels = 16;

  const std::vector<Evidence>& evidence() const { return evidence_; }
  // Per kind, the kernels that it is a run of; empty for what is a single operation.
  const std::vector<std::vector<KindId>>& parts() const { return parts_; }

 private:
  KernelTime time(const Operation& operation) const;
  double pace_in_company(const Operation& operation, Seconds alone) const;
  Seconds issue_of(const Operation& operation) const;
  KindId intern(const Operation& operation, const Timed& timed, double slowdown, std::vector<LinkUse> links);
  KindId add_launch(const std::string& label, SimTime duration);

  TaskGraph& graph_;
  const Timing& timing_;
  Conditions conditions_;
  IssueCosts costs_;
  std::vector<Evidence> evidence_;
  std::vector<std::vector<KindId>> parts_;
  std::map<std::vector<KindId>, KindId> runs_;
  std::map<std::pair<KindId, std::int32_t>, KindId> jittered_;
};

}  // namespace trillion
