// How long one kernel takes: medians over batches between CUDA events.
//
// Rules, and why:
//  * A batch is as many launches as fill ~0.3 ms, between two events, and all batches of a group are queued before
//    the first one starts (a spinning kernel holds the stream), so no launch gap of the host enters the time.
//    Kernels under ~80 us are replayed from a CUDA graph for the same reason.
//  * The launch receives a running index; it must use another set of buffers for each index (see Arena), so that
//    operands come from HBM and not from the L2 of the launch before.
//  * Burst: stop when the median is known: its standard error, from the median absolute deviation, below 0.4 %,
//    after at least 7 batches (3 if one launch lasts over 20 ms). Sustained: nine batches of 50 ms.
//  * Burst: a rest of four times what the point before took, then 3 ms of warm-up: what a lone kernel sees. Sustained: the kernel runs back
//  to back until the chip
//    has been busy for seconds (3 s once, then 0.3 s and as long as it idled per point), and is sampled in that state: the clock has then
//    settled where the power limit puts it.
//  * The clock is counted, not asked for: SM cycles over nanoseconds between the first and the last batch.
#pragma once

#include <cuda_runtime.h>

#include <functional>
#include <string>
#include <vector>

#include "nvml.h"
#include "row.h"

namespace probe {

enum class Load { kBurst, kSustained };
const char* name(Load load);

struct Timing {
  double median_s = 0;
  double min_s = 0;
  double p90_s = 0;
  int samples = 0;
  double clock_mhz = 0;
  double power_w = 0;
  double temperature_c = 0;

  Row row() const;  // "time_s" "min_s" "p90_s" "samples" "clock_mhz" "power_w" "temperature_c"
};

// Queues launch number `index` on `stream`. Throws Unsupported if the library declines the shape.
using Launch = std::function<void(cudaStream_t stream, int index)>;

struct BenchOptions {
  Load load = Load::kBurst;
  int rotations = 2;      // distinct buffer sets that the launch cycles through
  bool graph = true;      // false where the launch cannot be captured
  double spend_s = 0.15;  // sampling ends here even if the median is still loose
};

class Bench {
 public:
  Bench();  // on the current device
  ~Bench();
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  Timing measure(const Launch& launch, const BenchOptions& options = {});

  cudaStream_t stream() const { return stream_; }
  int sm_count() const { return properties_.multiProcessorCount; }
  std::size_t l2_bytes() const { return properties_.l2CacheSize; }
  const cudaDeviceProp& properties() const { return properties_; }
  const Nvml& nvml() const { return nvml_; }

  // The mean SM clock between two stamps, in MHz. A stamp is a kernel of one block per SM.
  void stamp(int slot);
  double clock_between_stamps_mhz();

 private:
  struct Batch;
  double first_estimate_s(const Launch& launch);
  void heat(const Launch& launch, double estimate_s);
  void warm_up(const Launch& launch, double estimate_s);
  void rest();
  double sample_group(Batch& batch, const std::vector<cudaEvent_t>& events, double expected_s, Reading& reading,
                      std::vector<double>& samples);

  cudaDeviceProp properties_{};
  Nvml nvml_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
  unsigned long long* stamps_ = nullptr;  // [2][sm_count][2]: cycles, nanoseconds
  // Host clock: end of the last sustained point; end and length of the last point's load.
  double last_heated_s_ = -1e9, idle_since_s_ = 0, busy_s_ = 0;
};

double host_clock_s();  // monotonic

// Median, minimum and 90th percentile of samples; sorts them.
struct Order {
  double median, min, p90;
};
Order order_statistics(std::vector<double>& samples);

}  // namespace probe
