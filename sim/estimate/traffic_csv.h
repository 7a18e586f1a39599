// Who sends how much to whom while experts are exchanged, as a table for a spreadsheet: one micro-batch of one layer, forward pass.
//
//   direction,wire,from,to,bytes
//   dispatch,nic,0,8,8442880          GPU 0 of the expert-parallel group to GPU 8, its rail's on the next node
//   combine,nvlink,8,11,3412992       results to GPU 11 over NVLink, which have come by NIC or were computed on this node
//
// Bytes are those on the wire, with scales and metadata (moe/dispatch.h). Combine goes the ways of dispatch back.
#pragma once

#include <string>

#include "sim/spec/scenario.h"

namespace trillion {

// Throws InputError: a model without experts, experts on one GPU, padded rows.
std::string traffic_csv(const Scenario& scenario);

}  // namespace trillion
