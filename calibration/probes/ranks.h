// Start-up of a probe that spans GPUs and nodes: who am I, and one NCCL communicator.
//
// Rank, world size and local rank come from the launcher's environment: Slurm (srun), Open MPI or PMI (mpirun), or
// RANK / WORLD_SIZE / LOCAL_RANK (torchrun, or calibration/probe, which starts one process a local GPU). NCCL's id
// travels through a file in a folder that all ranks see, so MPI is not needed.
#pragma once

#include <nccl.h>

#include <string>

namespace probe {

struct Ranks {
  int rank = 0, world = 1, local_rank = 0, local_world = 1;
  int nodes() const { return world / local_world; }
  int node() const { return rank / local_world; }
};

// Throws std::invalid_argument if the environment is half-set, or nodes hold different numbers of ranks.
Ranks ranks_from_environment();

// Collective over all ranks. `folder` must be shared; `job` tells runs apart. `max_ctas` 0: NCCL's own choice.
ncclComm_t connect(const Ranks& ranks, const std::string& folder, const std::string& job, int max_ctas);

void check(ncclResult_t status, const char* call);

}  // namespace probe

#define PROBE_NCCL(call) ::probe::check((call), #call)
