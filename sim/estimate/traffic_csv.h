// Who sends how much to whom while experts are exchanged, as a table for a spreadsheet: one micro-batch of one layer, forward pass.
//
//   direction,wire,from,to,bytes,alone_us,together_us
//   dispatch,nic,0,8,8442880,312.4,312.4      GPU 0 of the expert-parallel group to GPU 8, its rail's on the next node
//   combine,nvlink,8,11,3412992,40.1,40.1     results to GPU 11 over NVLink, which have come by NIC or were computed on this node
//
// When a transfer ends is estimate/exchange_flows.h's. Combine goes the ways of dispatch back.
#pragma once

#include <string>

#include "sim/estimate/exchange_flows.h"

namespace trillion {

std::string traffic_csv(const ExchangeFlows& flows);

}  // namespace trillion
