// gemm.jsonl: matrix products through cuBLASLt (see lt_gemm.h), burst and sustained.
#include <cstdio>

#include "bench.h"
#include "check.h"
#include "gemm_shapes.h"
#include "launched.h"
#include "lt_gemm.h"
#include "session.h"

namespace {

using namespace probe;

// 4 GiB an operand holds 32768 x 32768 twice over; a smaller card gets what fits.
std::size_t operand_bytes() {
  std::size_t free = 0, total = 0;
  PROBE_CUDA(cudaMemGetInfo(&free, &total));
  return std::min(std::size_t{4} << 30, free / 6);
}

Row measure(Bench& bench, const GemmMemory& memory, const GemmPoint& point) {
  const LtGemm gemm(point.shape, memory);
  BenchOptions options;
  options.load = point.load;
  options.rotations = Arena::rotations(gemm.bytes_per_launch(), bench.l2_bytes());
  options.spend_s = point.load == Load::kBurst ? 0.06 : 0.15;
  const Timing timing = bench.measure([&](cudaStream_t stream, int index) { gemm.launch(stream, index); }, options);
  // Which of the library's kernels it was, and its blocks: what the fit's tiles stand for.
  const Launched chosen = launched_by(bench.stream(), [&] { gemm.launch(bench.stream(), 0); });
  return timing.row().text("chosen", chosen.kernel).number("blocks", chosen.blocks);
}

void body(Session& session) {
  const auto points = gemm_points();
  session.expect(static_cast<long>(points.size()));
  if (session.listing()) {
    for (const auto& point : points) session.point(point.shape.row(name(point.load)), [] { return Row(); });
    return;
  }
  Bench bench;
  const GemmMemory memory(operand_bytes(), true);

  // A wrong clock, a busy GPU or a power cap shows here first: an H100 or H200 SXM does 770..800 TFLOP/s.
  GemmPoint reference{{"bf16", 8192, 8192, 8192}};
  const LtGemm gemm(reference.shape, memory);
  const Timing timing = bench.measure([&](cudaStream_t stream, int index) { gemm.launch(stream, index); });
  char text[160];
  std::snprintf(text, sizeof text, "8192^3 bf16, random data: %.0f TFLOP/s at %.0f MHz, %.0f W, %.0f C",
                reference.shape.flops() / timing.median_s / 1e12, timing.clock_mhz, timing.power_w, timing.temperature_c);
  session.note(text);

  for (const auto& point : points) {
    session.point(point.shape.row(name(point.load)), [&] { return measure(bench, memory, point); });
  }
}

}  // namespace

int main(int argc, char** argv) { return probe::run_probe(argc, argv, "gemm", body); }
