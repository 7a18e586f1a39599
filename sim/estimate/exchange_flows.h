// One exchange of experts as transfers that share the fabric's links (net/fluid.h): one micro-batch of one layer, forward pass, drawn token
// by token. Once by one group of GPUs alone, once by all groups of the plan at the same time.
//
// A step times an exchange by its busiest wire, and by the NICs' rate that even traffic of all groups leaves (net/link_load.h). The
// flows say what becomes of traffic as uneven as it was drawn:
//
//   alone = busiest wire      each wire is its own bottleneck: full bisection, adaptive routing
//   together > busiest wire   switches hold the busiest GPU back more than even traffic would: hash collisions, broken links
//   together < busiest wire   the switches' links are what is full, and they even out what is uneven between NICs: oversubscription
//
// All at the links' full rates, without latency: what a protocol loses on the wire is the calibration's (spec/curve.h). Groups of a
// plan train the same layers with the same experts in the same places, so all of them send the drawn bytes.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/spec/scenario.h"

namespace trillion {

struct ExchangeTransfer {
  bool dispatch = true, nic = true;  // else combine, NVLink
  std::int64_t from = 0, to = 0;     // ranks of the group
  Bytes bytes;                       // on the wire, with scales and metadata (moe/dispatch.h)
  Seconds alone, together;           // when it ends
};

struct ExchangeFlows {
  struct Way {
    Seconds busiest_wire;     // most bytes of one NIC or NVLink, in or out, over its rate; of a NIC as the step has it
    Seconds alone, together;  // when the last transfer ends
  };
  std::int64_t ranks = 0, groups = 0;
  Way dispatch, combine;
  std::vector<ExchangeTransfer> transfers;  // of the first group
};

// Throws InputError: a model without experts, experts on one GPU, padded rows, plan.expert_exchange other than deduplicated.
ExchangeFlows exchange_flows(const Scenario& scenario);

}  // namespace trillion
