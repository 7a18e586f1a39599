// sequence.jsonl: kernels one after the other as a transformer layer runs them, over and over for seconds.
//
// Alone under load a product holds the clock that the power limit leaves it; in a step it shares the time with kernels that draw less, and
// all run at other clocks. Here each kernel of a layer is timed where it stands, in the state that the whole layer settles in. Rows:
//
//   {"op":"sequence","layer":"llama-8b fp8","position":3,"kernel":{shape keys},
//    "time_s":...,"min_s":...,"p90_s":...,"samples":...,"clock_mhz":...,"power_w":...,"temperature_c":...}
//
// time_s: from this kernel's start to the next one's, so the launch gap is in it. clock_mhz and power_w are of the whole layer. FP8 layers
// cast as Transformer Engine does: activations once forward, gradients in both orders, activations turned over for the weight gradient.
#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench.h"
#include "check.h"
#include "lt_gemm.h"
#include "memory_kernels.h"
#include "sdpa.h"
#include "session.h"

namespace {

using namespace probe;

constexpr double kLoad_s = 3.0, kChunk_s = 30e-3;
constexpr int kTimedRounds = 24;

struct Layer {
  std::string name;
  std::int64_t tokens, hidden, heads, kv_heads, inner, sequences;
  bool gated;
  std::string dtype;
};

const Layer kLayers[] = {{"llama-8b fp8", 8192, 4096, 32, 8, 14336, 1, true, "fp8"},
                         {"llama-8b bf16", 8192, 4096, 32, 8, 14336, 1, true, "bf16"},
                         {"gpt-5b fp8", 8192, 4096, 32, 32, 16384, 4, false, "fp8"},
                         {"llama-70b over 4 fp8", 4096, 8192, 16, 2, 7168, 1, true, "fp8"},
                         {"llama-8b fp8_block", 8192, 4096, 32, 8, 14336, 1, true, "fp8_block"},
                         {"gpt-5b bf16", 8192, 4096, 32, 32, 16384, 4, false, "bf16"}};

struct Part {
  Row shape;
  std::function<Launch()> make;
};

struct Memory {
  Memory(std::size_t bytes, int sm_count) : products(bytes, true), partial(std::size_t(8) * sm_count * 16384 * 4), sm_count(sm_count) {}
  GemmMemory products;
  Buffer partial;
  int sm_count;
};

// Writes the parts down in the order of a layer's forward and backward pass.
class Writer {
 public:
  Writer(const Layer& layer, const Memory* memory) : layer_(layer), memory_(memory) {}

  std::vector<Part> parts() {
    const std::int64_t t = layer_.tokens, q = layer_.heads * 128, kv = layer_.kv_heads * 128, h = layer_.hidden;
    const std::int64_t joined = q + 2 * kv, wide = layer_.inner * (layer_.gated ? 2 : 1);
    moved("rms_norm", t, h), forward(joined, h), moved("rope", t, q + kv), attention(false), forward(h, q), moved("add", t, h);
    moved("rms_norm", t, h), forward(wide, h), moved(layer_.gated ? "swiglu" : "gelu", t, layer_.inner), forward(h, layer_.inner);
    moved("add", t, h);
    backward(h, layer_.inner), moved(layer_.gated ? "swiglu_backward" : "gelu_backward", t, layer_.inner), backward(wide, h);
    moved("rms_norm_backward", t, h), moved("add", t, h);
    backward(h, q), attention(true), moved("rope", t, q + kv), backward(joined, h), moved("rms_norm_backward", t, h), moved("add", t, h);
    return parts_;
  }

 private:
  bool quantised() const { return layer_.dtype != "bf16"; }

  void product(const GemmShape& shape) {
    const Memory* memory = memory_;
    parts_.push_back({shape.row("sustained"), [=]() -> Launch {
                        auto gemm = std::make_shared<LtGemm>(shape, memory->products);
                        return [gemm](cudaStream_t stream, int index) { gemm->launch(stream, index); };
                      }});
  }

  void forward(std::int64_t out, std::int64_t in) {
    if (quantised()) moved("cast_fp8", layer_.tokens, in);
    product({layer_.dtype, layer_.tokens, out, in});
  }

  void backward(std::int64_t out, std::int64_t in) {
    if (quantised()) moved("cast_fp8_transpose", layer_.tokens, out);
    product({layer_.dtype, layer_.tokens, in, out, "input_gradient"});
    if (quantised()) moved("transpose", layer_.tokens, in);
    product({layer_.dtype, out, in, layer_.tokens, "weight_gradient", true});
  }

  void moved(const char* kernel, std::int64_t rows, std::int64_t columns) {
    const MemoryShape shape{kernel, rows, columns};
    const Memory* memory = memory_;
    parts_.push_back({shape.row("sustained"), [=]() -> Launch {
                        return [=](cudaStream_t stream, int index) {
                          launch_memory_kernel(
                              shape,
                              {memory->products.a.at(shape.read_bytes(), index), memory->products.c.at(shape.written_bytes(), index),
                               nullptr, static_cast<float*>(memory->partial.data())},
                              memory->sm_count, stream);
                        };
                      }});
  }

  void attention(bool backward) {
    AttentionShape shape;
    shape.batch = layer_.sequences, shape.heads = layer_.heads, shape.kv_heads = layer_.kv_heads;
    shape.queries = shape.keys = layer_.tokens / layer_.sequences, shape.backward = backward;
    parts_.push_back({shape.row("sustained", "cudnn-backend"), [=]() -> Launch {
                        auto sdpa = std::make_shared<Sdpa>(shape, 2);
                        return [sdpa](cudaStream_t stream, int index) { sdpa->launch(stream, index); };
                      }});
  }

  const Layer& layer_;
  const Memory* memory_;
  std::vector<Part> parts_;
};

// One row's result for each part: the layer runs for kLoad_s, then each kernel of some rounds stands between two events.
std::vector<Row> measure(Bench& bench, const std::vector<Launch>& parts) {
  int turn = 0;
  const auto round = [&] {
    for (const Launch& launch : parts) launch(bench.stream(), turn);
    ++turn;
  };
  for (int i = 0; i < 3; ++i) round();
  PROBE_CUDA(cudaStreamSynchronize(bench.stream()));
  const double before = host_clock_s();
  for (int i = 0; i < 5; ++i) round();
  PROBE_CUDA(cudaStreamSynchronize(bench.stream()));
  const int chunk = std::clamp(static_cast<int>(kChunk_s / ((host_clock_s() - before) / 5)), 1, 100);

  cudaEvent_t done[2];
  for (auto& event : done) PROBE_CUDA(cudaEventCreate(&event));
  const double start = host_clock_s();
  bool stamped = false;
  for (int i = 0; host_clock_s() - start < kLoad_s; ++i) {
    if (i >= 2) PROBE_CUDA(cudaEventSynchronize(done[i % 2]));
    if (!stamped && host_clock_s() - start > kLoad_s / 2) stamped = true, bench.stamp(0);
    for (int c = 0; c < chunk; ++c) round();
    PROBE_CUDA(cudaEventRecord(done[i % 2], bench.stream()));
  }
  for (auto& event : done) PROBE_CUDA(cudaEventDestroy(event));

  std::vector<cudaEvent_t> events(kTimedRounds * parts.size() + 1);
  for (auto& event : events) PROBE_CUDA(cudaEventCreate(&event));
  for (int r = 0; r < kTimedRounds; ++r, ++turn) {
    for (std::size_t p = 0; p < parts.size(); ++p) {
      PROBE_CUDA(cudaEventRecord(events[r * parts.size() + p], bench.stream()));
      parts[p](bench.stream(), turn);
    }
  }
  PROBE_CUDA(cudaEventRecord(events.back(), bench.stream()));
  bench.stamp(1);
  const Reading reading = bench.nvml().read();
  PROBE_CUDA(cudaStreamSynchronize(bench.stream()));
  Timing timing;
  timing.samples = kTimedRounds, timing.clock_mhz = bench.clock_between_stamps_mhz();
  timing.power_w = reading.power_w, timing.temperature_c = reading.temperature_c;
  std::vector<Row> rows;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    std::vector<double> samples;
    for (int r = 0; r < kTimedRounds; ++r) {
      float ms = 0;
      const std::size_t i = r * parts.size() + p;
      PROBE_CUDA(cudaEventElapsedTime(&ms, events[i], events[i + 1]));
      samples.push_back(ms * 1e-3);
    }
    const Order order = order_statistics(samples);
    timing.median_s = order.median, timing.min_s = order.min, timing.p90_s = order.p90;
    rows.push_back(timing.row());
  }
  for (auto& event : events) PROBE_CUDA(cudaEventDestroy(event));
  return rows;
}

void body(Session& session) {
  std::unique_ptr<Bench> bench;
  std::unique_ptr<Memory> memory;
  if (!session.listing()) {
    bench = std::make_unique<Bench>();
    memory = std::make_unique<Memory>(std::size_t{3} << 30, bench->sm_count());
  }
  for (const Layer& layer : kLayers) {
    const std::vector<Part> parts = Writer(layer, memory.get()).parts();
    const auto shape = [&](std::size_t position) {
      Row row;
      row.text("op", "sequence").text("layer", layer.name).number("position", std::int64_t(position));
      return row.object("kernel", parts[position].shape);
    };
    if (session.listing()) {
      for (std::size_t p = 0; p < parts.size(); ++p) session.point(shape(p), [] { return Row(); });
      continue;
    }
    if (!session.wants(shape(0))) continue;
    std::vector<Launch> launches;
    for (const Part& part : parts) launches.push_back(part.make());
    const std::vector<Row> results = measure(*bench, launches);
    for (std::size_t p = 0; p < parts.size(); ++p) session.record(shape(p), results[p]);
  }
}

}  // namespace

int main(int argc, char** argv) { return probe::run_probe(argc, argv, "sequence", body); }
