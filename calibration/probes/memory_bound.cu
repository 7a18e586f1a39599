// memory_bound.jsonl: the kernels of memory_kernels.h over the sizes that training meets.
#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "arena.h"
#include "bench.h"
#include "check.h"
#include "memory_kernels.h"
#include "session.h"

namespace {

using namespace probe;

struct Point {
  MemoryShape shape;
  Load load = Load::kBurst;
};

std::vector<Point> points() {
  std::vector<Point> out;
  const auto add = [&](const char* kernel, std::int64_t rows, std::int64_t columns, Load load = Load::kBurst) {
    out.push_back({{kernel, rows, columns}, load});
  };
  const std::vector<const char*> activations = {
      "add",     "swiglu",    "swiglu_backward", "rope", "rms_norm", "rms_norm_backward", "cast_fp8", "cast_fp8_transpose",
      "permute", "unpermute", "scatter_add"};
  const std::vector<const char*> weights = {"cast_fp32", "cast_bf16", "gradient_accumulate", "adam", "adam_bf16_states", "cast_fp8_block"};
  // Tokens by width: a pair in the middle first, then towards the ends.
  const std::pair<std::int64_t, std::int64_t> token_shapes[] = {{4096, 7168},  {8192, 4096}, {16384, 8192}, {1024, 2048},
                                                                {32768, 2048}, {512, 7168},  {256, 2048},   {65536, 4096}};
  for (const auto& [rows, columns] : token_shapes) {
    for (const char* kernel : activations) add(kernel, rows, columns);
    for (const char* kernel : weights) add(kernel, rows, columns);
    if (rows == 4096) {
      for (std::int64_t bytes = std::int64_t{1} << 32; bytes >= 1024; bytes /= 4) add("copy", 1, bytes / 2);
    }
  }
  for (std::int64_t bytes = std::int64_t{1} << 31; bytes >= 2048; bytes /= 4) add("copy", 1, bytes / 2);
  for (const std::int64_t rows : {4096, 16384, 1024}) {
    for (const std::int64_t vocabulary : {129280, 32000, 152064}) {
      add("cross_entropy", rows, vocabulary);
      add("cross_entropy_backward", rows, vocabulary);
    }
    for (const std::int64_t experts : {256, 64}) add("softmax", rows, experts);
  }
  for (std::int64_t bytes = std::int64_t{1} << 32; bytes >= 65536; bytes /= 16) add("memcpy", 1, bytes / 2);
  for (const char* kernel : activations) add(kernel, 16384, 7168, Load::kSustained);
  for (const char* kernel : weights) add(kernel, 16384, 7168, Load::kSustained);
  add("copy", 1, std::int64_t{1} << 29, Load::kSustained);
  for (const char* kernel : {"gelu", "gelu_backward", "transpose", "zero", "gradient_norm"}) {
    for (const auto& [rows, columns] : token_shapes) add(kernel, rows, columns);
    add(kernel, 16384, 7168, Load::kSustained);
  }
  return out;
}

struct Memory {
  Memory(std::size_t bytes, std::int64_t most_rows, int sm_count)
      : in(bytes, Fill::kNormalBf16, 1),
        in_fp32(bytes, Fill::kNormalFp32, 2),
        out(bytes, Fill::kZero),
        partial(std::size_t(8) * sm_count * 16384, Fill::kZero),
        shuffled(4 * most_rows, Fill::kZero) {}
  Arena in, in_fp32, out, partial, shuffled;
};

// bf16 bits read as fp32 are wild numbers, and what is updated in place must not spoil the others' operands (a division
// by a denormal takes a slow path): kernels with fp32 operands have an arena of their own.
bool has_fp32_operands(const std::string& kernel) {
  return kernel == "cast_bf16" || kernel == "adam" || kernel == "adam_bf16_states" || kernel == "gradient_accumulate" ||
         kernel == "scatter_add" || kernel == "gradient_norm";
}

void shuffle(const Memory& memory, std::int64_t rows) {
  std::vector<int> order(rows);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(rows));
  PROBE_CUDA(cudaMemcpy(memory.shuffled.data(), order.data(), 4 * rows, cudaMemcpyHostToDevice));
}

Row measure(Bench& bench, const Memory& memory, const Point& point) {
  const MemoryShape& shape = point.shape;
  const std::size_t read = shape.read_bytes(), written = shape.written_bytes();
  if (shape.rows > 1) shuffle(memory, shape.rows);
  BenchOptions options;
  options.load = point.load;
  options.rotations = Arena::rotations(read + written, bench.l2_bytes());
  options.spend_s = 0.06;
  const Arena& in = has_fp32_operands(shape.kernel) ? memory.in_fp32 : memory.in;
  const auto launch = [&](cudaStream_t stream, int index) {
    const MemoryBuffers at{in.at(read, index), memory.out.at(written, index), reinterpret_cast<const int*>(memory.shuffled.data()),
                           reinterpret_cast<float*>(memory.partial.data())};
    launch_memory_kernel(shape, at, bench.sm_count(), stream);
  };
  return bench.measure(launch, options).row();
}

void body(Session& session) {
  const auto list = points();
  session.expect(static_cast<long>(list.size()));
  if (session.listing()) {
    for (const auto& p : list) session.point(p.shape.row(name(p.load)), [] { return Row(); });
    return;
  }
  Bench bench;
  std::size_t free = 0, total = 0;
  PROBE_CUDA(cudaMemGetInfo(&free, &total));
  std::int64_t most_rows = 0;
  for (const auto& p : list) most_rows = std::max(most_rows, p.shape.rows);
  const Memory memory(std::min(std::size_t{16} << 30, free / 4), most_rows, bench.sm_count());
  for (const auto& p : list) session.point(p.shape.row(name(p.load)), [&] { return measure(bench, memory, p); });
}

}  // namespace

int main(int argc, char** argv) { return probe::run_probe(argc, argv, "memory_bound", body); }
