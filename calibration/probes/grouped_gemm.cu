// grouped_gemm.jsonl: the expert products of a mixture-of-experts layer.
//
// Two library paths from C++, each row naming its own in "path":
//   cublas-grouped   cublasGemmGroupedBatchedEx, one group per expert, sizes known to the host
//   cublaslt-loop    one cuBLASLt product after another, what a stack without grouped kernels does; bf16 and fp8_block
// calibration/steps/grouped_mm.py adds PyTorch's torch._grouped_mm ("torch-grouped-mm", CUTLASS, sizes on the device).
//
// Loads: balanced, and Zipf-like skew with the stated largest load over the mean. "m" lists the tokens per group:
//   forward          C_g[m_g,n] = A_g[m_g,k] W_g[n,k]^T      input_gradient  C_g[m_g,n] = A_g[m_g,k] W_g[k,n]
// and of a weight gradient "m" lists the contracted tokens: C_g[n,k] = A_g[m_g,n]^T B_g[m_g,k].
#include <cublas_v2.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <vector>

#include "bench.h"
#include "check.h"
#include "lt_gemm.h"
#include "session.h"

namespace {

using namespace probe;

struct GroupedShape {
  std::string path;
  std::string dtype;
  std::string layout;
  std::vector<std::int64_t> tokens;
  std::int64_t n = 0, k = 0;
  double skew = 1;  // largest load over the mean that was asked for

  Row row() const {
    Row row;
    row.text("op", "grouped_gemm").text("dtype", dtype).numbers("m", tokens).number("n", n).number("k", k);
    row.text("layout", layout).number("skew", skew).text("path", path);
    return row.text("load", "burst");
  }
};

constexpr std::int64_t kUnit = 128;  // tokens of a group: what fp8_block's weight gradient contracts in whole scales

// `total` tokens over `experts`, load falling as a power law whose largest share is `skew` times the mean.
std::vector<std::int64_t> spread(std::int64_t total, int experts, double skew) {
  double low = 0, high = 8;
  std::vector<double> weight(experts);
  for (int step = 0; step < 60; ++step) {
    const double power = (low + high) / 2;
    for (int e = 0; e < experts; ++e) weight[e] = std::pow(e + 1.0, -power);
    const double mean = std::accumulate(weight.begin(), weight.end(), 0.0) / experts;
    (weight[0] / mean > skew ? high : low) = power;
  }
  const double sum = std::accumulate(weight.begin(), weight.end(), 0.0);
  std::vector<std::int64_t> tokens(experts);
  for (int e = 0; e < experts; ++e) {
    tokens[e] = std::max<std::int64_t>(kUnit, std::llround(total * weight[e] / sum / kUnit) * kUnit);
  }
  return tokens;
}

std::vector<GroupedShape> points() {
  struct Experts {
    int local;
    std::int64_t hidden, intermediate;
  };
  // DeepSeek-V3 at EP 64 and 32, Mixtral at EP 8 and 1, V2-Lite at EP 8, Qwen3-30B-A3B at EP 8.
  constexpr Experts kExperts[] = {{4, 7168, 2048}, {8, 7168, 2048}, {1, 4096, 14336}, {8, 4096, 14336}, {8, 2048, 1408}, {16, 2048, 768}};
  constexpr std::pair<const char*, const char*> kPaths[] = {
      {"cublas-grouped", "bf16"}, {"cublaslt-loop", "bf16"}, {"cublaslt-loop", "fp8_block"}};
  std::vector<GroupedShape> out;
  for (const std::int64_t per_expert : {1024, 4096, 256}) {
    for (const double skew : {1.0, 2.0, 4.0}) {
      for (const Experts& e : kExperts) {
        if (skew > 1 && e.local <= skew) continue;
        const auto tokens = spread(per_expert * e.local, e.local, skew);
        for (const auto& [path, dtype] : kPaths) {
          // Its kernels are far from Hopper's best (a third of the loop's rate): balanced loads tell enough.
          if (path == std::string("cublas-grouped") && skew > 1) continue;
          const std::int64_t inner = e.intermediate;
          out.push_back({path, dtype, "forward", tokens, 2 * inner, e.hidden, skew});
          out.push_back({path, dtype, "forward", tokens, e.hidden, inner, skew});
          out.push_back({path, dtype, "input_gradient", tokens, e.hidden, 2 * inner, skew});
          out.push_back({path, dtype, "weight_gradient", tokens, e.hidden, inner, skew});
        }
      }
    }
  }
  return out;
}

// The product of one expert in cuBLAS's column-major terms (see lt_gemm.h).
GemmShape expert_product(const GroupedShape& s, std::int64_t tokens) {
  if (s.layout == "weight_gradient") return {s.dtype, s.n, s.k, tokens, s.layout};
  return {s.dtype, tokens, s.n, s.k, s.layout};
}

class CublasGrouped {
 public:
  CublasGrouped(const GroupedShape& shape, const GemmMemory& memory, Bench& bench) {
    if (cublasCreate(&handle_) != CUBLAS_STATUS_SUCCESS) throw std::runtime_error("cublasCreate failed");
    cublasSetWorkspace(handle_, memory.workspace.data(), memory.workspace.size());
    groups_ = static_cast<int>(shape.tokens.size());
    for (const std::int64_t tokens : shape.tokens) {
      const GemmShape one = expert_product(shape, tokens);
      const bool forward = shape.layout == "forward", weight = shape.layout == "weight_gradient";
      left_op_.push_back(forward ? CUBLAS_OP_T : CUBLAS_OP_N);
      right_op_.push_back(weight ? CUBLAS_OP_T : CUBLAS_OP_N);
      rows_.push_back(one.n), columns_.push_back(one.m), inner_.push_back(one.k);
      left_ld_.push_back(forward ? one.k : one.n);
      right_ld_.push_back(weight ? one.m : one.k);
      out_ld_.push_back(one.n);
      bytes_ += one.a_bytes() + one.b_bytes() + one.c_bytes();
    }
    alpha_.assign(groups_, 1.0f), beta_.assign(groups_, 0.0f), one_each_.assign(groups_, 1);
    sets_ = std::min(16, Arena::rotations(bytes_, bench.l2_bytes()));
    std::vector<const void*> pointers;
    for (int set = 0; set < sets_; ++set) {
      for (int which = 0; which < 3; ++which) {
        for (int g = 0; g < groups_; ++g) {
          const GemmShape one = expert_product(shape, shape.tokens[g]);
          const int index = set * groups_ + g;
          pointers.push_back(which == 0   ? memory.b.at(one.b_bytes(), index)
                             : which == 1 ? memory.a.at(one.a_bytes(), index)
                                          : memory.c.at(one.c_bytes(), index));
        }
      }
    }
    PROBE_CUDA(cudaMalloc(&pointers_, pointers.size() * sizeof(void*)));
    PROBE_CUDA(cudaMemcpy(pointers_, pointers.data(), pointers.size() * sizeof(void*), cudaMemcpyHostToDevice));
  }
  ~CublasGrouped() {
    cudaFree(pointers_);
    cublasDestroy(handle_);
  }

  void launch(cudaStream_t stream, int index) const {
    void** set = pointers_ + std::size_t(index % sets_) * 3 * groups_;
    cublasSetStream(handle_, stream);
    const cublasStatus_t status =
        cublasGemmGroupedBatchedEx(handle_, left_op_.data(), right_op_.data(), rows_.data(), columns_.data(), inner_.data(), alpha_.data(),
                                   set, CUDA_R_16BF, left_ld_.data(), set + groups_, CUDA_R_16BF, right_ld_.data(), beta_.data(),
                                   set + 2 * groups_, CUDA_R_16BF, out_ld_.data(), groups_, one_each_.data(), CUBLAS_COMPUTE_32F);
    if (status != CUBLAS_STATUS_SUCCESS) {
      throw Unsupported(std::string("cublasGemmGroupedBatchedEx: ") + cublasGetStatusString(status));
    }
  }
  int sets() const { return sets_; }

 private:
  cublasHandle_t handle_ = nullptr;
  int groups_ = 0, sets_ = 1;
  std::size_t bytes_ = 0;
  std::vector<cublasOperation_t> left_op_, right_op_;
  std::vector<int> rows_, columns_, inner_, left_ld_, right_ld_, out_ld_, one_each_;
  std::vector<float> alpha_, beta_;
  void** pointers_ = nullptr;
};

Row measure(Bench& bench, const GemmMemory& memory, const GroupedShape& shape) {
  BenchOptions options;
  options.spend_s = 0.1;
  if (shape.path == "cublas-grouped") {
    const CublasGrouped grouped(shape, memory, bench);
    options.rotations = grouped.sets();
    options.graph = false;  // the call copies its host arrays, which a captured graph would outlive
    return bench.measure([&](cudaStream_t s, int i) { grouped.launch(s, i); }, options).row();
  }
  std::map<std::int64_t, std::unique_ptr<LtGemm>> products;
  std::size_t bytes = 0;
  for (const std::int64_t tokens : shape.tokens) {
    auto& product = products[tokens];
    if (!product) product = std::make_unique<LtGemm>(expert_product(shape, tokens), memory);
    bytes += product->bytes_per_launch();
  }
  options.rotations = Arena::rotations(bytes, bench.l2_bytes());
  const int groups = static_cast<int>(shape.tokens.size());
  return bench
      .measure(
          [&](cudaStream_t stream, int index) {
            for (int g = 0; g < groups; ++g) products.at(shape.tokens[g])->launch(stream, index * groups + g);
          },
          options)
      .row();
}

void body(Session& session) {
  const auto list = points();
  session.expect(static_cast<long>(list.size()));
  if (session.listing()) {
    for (const auto& shape : list) session.point(shape.row(), [] { return Row(); });
    return;
  }
  Bench bench;
  std::size_t free = 0, total = 0;
  PROBE_CUDA(cudaMemGetInfo(&free, &total));
  const GemmMemory memory(std::min(std::size_t{3} << 30, free / 6), true);
  for (const auto& shape : list) {
    session.point(shape.row(), [&] { return measure(bench, memory, shape); });
  }
}

}  // namespace

int main(int argc, char** argv) { return probe::run_probe(argc, argv, "grouped_gemm", body); }
