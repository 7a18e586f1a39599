#include "group.h"

#include <cstdlib>
#include <exception>
#include <iostream>
#include <stdexcept>

#include "bench.h"
#include "check.h"

namespace probe {
namespace {

int take_device(const Ranks& ranks) {
  int count = 0;
  PROBE_CUDA(cudaGetDeviceCount(&count));
  // With one visible GPU a process (CUDA_VISIBLE_DEVICES by the launcher) that one is ours.
  const int device = count == 1 ? 0 : ranks.local_rank % count;
  PROBE_CUDA(cudaSetDevice(device));
  return device;
}

}  // namespace

Group::Group(const Options& options, const Ranks& ranks, const std::string& job, std::size_t most_bytes)
    : options_(options), ranks_(ranks), job_(job) {
  take_device(ranks);
  // A captured call must be the call that runs: no buffer registration in graphs.
  setenv("NCCL_GRAPH_REGISTER", "0", 0);
  PROBE_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  send_ = std::make_unique<Arena>(most_bytes, Fill::kNormalBf16, 1 + ranks_.rank);
  receive_ = std::make_unique<Arena>(most_bytes, Fill::kZero);
  PROBE_CUDA(cudaMalloc(&word_, sizeof *word_));
}

Group::~Group() {
  // After an error the other ranks may never answer.
  if (std::uncaught_exceptions() == 0) {
    for (auto& [ctas, communicator] : communicators_) ncclCommDestroy(communicator);
  }
  cudaFree(word_);
  cudaStreamDestroy(stream_);
}

ncclComm_t Group::communicator(int ctas) {
  auto& found = communicators_[ctas];
  if (!found) found = connect(ranks_, options_.output, job_ + "-" + std::to_string(ctas), ctas);
  return found;
}

void Group::run(const CollectiveShape& shape) {
  launch_collective(shape, ranks_, communicator(shape.max_ctas), send_->data(), receive_->data(), stream_);
}

void Group::wait() const { PROBE_CUDA(cudaStreamSynchronize(stream_)); }

double Group::prepare(const CollectiveShape& shape) {
  for (int i = 0; i < 2; ++i) run(shape);
  wait();
  most(0);
  const double start = host_clock_s();
  run(shape);
  wait();
  return most(host_clock_s() - start);
}

Launched Group::launched(const CollectiveShape& shape) {
  communicator(shape.max_ctas);  // joining is not part of the call
  return launched_by(stream_, [&] { run(shape); });
}

double Group::most(double value) {
  PROBE_CUDA(cudaMemcpyAsync(word_, &value, sizeof value, cudaMemcpyHostToDevice, stream_));
  PROBE_NCCL(ncclAllReduce(word_, word_, 1, ncclFloat64, ncclMax, communicator(0), stream_));
  PROBE_CUDA(cudaMemcpyAsync(&value, word_, sizeof value, cudaMemcpyDeviceToHost, stream_));
  wait();
  return value;
}

void Group::point(Session* session, const Row& shape, const std::function<Row()>& measure) {
  if (most(session && session->wants(shape) ? 1 : 0) == 0) return;
  Row result;
  try {
    result = measure();
  } catch (const Unsupported& reason) {
    result.text("unsupported", reason.what());
  }
  if (session) session->record(shape, result);
}

std::string job_name() {
  for (const char* variable : {"TRILLION_PROBE_JOB", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID"}) {
    if (const char* value = std::getenv(variable)) {
      const char* step = std::getenv("SLURM_STEP_ID");
      return std::string(value) + (step ? std::string("-") + step : "");
    }
  }
  return "local";
}

std::string bus_id() {
  int device = 0;
  char text[32] = "";
  PROBE_CUDA(cudaGetDevice(&device));
  PROBE_CUDA(cudaDeviceGetPCIBusId(text, sizeof text, device));
  return text;
}

int run_ranks(int argc, char** argv, const std::string& name, const std::function<void(const Options&, const Ranks&)>& body) {
  try {
    Options options = parse_options(argc, argv);
    const Ranks ranks = ranks_from_environment();
    options.gpus = ranks.world;
    body(options, ranks);
    return 0;
  } catch (const std::invalid_argument& error) {
    std::cerr << name << ": " << error.what() << '\n';
    return 2;
  } catch (const std::exception& error) {
    std::cerr << name << ": " << error.what() << std::endl;
    // Other ranks wait inside NCCL: leave at once, without the collective farewells that destructors would attempt.
    std::_Exit(1);
  }
}

}  // namespace probe
