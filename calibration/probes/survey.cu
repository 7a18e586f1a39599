// survey.jsonl: every visible GPU of this node on one heavy product and one large copy, outliers named.
//
// One slow GPU paces a whole job, and calibrating on it would mislead: run this first. Rows of eight chips and more also tell how unlike
// they are (calibration/fit/fit_spread.h). A GPU is named when it is 5 % below the median of its node, or throttled to below 90 % of the
// median clock. Exit code 0 even then: naming is the job.
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "bench.h"
#include "check.h"
#include "lt_gemm.h"
#include "memory_kernels.h"
#include "session.h"

namespace {

using namespace probe;

struct Found {
  int device;
  double flops_per_s, bytes_per_s, clock_mhz;
};

// The head of the UUID: enough to know a chip again, in another file or machine.
std::string chip_name(int device) {
  cudaDeviceProp properties;
  PROBE_CUDA(cudaGetDeviceProperties(&properties, device));
  std::string name;
  for (int i = 0; i < 4; ++i) {
    char byte[3];
    std::snprintf(byte, sizeof byte, "%02x", static_cast<unsigned char>(properties.uuid.bytes[i]));
    name += byte;
  }
  return name;
}

Found look_at(int device, Row& row) {
  PROBE_CUDA(cudaSetDevice(device));
  Bench bench;
  const GemmMemory memory(std::size_t{1} << 30, false);
  const GemmShape shape{"bf16", 8192, 8192, 8192};
  const LtGemm gemm(shape, memory);
  BenchOptions options;
  options.load = Load::kSustained;
  const Timing product = bench.measure([&](cudaStream_t s, int i) { gemm.launch(s, i); }, options);
  const MemoryShape copy{"copy", 1, std::int64_t{1} << 28};
  const Timing moved = bench.measure([&](cudaStream_t s, int i) {
    const MemoryBuffers at{memory.a.at(copy.read_bytes(), i), memory.c.at(copy.written_bytes(), i), nullptr, nullptr};
    launch_memory_kernel(copy, at, bench.sm_count(), s);
  });
  const Found found{device, shape.flops() / product.median_s, double(copy.read_bytes() + copy.written_bytes()) / moved.median_s,
                    product.clock_mhz};
  row.number("time_s", product.median_s).number("flops_per_s", found.flops_per_s);
  row.number("copy_bytes_per_s", found.bytes_per_s).number("clock_mhz", std::round(product.clock_mhz));
  row.number("power_w", product.power_w).number("temperature_c", product.temperature_c);
  return found;
}

void body(Session& session) {
  int count = 1;
  if (!session.listing()) PROBE_CUDA(cudaGetDeviceCount(&count));
  std::vector<Found> all;
  for (int device = 0; device < count; ++device) {
    Row shape;
    shape.text("op", "survey").number("device", device);
    if (!session.listing()) shape.text("chip", chip_name(device));
    session.point(shape, [&] {
      Row row;
      all.push_back(look_at(device, row));
      return row;
    });
  }
  std::vector<double> flops, bytes, clocks;
  for (const auto& f : all) flops.push_back(f.flops_per_s), bytes.push_back(f.bytes_per_s), clocks.push_back(f.clock_mhz);
  if (all.empty()) return;
  const double flops_median = order_statistics(flops).median, bytes_median = order_statistics(bytes).median;
  const double clock_median = order_statistics(clocks).median;
  for (const auto& f : all) {
    const bool slow = f.flops_per_s < 0.95 * flops_median || f.bytes_per_s < 0.95 * bytes_median || f.clock_mhz < 0.9 * clock_median;
    char text[160];
    std::snprintf(text, sizeof text, "GPU %d: %.0f TFLOP/s sustained at %.0f MHz, copy %.2f TB/s%s", f.device, f.flops_per_s / 1e12,
                  f.clock_mhz, f.bytes_per_s / 1e12, slow ? "  <- OUTLIER" : "");
    session.note(text);
  }
}

}  // namespace

int main(int argc, char** argv) { return probe::run_probe(argc, argv, "survey", body); }
