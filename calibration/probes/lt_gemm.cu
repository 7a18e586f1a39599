#include "lt_gemm.h"

#include <map>

#include "check.h"

namespace probe {
namespace {

constexpr std::size_t kWorkspace = std::size_t{32} << 20;

void lt(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const std::string text = std::string(call) + ": " + cublasLtGetStatusName(status);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) throw Unsupported(text);
  throw std::runtime_error(text);
}
#define LT(call) lt((call), #call)

// One handle per process and device, to which a handle is bound: creating it costs milliseconds.
cublasLtHandle_t shared_handle() {
  static std::map<int, cublasLtHandle_t> handles;
  int device = 0;
  PROBE_CUDA(cudaGetDevice(&device));
  cublasLtHandle_t& handle = handles[device];
  if (!handle) LT(cublasLtCreate(&handle));
  return handle;
}

template <typename T>
void set(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute, const T& value) {
  LT(cublasLtMatmulDescSetAttribute(product, attribute, &value, sizeof value));
}

}  // namespace

std::size_t GemmShape::a_bytes() const { return std::size_t(m) * k * (dtype == "bf16" ? 2 : 1); }
std::size_t GemmShape::b_bytes() const { return std::size_t(k) * n * (dtype == "bf16" ? 2 : 1); }
std::size_t GemmShape::c_bytes() const { return std::size_t(m) * n * (accumulate ? 4 : 2); }

Row GemmShape::row(const std::string& load) const {
  Row row;
  row.text("op", "gemm").text("dtype", dtype).number("m", m).number("n", n).number("k", k);
  row.text("layout", layout);
  if (accumulate) row.flag("accumulate", true);
  if (sms > 0) row.number("sms", sms);
  return row.text("load", load);
}

GemmMemory::GemmMemory(std::size_t bytes, bool with_fp8)
    : a(bytes, Fill::kNormalBf16, 1),
      b(bytes, Fill::kNormalBf16, 2),
      c(2 * bytes, Fill::kNormalFp32, 3),
      scales(std::size_t{64} << 20, Fill::kOnesFp32),
      workspace(kWorkspace, Fill::kZero) {
  if (with_fp8) {
    a8 = std::make_unique<Arena>(bytes / 2, Fill::kNormalFp8, 4);
    b8 = std::make_unique<Arena>(bytes / 2, Fill::kNormalFp8, 5);
  }
}

LtGemm::LtGemm(const GemmShape& shape, const GemmMemory& memory) : shape_(shape), memory_(memory), handle_(shared_handle()) {
  describe_operands();
  if (shape_.dtype != "bf16") set_scales();
  choose_algorithm();
}

LtGemm::~LtGemm() {
  if (out_) cublasLtMatrixLayoutDestroy(out_);
  if (right_) cublasLtMatrixLayoutDestroy(right_);
  if (left_) cublasLtMatrixLayoutDestroy(left_);
  if (product_) cublasLtMatmulDescDestroy(product_);
}

// Row-major C[m,n] is column-major C^T[n,m] = B^T A^T: cuBLAS's left operand is our B, its rows are our n.
void LtGemm::describe_operands() {
  const bool fp8 = shape_.dtype != "bf16";
  const cudaDataType type = fp8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
  const cudaDataType out = shape_.accumulate ? CUDA_R_32F : CUDA_R_16BF;
  const bool weight = shape_.layout == "weight_gradient";
  const bool left_transposed = fp8 || shape_.layout == "forward";
  const bool right_transposed = !fp8 && weight;
  const auto [m, n, k] = std::tuple{shape_.m, shape_.n, shape_.k};

  LT(cublasLtMatmulDescCreate(&product_, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const cublasOperation_t yes = CUBLAS_OP_T, no = CUBLAS_OP_N;
  set(product_, CUBLASLT_MATMUL_DESC_TRANSA, left_transposed ? yes : no);
  set(product_, CUBLASLT_MATMUL_DESC_TRANSB, right_transposed ? yes : no);
  LT(left_transposed ? cublasLtMatrixLayoutCreate(&left_, type, k, n, k) : cublasLtMatrixLayoutCreate(&left_, type, n, k, n));
  LT(right_transposed ? cublasLtMatrixLayoutCreate(&right_, type, m, k, m) : cublasLtMatrixLayoutCreate(&right_, type, k, m, k));
  LT(cublasLtMatrixLayoutCreate(&out_, out, n, m, n));
  if (shape_.sms > 0) set(product_, CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, std::int32_t{shape_.sms});
}

void LtGemm::set_scales() {
  const bool weight = shape_.layout == "weight_gradient";
  const void* ones = memory_.scales.data();
  set(product_, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, ones);
  set(product_, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, ones);
  if (shape_.dtype == "fp8_block") {
    const std::int32_t vector = CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F;
    const std::int32_t block = CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F;
    set(product_, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, weight ? vector : block);
    set(product_, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, vector);
  } else {
    set(product_, CUBLASLT_MATMUL_DESC_FAST_ACCUM, std::int8_t{shape_.layout == "forward"});
  }
}

void LtGemm::choose_algorithm() {
  cublasLtMatmulPreference_t preference = nullptr;
  LT(cublasLtMatmulPreferenceCreate(&preference));
  const std::uint64_t workspace = kWorkspace;
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle_, product_, left_, right_, out_, out_, preference, 1, &found, &count);
  cublasLtMatmulPreferenceDestroy(preference);
  lt(status, "cublasLtMatmulAlgoGetHeuristic");
  if (count == 0) throw Unsupported("cublasLtMatmulAlgoGetHeuristic: no algorithm");
  algorithm_ = found.algo;
}

std::size_t LtGemm::bytes_per_launch() const { return shape_.a_bytes() + shape_.b_bytes() + shape_.c_bytes(); }

void LtGemm::launch(cudaStream_t stream, int index) const {
  const bool fp8 = shape_.dtype != "bf16";
  if (fp8 && !memory_.a8) throw Unsupported("no fp8 operands were allocated");
  launch(stream, (fp8 ? *memory_.a8 : memory_.a).at(shape_.a_bytes(), index), (fp8 ? *memory_.b8 : memory_.b).at(shape_.b_bytes(), index),
         memory_.c.at(shape_.c_bytes(), index));
}

void LtGemm::launch(cudaStream_t stream, const void* a, const void* b, void* c) const {
  const float one = 1, beta = shape_.accumulate ? 1 : 0;
  LT(cublasLtMatmul(handle_, product_, &one, b, left_, a, right_, &beta, c, out_, c, out_, &algorithm_, memory_.workspace.data(),
                    kWorkspace, stream));
}

}  // namespace probe
