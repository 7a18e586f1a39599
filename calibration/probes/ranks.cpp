#include "ranks.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <stdexcept>
#include <thread>
#include <vector>

namespace probe {
namespace {

int from_environment(std::initializer_list<const char*> names, int fallback) {
  for (const char* name : names) {
    const char* text = std::getenv(name);
    if (!text) continue;
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    // SLURM_NTASKS_PER_NODE may read "8(x2)"; the number in front is what is asked for.
    if (end == text || value < 0) throw std::invalid_argument(std::string(name) + "=" + text + " is not a count");
    return static_cast<int>(value);
  }
  return fallback;
}

constexpr double kPatience_s = 120;

std::vector<char> wait_for_file(const std::string& path, std::size_t bytes) {
  for (double waited = 0; waited < kPatience_s; waited += 0.05) {
    std::ifstream in(path, std::ios::binary);
    std::vector<char> content((std::istreambuf_iterator<char>(in)), {});
    if (content.size() == bytes) return content;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  throw std::runtime_error("rank 0 did not write " + path + ": is --output a folder that all nodes share?");
}

}  // namespace

void check(ncclResult_t status, const char* call) {
  if (status != ncclSuccess && status != ncclInProgress) {
    throw std::runtime_error(std::string(call) + ": " + ncclGetErrorString(status));
  }
}

Ranks ranks_from_environment() {
  Ranks ranks;
  // A Slurm allocation without srun also sets SLURM_NTASKS; only a step has a SLURM_STEP_ID.
  const bool step = std::getenv("SLURM_STEP_ID") && std::getenv("SLURM_PROCID");
  ranks.world = from_environment({"WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", step ? "SLURM_NTASKS" : "WORLD_SIZE"}, 1);
  ranks.rank = from_environment({"RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", step ? "SLURM_PROCID" : "RANK"}, 0);
  ranks.local_rank =
      from_environment({"LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", step ? "SLURM_LOCALID" : "LOCAL_RANK"}, 0);
  const int nodes = step ? from_environment({"SLURM_STEP_NUM_NODES", "SLURM_NNODES"}, 1) : 1;
  ranks.local_world = from_environment({"LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"}, ranks.world / nodes);
  if (ranks.rank >= ranks.world || ranks.local_world < 1 || ranks.world % ranks.local_world != 0) {
    throw std::invalid_argument("rank " + std::to_string(ranks.rank) + " of " + std::to_string(ranks.world) + " with " +
                                std::to_string(ranks.local_world) + " a node: start the same number on every node");
  }
  return ranks;
}

ncclComm_t connect(const Ranks& ranks, const std::string& folder, const std::string& job, int max_ctas) {
  const std::string path = folder + "/.nccl-id-" + job;
  ncclUniqueId id;
  if (ranks.rank == 0) {
    PROBE_NCCL(ncclGetUniqueId(&id));
    const std::string fresh = path + ".new";
    std::ofstream(fresh, std::ios::binary).write(id.internal, sizeof id.internal);
    if (std::rename(fresh.c_str(), path.c_str()) != 0) throw std::runtime_error("cannot write " + path);
  } else {
    const std::vector<char> content = wait_for_file(path, sizeof id.internal);
    std::copy(content.begin(), content.end(), id.internal);
  }
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  if (max_ctas > 0) config.maxCTAs = max_ctas, config.minCTAs = std::min(max_ctas, 4);
  ncclComm_t communicator = nullptr;
  PROBE_NCCL(ncclCommInitRankConfig(&communicator, ranks.world, id, ranks.rank, &config));
  if (ranks.rank == 0) ::unlink(path.c_str());
  return communicator;
}

}  // namespace probe
