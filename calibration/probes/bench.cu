#include "bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>
#include <vector>

#include "check.h"

namespace probe {
namespace {

// Burst, sustained: the clock of a power-limited chip swings by +-8 % over some 100 ms, so its samples are long and many.
constexpr double kBatch_s[] = {0.3e-3, 50e-3};
constexpr int kSustainedSamples = 9;
constexpr double kGraphBelow_s = 80e-6;
constexpr int kMaxPerBatch = 256;
constexpr int kGroup = 7, kGroupOfLong = 3;  // batches; a launch of kLong_s and more is long
constexpr double kLong_s = 20e-3;
constexpr int kMaxSamples = 49;
constexpr double kMedianError = 0.004;
constexpr double kHeatOnce_s = 3.0;
constexpr double kHeatEach_s = 0.3;
constexpr double kWarmUp_s = 3e-3;
constexpr double kRestPerBusy = 4;  // burst points load the chip a fifth of the time
constexpr double kLongestRest_s = 0.5;

__global__ void hold_stream(long long nanoseconds) {
  long long start, now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(start));
  do {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  } while (now - start < nanoseconds);
}

// One block per SM (the shared memory asked for leaves no room for two).
__global__ void stamp_clocks(unsigned long long* out) {
  extern __shared__ char unused[];
  unsigned sm;
  unsigned long long nanoseconds;
  asm volatile("mov.u32 %0, %%smid;" : "=r"(sm));
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(nanoseconds));
  out[2 * sm] = static_cast<unsigned long long>(clock64());
  out[2 * sm + 1] = nanoseconds;
}

std::string bus_id(int device) {
  char text[32] = "";
  PROBE_CUDA(cudaDeviceGetPCIBusId(text, sizeof text, device));
  return text;
}

int current_device() {
  int device = 0;
  PROBE_CUDA(cudaGetDevice(&device));
  return device;
}

// Standard error of the median, relative to it, from the median absolute deviation.
double median_error(std::vector<double> samples) {
  const double median = order_statistics(samples).median;
  for (double& s : samples) s = std::abs(s - median);
  const double deviation = order_statistics(samples).median;
  return 1.2533 * 1.4826 * deviation / (median * std::sqrt(double(samples.size())));
}

}  // namespace

const char* name(Load load) { return load == Load::kBurst ? "burst" : "sustained"; }

double host_clock_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

Order order_statistics(std::vector<double>& samples) {
  std::sort(samples.begin(), samples.end());
  const auto at = [&](double q) {
    const double position = q * (samples.size() - 1);
    const std::size_t low = static_cast<std::size_t>(position);
    const std::size_t high = std::min(low + 1, samples.size() - 1);
    return samples[low] + (position - low) * (samples[high] - samples[low]);
  };
  return {at(0.5), samples.front(), at(0.9)};
}

Row Timing::row() const {
  Row row;
  row.number("time_s", median_s).number("min_s", min_s).number("p90_s", p90_s);
  row.number("samples", samples);
  row.number("clock_mhz", std::round(clock_mhz * 10) / 10);
  row.number("power_w", std::round(power_w * 10) / 10);
  return row.number("temperature_c", temperature_c);
}

Bench::Bench() : nvml_(bus_id(current_device())) {
  PROBE_CUDA(cudaGetDeviceProperties(&properties_, current_device()));
  PROBE_CUDA(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  PROBE_CUDA(cudaEventCreate(&begin_));
  PROBE_CUDA(cudaEventCreate(&end_));
  const std::size_t stamps = 2 * 2 * sizeof(unsigned long long) * sm_count();
  PROBE_CUDA(cudaMalloc(&stamps_, stamps));
  PROBE_CUDA(cudaMemset(stamps_, 0, stamps));
  PROBE_CUDA(cudaFuncSetAttribute(stamp_clocks, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(properties_.sharedMemPerBlockOptin)));
}

Bench::~Bench() {
  cudaFree(stamps_);
  cudaEventDestroy(end_);
  cudaEventDestroy(begin_);
  cudaStreamDestroy(stream_);
}

void Bench::stamp(int slot) {
  stamp_clocks<<<sm_count(), 1, properties_.sharedMemPerBlockOptin, stream_>>>(stamps_ + 2 * sm_count() * slot);
  PROBE_CUDA(cudaGetLastError());
}

double Bench::clock_between_stamps_mhz() {
  const int n = sm_count();
  std::vector<unsigned long long> host(4 * n);
  PROBE_CUDA(cudaMemcpy(host.data(), stamps_, host.size() * sizeof host[0], cudaMemcpyDeviceToHost));
  std::vector<double> clocks;
  for (int sm = 0; sm < n; ++sm) {
    const double cycles = double(host[2 * n + 2 * sm]) - double(host[2 * sm]);
    const double nanoseconds = double(host[2 * n + 2 * sm + 1]) - double(host[2 * sm + 1]);
    if (host[2 * sm] != 0 && cycles > 0 && nanoseconds > 0) clocks.push_back(1e3 * cycles / nanoseconds);
  }
  return clocks.empty() ? 0 : order_statistics(clocks).median;
}

double Bench::first_estimate_s(const Launch& launch) {
  launch(stream_, 0);
  PROBE_CUDA(cudaStreamSynchronize(stream_));
  float ms = 0;
  PROBE_CUDA(cudaEventRecord(begin_, stream_));
  launch(stream_, 1);
  PROBE_CUDA(cudaEventRecord(end_, stream_));
  PROBE_CUDA(cudaEventSynchronize(end_));
  PROBE_CUDA(cudaEventElapsedTime(&ms, begin_, end_));
  return std::max(1e-6, ms * 1e-3);
}

void Bench::warm_up(const Launch& launch, double estimate_s) {
  const int launches = std::clamp(static_cast<int>(kWarmUp_s / estimate_s), 1, 256);
  for (int i = 0; i < launches; ++i) launch(stream_, 2 + i);
}

void Bench::heat(const Launch& launch, double estimate_s) {
  const double start = host_clock_s();
  const double idle_s = start - last_heated_s_;
  const double until = start + std::min(kHeatOnce_s, kHeatEach_s + idle_s);
  const int chunk = std::clamp(static_cast<int>(20e-3 / estimate_s), 1, 2000);
  // Two chunks are in flight, so the chip never idles while the host waits.
  cudaEvent_t done[2] = {begin_, end_};
  for (int turn = 0, index = 0; host_clock_s() < until; ++turn) {
    if (turn >= 2) PROBE_CUDA(cudaEventSynchronize(done[turn % 2]));
    for (int i = 0; i < chunk; ++i) launch(stream_, index++);
    PROBE_CUDA(cudaEventRecord(done[turn % 2], stream_));
  }
}

void Bench::rest() {
  const double owed_s = std::min(kLongestRest_s, kRestPerBusy * busy_s_) - (host_clock_s() - idle_since_s_);
  if (owed_s > 0) std::this_thread::sleep_for(std::chrono::duration<double>(owed_s));
}

// One batch of launches, queued directly or as a captured graph that is replayed `repeats` times.
struct Bench::Batch {
  Batch(Bench& bench, const Launch& launch, int size, int repeats, bool graph)
      : bench_(bench), launch_(launch), size_(size), repeats_(repeats) {
    if (!graph) return;
    cudaGraph_t captured = nullptr;
    PROBE_CUDA(cudaStreamBeginCapture(bench.stream_, cudaStreamCaptureModeThreadLocal));
    try {
      for (int i = 0; i < size_; ++i) launch_(bench.stream_, i);
    } catch (...) {
      cudaStreamEndCapture(bench.stream_, &captured);
      if (captured) cudaGraphDestroy(captured);
      throw;
    }
    PROBE_CUDA(cudaStreamEndCapture(bench.stream_, &captured));
    PROBE_CUDA(cudaGraphInstantiate(&graph_, captured, 0));
    PROBE_CUDA(cudaGraphDestroy(captured));
  }
  ~Batch() {
    if (graph_) cudaGraphExecDestroy(graph_);
  }
  void queue() {
    if (graph_) {
      for (int i = 0; i < repeats_; ++i) PROBE_CUDA(cudaGraphLaunch(graph_, bench_.stream_));
    } else {
      for (int i = 0; i < size_; ++i) launch_(bench_.stream_, next_++);
    }
  }

  int launches() const { return size_ * repeats_; }

  Bench& bench_;
  const Launch& launch_;
  int size_, repeats_;
  int next_ = 0;
  cudaGraphExec_t graph_ = nullptr;
};

// Queues one group of batches between events, reads the chip's state half-way through, and appends the seconds per
// launch to the samples; the mean clock comes back.
double Bench::sample_group(Batch& batch, const std::vector<cudaEvent_t>& events, double expected_s, Reading& reading,
                           std::vector<double>& samples) {
  const int batches = static_cast<int>(events.size()) - 1;
  stamp(0);
  PROBE_CUDA(cudaEventRecord(events[0], stream_));
  for (int i = 0; i < batches; ++i) {
    batch.queue();
    PROBE_CUDA(cudaEventRecord(events[i + 1], stream_));
  }
  stamp(1);
  if (expected_s > 400e-6) std::this_thread::sleep_for(std::chrono::duration<double>(std::min(expected_s / 2, 0.05)));
  reading = nvml_.read();
  PROBE_CUDA(cudaStreamSynchronize(stream_));
  for (int i = 0; i < batches; ++i) {
    float ms = 0;
    PROBE_CUDA(cudaEventElapsedTime(&ms, events[i], events[i + 1]));
    samples.push_back(ms * 1e-3 / batch.launches());
  }
  return clock_between_stamps_mhz();
}

Timing Bench::measure(const Launch& launch, const BenchOptions& options) {
  const bool sustained = options.load == Load::kSustained;
  const double estimate = first_estimate_s(launch);
  const bool graph = options.graph && estimate < kGraphBelow_s;
  const int wanted = std::max(1, static_cast<int>(std::ceil(kBatch_s[sustained] / estimate)));
  const int captured = std::clamp(std::max(std::min(wanted, kMaxPerBatch / 4), options.rotations), 16, kMaxPerBatch);
  const int size = graph ? captured : std::min(wanted, kMaxPerBatch);
  Batch batch(*this, launch, size, graph ? std::max(1, wanted / captured) : 1, graph);

  std::vector<cudaEvent_t> events(1 + (sustained ? kSustainedSamples : estimate > kLong_s ? kGroupOfLong : kGroup));
  for (auto& event : events) PROBE_CUDA(cudaEventCreate(&event));
  if (!sustained) rest();
  const double busy_from_s = host_clock_s();
  sustained ? heat(launch, estimate) : warm_up(launch, estimate);

  // Long enough for the host to queue the group: ~6 us a direct launch, one graph launch a batch.
  const long long queueing_ns = graph ? 60'000 : std::min(500'000, 20'000 + 6'000 * size * kGroup);
  const double expected_s = estimate * batch.launches() * (events.size() - 1);
  std::vector<double> samples;
  Reading reading;
  double clock_sum = 0;
  int groups = 0;
  const double start = host_clock_s();
  do {
    if (!sustained) hold_stream<<<1, 1, 0, stream_>>>(queueing_ns);
    clock_sum += sample_group(batch, events, expected_s, reading, samples);
    ++groups;
  } while (!sustained && static_cast<int>(samples.size()) < kMaxSamples && host_clock_s() - start < options.spend_s &&
           median_error(samples) > kMedianError);
  idle_since_s_ = host_clock_s();
  busy_s_ = idle_since_s_ - busy_from_s;
  if (sustained) last_heated_s_ = idle_since_s_;
  for (auto& event : events) PROBE_CUDA(cudaEventDestroy(event));

  const int count = static_cast<int>(samples.size());
  const Order order = order_statistics(samples);
  return {order.median, order.min, order.p90, count, clock_sum / groups, reading.power_w, reading.temperature_c};
}

}  // namespace probe
