// interference.jsonl: a kernel beside one that holds some SMs, with and without memory traffic.
//
// While experts' tokens travel, a communication kernel occupies a few SMs (DeepSeek's: 20 of 132) and moves bytes. Here a
// stand-in does: `beside_sms` blocks that fill an SM each and either spin (traffic "none") or copy between two regions
// of memory ("memory"), until told to stop. They start in clusters of 2 (DeepEP) or 4 (NCCL on Hopper), which decides
// where they sit and so how many of the victim's own clusters still fit. The victim runs on another stream. Rows:
//
//   {"op":"interference","victim":{shape keys},"beside_sms":16,"beside_cluster":2|4,"beside_traffic":"none|memory",
//    "time_s":...,"alone_s":...,"beside_bytes_per_s":...}
//
// alone_s: the same launch with the whole chip for itself, measured right before. A GEMM comes twice: told nothing, and told
// to use the remaining SMs ("sms"), which is what frameworks set when communication overlaps.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "arena.h"
#include "bench.h"
#include "check.h"
#include "lt_gemm.h"
#include "memory_kernels.h"
#include "sdpa.h"
#include "session.h"

namespace {

using namespace probe;

constexpr int kHolderThreads = 512;

// Runs until *stop and adds the bytes that it moved to *moved. `started` has a place per block, in host memory; the flag
// to stop is in device memory, because polling the host would set the pace.
__global__ void __launch_bounds__(kHolderThreads) hold_sms(const int4* from, int4* to, std::size_t vectors, bool traffic,
                                                           const volatile int* stop, volatile int* started, unsigned long long* moved) {
  if (threadIdx.x == 0) started[blockIdx.x] = 1;
  constexpr int kInFlight = 8, kStep = kInFlight * kHolderThreads;
  const std::size_t share = vectors / gridDim.x / kStep * kStep;
  const std::size_t first = blockIdx.x * share;
  unsigned long long bytes = 0;
  for (std::size_t at = 0; *stop == 0; at = at + kStep < share ? at + kStep : 0) {
    if (!traffic) {
      __nanosleep(500);
      continue;
    }
    int4 held[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) held[i] = __ldcs(from + first + at + i * kHolderThreads + threadIdx.x);
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) __stcs(to + first + at + i * kHolderThreads + threadIdx.x, held[i]);
    bytes += kInFlight * 2 * sizeof(int4);
  }
  atomicAdd(moved, bytes);
}

// The stand-in: starts on construction, stops on destruction.
class Holder {
 public:
  Holder(const Bench& bench, const Arena& region, int sms, int cluster, bool traffic) {
    int least = 0, greatest = 0;
    PROBE_CUDA(cudaDeviceGetStreamPriorityRange(&least, &greatest));
    PROBE_CUDA(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, greatest));
    PROBE_CUDA(cudaStreamCreateWithFlags(&control_, cudaStreamNonBlocking));
    PROBE_CUDA(cudaHostAlloc(&started_, sms * sizeof(int), cudaHostAllocMapped));
    std::fill(started_, started_ + sms, 0);
    PROBE_CUDA(cudaMalloc(&state_, sizeof *state_));
    PROBE_CUDA(cudaMemset(state_, 0, sizeof *state_));
    PROBE_CUDA(cudaDeviceSynchronize());
    // All of an SM's shared memory: the victim gets no block onto a held SM.
    const int shared = static_cast<int>(bench.properties().sharedMemPerBlockOptin);
    PROBE_CUDA(cudaFuncSetAttribute(hold_sms, cudaFuncAttributeMaxDynamicSharedMemorySize, shared));
    const std::size_t vectors = region.size() / 2 / sizeof(int4);
    int4* from = reinterpret_cast<int4*>(region.data());
    cudaLaunchAttribute together{};
    together.id = cudaLaunchAttributeClusterDimension;
    together.val.clusterDim.x = cluster, together.val.clusterDim.y = together.val.clusterDim.z = 1;
    cudaLaunchConfig_t launch{};
    launch.gridDim = dim3(sms), launch.blockDim = dim3(kHolderThreads);
    launch.dynamicSmemBytes = shared, launch.stream = stream_;
    launch.attrs = &together, launch.numAttrs = 1;
    PROBE_CUDA(cudaLaunchKernelEx(&launch, hold_sms, static_cast<const int4*>(from), from + vectors, vectors, traffic,
                                  static_cast<const volatile int*>(&state_->stop), static_cast<volatile int*>(started_), &state_->moved));
    start_s_ = host_clock_s();
    const auto all_started = [&] { return std::all_of(started_, started_ + sms, [](const volatile int& flag) { return flag == 1; }); };
    while (!all_started()) {
      if (host_clock_s() - start_s_ > 5) {
        stop();
        throw std::runtime_error("the stand-in kernel did not get its SMs");
      }
    }
  }
  ~Holder() {
    stop();
    cudaFree(state_);
    cudaFreeHost(started_);
    cudaStreamDestroy(control_);
    cudaStreamDestroy(stream_);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  // Ends the stand-in; bytes per second that it moved.
  double stop() {
    if (!running_) return 0;
    running_ = false;
    cudaMemsetAsync(&state_->stop, 1, sizeof state_->stop, control_);
    cudaStreamSynchronize(stream_);
    const double spent = host_clock_s() - start_s_;
    unsigned long long bytes = 0;
    cudaMemcpy(&bytes, &state_->moved, sizeof bytes, cudaMemcpyDeviceToHost);
    return double(bytes) / spent;
  }

 private:
  struct State {
    unsigned long long moved;
    int stop;
  };
  bool running_ = true;
  double start_s_ = 0;
  cudaStream_t stream_ = nullptr, control_ = nullptr;
  int* started_ = nullptr;
  State* state_ = nullptr;
};

struct Victim {
  Launch launch;
  int rotations = 2;
};

Row measure(Bench& bench, const Arena& region, const Victim& victim, int sms, int cluster, bool traffic) {
  BenchOptions options;
  options.rotations = victim.rotations;
  options.spend_s = 0.05;
  // Direct launches: a graph would capture nothing of the neighbour, and these kernels are long enough.
  options.graph = false;
  const Timing alone = bench.measure(victim.launch, options);
  Holder holder(bench, region, sms, cluster, traffic);
  const Timing beside = bench.measure(victim.launch, options);
  const double bytes_per_s = holder.stop();
  Row row = beside.row();
  return row.number("alone_s", alone.median_s).number("beside_bytes_per_s", bytes_per_s);
}

struct Probe {
  explicit Probe(Session& session) : session(session) {}

  void points(const std::string& what) {
    for (const int sms : {20, 8, 32, 4, 16}) {
      for (const bool traffic : {true, false}) {
        for (const int cluster : {2, 4}) {
          if (what == "gemm") gemms({sms, cluster, traffic});
          if (what == "attention") attentions({sms, cluster, traffic});
          if (what == "copy") copies({sms, cluster, traffic});
        }
      }
    }
  }

  struct Beside {
    int sms, cluster;
    bool traffic;
  };

  void point(const Row& victim_shape, const Beside& beside, const std::function<Victim()>& make) {
    Row shape;
    shape.text("op", "interference").object("victim", victim_shape).number("beside_sms", beside.sms);
    shape.number("beside_cluster", beside.cluster).text("beside_traffic", beside.traffic ? "memory" : "none");
    session.point(shape, [&] {
      Victim victim = make();
      return measure(*bench, *region, victim, beside.sms, beside.cluster, beside.traffic);
    });
  }

  void gemms(const Beside& beside) {
    constexpr std::int64_t kShapes[][3] = {{4096, 7168, 2048}, {8192, 8192, 8192}, {4096, 24576, 1536}, {1024, 4096, 7168}};
    const int all = bench ? bench->sm_count() : 132;
    for (const auto& [m, n, k] : kShapes) {
      for (const char* dtype : {"bf16", "fp8_block"}) {
        for (const int told : {0, all - beside.sms}) {
          const GemmShape shape{dtype, m, n, k, "forward", false, told};
          point(shape.row("burst"), beside, [&]() -> Victim {
            auto gemm = std::make_shared<LtGemm>(shape, *memory);
            return {[gemm](cudaStream_t s, int i) { gemm->launch(s, i); }, 2};
          });
        }
      }
    }
  }

  void attentions(const Beside& beside) {
    for (const bool backward : {false, true}) {
      AttentionShape shape;
      shape.heads = shape.kv_heads = 128, shape.qk_dim = 192, shape.queries = shape.keys = 4096;
      shape.backward = backward;
      point(shape.row("burst", "cudnn-backend"), beside, [&]() -> Victim {
        auto sdpa = std::make_shared<Sdpa>(shape, 2);
        return {[sdpa](cudaStream_t s, int i) { sdpa->launch(s, i); }, 2};
      });
    }
  }

  void copies(const Beside& beside) {
    for (const char* kernel : {"copy", "rms_norm", "swiglu"}) {
      const MemoryShape shape{kernel, 8192, 7168};
      point(shape.row("burst"), beside, [&]() -> Victim {
        return {
            [this, shape](cudaStream_t stream, int index) {
              const MemoryBuffers at{memory->a.at(shape.read_bytes(), index), memory->c.at(shape.written_bytes(), index), nullptr, nullptr};
              launch_memory_kernel(shape, at, bench->sm_count(), stream);
            },
            2};
      });
    }
  }

  Session& session;
  std::unique_ptr<Bench> bench;
  std::unique_ptr<GemmMemory> memory;
  std::unique_ptr<Arena> region;
};

void body(Session& session) {
  Probe probe(session);
  if (!session.listing()) {
    probe.bench = std::make_unique<Bench>();
    probe.memory = std::make_unique<GemmMemory>(std::size_t{2} << 30, true);
    probe.region = std::make_unique<Arena>(std::size_t{2} << 30, Fill::kNormalBf16, 9);
  }
  for (const char* what : {"gemm", "copy", "attention"}) probe.points(what);
}

}  // namespace

int main(int argc, char** argv) { return probe::run_probe(argc, argv, "interference", body); }
