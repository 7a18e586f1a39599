#include "sim/workload/torch_written_out.h"

namespace trillion {

namespace {

// Kernels on one tensor of so many values, in bytes a value.
class Chain {
 public:
  Chain(std::string name, double values, double rows) : name_(std::move(name)), values_(values), rows_(rows) {}

  Chain& run(const char* what, MemoryKernel kernel, double read, double written) {
    ops_.push_back(torch_kernel(name_ + " " + what, kernel, read * values_, written * values_));
    return *this;
  }
  Chain& unary(const char* what, double read, double written) { return run(what, MemoryKernel::torch_neg, read, written); }
  // On one FP32 value a row.
  Chain& row(const char* what) {
    ops_.push_back(torch_unary(name_ + " " + what, 4 * rows_, 4 * rows_));
    return *this;
  }
  Operations take() { return std::move(ops_); }

 private:
  std::string name_;
  double values_, rows_;
  Operations ops_;
};

}  // namespace

Operations written_out_norm(const TorchSizes& t, const std::string& name) {
  Chain c(name, t.residual, static_cast<double>(t.s.residual_tokens));
  const bool casts = t.wide < 4;
  if (casts) c.run("to FP32", MemoryKernel::torch_cast_fp32, t.wide, 4);
  c.unary("square", 4, 4).unary("mean", 4, 0).row("add epsilon").row("inverse root").unary("scale", 4, 4);
  if (casts) c.run("to BF16", MemoryKernel::torch_cast_bf16, 4, t.wide);
  c.unary("times weight", t.wide, t.wide);
  return c.take();
}

Operations written_out_norm_backward(const TorchSizes& t, const std::string& name) {
  Chain c(name, t.residual, static_cast<double>(t.s.residual_tokens));
  const bool casts = t.wide < 4;
  c.unary("gradient times weight", t.wide, t.wide);
  c.run("weight gradient", MemoryKernel::torch_mul, 2 * t.wide, t.wide).unary("weight gradient sum", t.wide, 0);
  if (casts) c.run("gradient to FP32", MemoryKernel::torch_cast_fp32, t.wide, 4);
  c.unary("gradient times scale", 4, 4);
  c.run("scale gradient", MemoryKernel::torch_mul, 8, 4).unary("scale gradient sum", 4, 0);
  c.row("inverse root cubed").row("inverse root gradient").row("inverse root backward");
  c.unary("mean backward", 0, 4);
  c.unary("power", 4, 4).unary("twice", 4, 4).run("square backward", MemoryKernel::torch_mul, 8, 4);
  c.run("add gradients", MemoryKernel::torch_add, 8, 4);
  if (casts) c.run("gradient to BF16", MemoryKernel::torch_cast_bf16, 4, t.wide);
  return c.take();
}

Operations complex_rotation(const TorchSizes& t, const std::string& name, double values) {
  Chain c(name, values, 0);
  if (t.first_read < 4) c.run("to FP32", MemoryKernel::torch_cast_fp32, t.first_read, 4);
  return c.unary("times frequencies", 4, 4).run("to BF16", MemoryKernel::torch_cast_bf16, 4, 2).take();
}

Operation repeat_heads(const std::string& name, double values, double copies) {
  return torch_kernel(name + " repeat heads", MemoryKernel::torch_copy, 2 * values, 2 * copies * values);
}

Operation repeat_heads_backward(const std::string& name, double values, double copies) {
  return torch_unary(name + " sum over heads", 2 * copies * values, 2 * values);
}

}  // namespace trillion
