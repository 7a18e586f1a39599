#include "memory_kernels.h"

#include <map>
#include <stdexcept>

#include "check.h"

namespace probe {
namespace {

// Bytes per element of rows x columns, as the table in the header states them; what is per row, per scale group or
// per column is added below.
struct Traffic {
  double read, written;
};

const std::map<std::string, Traffic>& traffic() {
  static const std::map<std::string, Traffic> table = {{"copy", {2, 2}},
                                                       {"memcpy", {2, 2}},
                                                       {"add", {4, 2}},
                                                       {"swiglu", {4, 2}},
                                                       {"swiglu_backward", {6, 4}},
                                                       {"gelu", {2, 2}},
                                                       {"gelu_backward", {4, 2}},
                                                       {"transpose", {1, 1}},
                                                       {"zero", {0, 2}},
                                                       {"gradient_norm", {4, 0}},
                                                       {"rope", {2, 2}},
                                                       {"cast_fp32", {2, 4}},
                                                       {"cast_bf16", {4, 2}},
                                                       {"gradient_accumulate", {6, 4}},
                                                       {"adam", {16, 14}},
                                                       {"adam_bf16_states", {12, 10}},
                                                       {"rms_norm", {2, 2}},
                                                       {"rms_norm_backward", {4, 2}},
                                                       {"softmax", {2, 2}},
                                                       {"cross_entropy", {2, 0}},
                                                       {"cross_entropy_backward", {2, 2}},
                                                       {"cast_fp8", {2, 1 + 4.0 / 128}},
                                                       {"cast_fp8_block", {2, 1 + 4.0 / (128 * 128)}},
                                                       {"cast_fp8_transpose", {2, 2 + 8.0 / 128}},
                                                       {"permute", {2, 2}},
                                                       {"unpermute", {2, 2.0 / kExpertsPerToken}},
                                                       {"scatter_add", {6, 4}}};
  return table;
}

const Traffic& of(const std::string& kernel) {
  const auto found = traffic().find(kernel);
  if (found == traffic().end()) throw std::logic_error("unknown memory-bound kernel " + kernel);
  return found->second;
}

}  // namespace

std::int64_t MemoryShape::read_bytes() const {
  const std::int64_t base = static_cast<std::int64_t>(of(kernel).read * double(rows) * double(columns));
  if (kernel == "rms_norm" || kernel == "rms_norm_backward") return base + 2 * columns;
  if (kernel == "cross_entropy_backward") return base + 4 * rows;
  if (kernel == "permute" || kernel == "unpermute" || kernel == "scatter_add") return base + 4 * rows;
  return base;
}

std::int64_t MemoryShape::written_bytes() const {
  const std::int64_t base = static_cast<std::int64_t>(of(kernel).written * double(rows) * double(columns));
  if (kernel == "rms_norm_backward") return base + 2 * columns;
  if (kernel == "cross_entropy") return base + 8 * rows;
  if (kernel == "gradient_norm") return 4;
  return base;
}

Row MemoryShape::row(const std::string& load) const {
  Row row;
  row.text("op", "memory_bound").text("kernel", kernel);
  row.number("read_bytes", read_bytes()).number("written_bytes", written_bytes());
  return row.number("rows", rows).number("columns", columns).text("load", load);
}

void launch_memory_kernel(const MemoryShape& shape, const MemoryBuffers& buffers, int sm_count, cudaStream_t stream) {
  if (launch_elementwise(shape, buffers, stream) || launch_rowwise(shape, buffers, sm_count, stream) ||
      launch_quantize(shape, buffers, stream) || launch_permute(shape, buffers, stream) || launch_sweep(shape, buffers, sm_count, stream)) {
    return;
  }
  throw std::logic_error("unknown memory-bound kernel " + shape.kernel);
}

}  // namespace probe
