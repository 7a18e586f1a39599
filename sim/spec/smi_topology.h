// The matrix that `nvidia-smi topo -m` prints: one row and column per GPU and NIC, NV# for so many NVLinks, else the way over PCIe, from
// near to far PIX PXB PHB NODE SYS.
//
//   GPUs      rows GPU0, GPU1, ...
//   NVLink    NV# to the others of the domain. Where all pairs have as many as no chip has links for, they go to switches, and # are all
//             the links of a GPU (NV18 on eight H100); else the sum of a row (NV4 to each of three others)
//   NICs      rows NIC0 or mlx5_0 that share a PCIe switch with some GPU (PIX, PXB); if none does, all. The others are left out with a note
//
// Cells are split at blanks; escape sequences (underlined headers), affinity columns and the legend are skipped. Link speeds are not in
// it, nor the rest of an NVLink domain that is larger than the node (GB200: set scale_up.domain_gpus).
#pragma once

#include <string>

#include "sim/spec/node_facts.h"

namespace trillion {

bool looks_like_smi_topology(const std::string& text);
NodeFacts read_smi_topology(const std::string& text, const std::string& path);

}  // namespace trillion
