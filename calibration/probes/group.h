// All ranks of a run as one: NCCL communicators, agreement, and the calls that the probes time.
//
//   Group group(options, ranks, job, largest_call);
//   group.point(session, shape.row(ranks), [&] { return time(group, shape); });   // on every rank; rank 0 decides and writes
//
// Every member function is collective: all ranks call it in the same order with the same arguments.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "arena.h"
#include "launched.h"
#include "nvml.h"
#include "session.h"
#include "traffic.h"

namespace probe {

class Group {
 public:
  // Takes the device of this rank; buffers hold any call of scratch_bytes() up to `most_bytes`.
  Group(const Options& options, const Ranks& ranks, const std::string& job, std::size_t most_bytes);
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  const Ranks& ranks() const { return ranks_; }
  cudaStream_t stream() const { return stream_; }

  // Queues one call on stream(). Connections are made on first use of a communicator, kind and size: see prepare().
  void run(const CollectiveShape& shape);
  void wait() const;
  // Two unmeasured rounds, then the length of one call in seconds, the slowest rank's.
  double prepare(const CollectiveShape& shape);
  // What NCCL launches for the call: blocks (an SM each) and the kernel's name.
  Launched launched(const CollectiveShape& shape);

  // The largest of all ranks' values; also a barrier.
  double most(double value);

  // Rank 0's decision reaches all ranks, all measure, rank 0 writes. `session` is null elsewhere.
  void point(Session* session, const Row& shape, const std::function<Row()>& measure);

 private:
  ncclComm_t communicator(int ctas);

  Options options_;
  Ranks ranks_;
  std::string job_;
  std::unique_ptr<Arena> send_, receive_;
  std::map<int, ncclComm_t> communicators_;  // by the SMs that NCCL may take
  cudaStream_t stream_ = nullptr;
  double* word_ = nullptr;
};

// A name that tells this run's communicators from another's, out of the launcher's environment.
std::string job_name();

// PCI bus id of the current device, as NVML wants it.
std::string bus_id();

// main() of a probe that spans ranks: 0, 1 with the error on standard error, 2 for a bad command line or environment.
int run_ranks(int argc, char** argv, const std::string& name, const std::function<void(const Options&, const Ranks&)>& body);

}  // namespace probe
