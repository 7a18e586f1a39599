// NCCL's topology XML, as NCCL_TOPO_DUMP_FILE writes it: <system> of <cpu> of <pci> bridges with <gpu> and <nic><net> below.
//
//   GPUs      <gpu>; of each host alike. Several host_hash: a dump of a multi-node NVLink domain; its GPUs are one domain
//   NVLink    sum of <nvlink count>; the domain is whoever is joined, directly or by switches (tclass 0x068000)
//   PCIe      narrowest link between processor and GPU whose speed is given (it may be empty), GT/s x width / 8; <c2c> wins over it
//   NICs      <net> with the highest speed (Mb/s); slower ones serve storage or management and are left out, with a note
//
// A file that NCCL *reads* (NCCL_TOPO_FILE, clouds ship them) has bridges but no GPUs: an error that says so.
#pragma once

#include <string>

#include "sim/spec/node_facts.h"

namespace trillion {

NodeFacts read_nccl_topology(const std::string& text, const std::string& path);

}  // namespace trillion
