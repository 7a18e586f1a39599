// One kernel or one communication of one rank, before it has a time: what a block of the model (workload/block.h) is made of.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sim/base/quantity.h"
#include "sim/spec/kernel.h"

namespace trillion {

// What an operation is charged to in the report: `compute_s` for kernels, `exposed_s` for communication.
enum class Category : std::uint8_t {
  attention,
  dense_ffn,
  experts,
  gate,
  embedding_and_head,
  norm_and_elementwise,
  cast_and_quantize,
  recompute,
  optimizer,
  // Communication from here on.
  expert_all_to_all,
  pipeline_p2p,
  tensor_parallel,
  context_parallel,
  gradient_reduce,
  parameter_gather,
  host_offload,  // copies to and from the host, and its optimizer
  // The host's work: issuing what the device runs.
  host_launch,
};
inline constexpr std::size_t kCategoryCount = 17;
constexpr bool is_communication(Category c) { return c >= Category::expert_all_to_all && c != Category::host_launch; }

// The stream of its rank that an operation runs on. Streams are in order; between streams only dependencies order.
enum class Lane : std::uint8_t {
  compute,
  expert,             // dispatch and combine
  tensor,             // tensor-parallel collectives
  context,            // context-parallel ones
  pipeline_forward,   // sends of activations to the next stage
  pipeline_backward,  // sends of gradients to the previous stage
  gather,             // parameter all-gather
  reduce,             // gradient reduction
  host,               // launches of the compute stream's kernels, where the host issues them one by one (calibration stack.framework)
  host_out,           // copies to the host
  host_update,        // the host's optimizer
  host_in,            // copies from the host
};
inline constexpr std::size_t kLaneCount = 12;
inline constexpr std::array<std::string_view, kLaneCount> kLaneNames = {"compute",          "expert all-to-all", "tensor parallel",
                                                                        "context parallel", "pipeline forward",  "pipeline backward",
                                                                        "parameter gather", "gradient reduce",   "host",
                                                                        "copies to host",   "host optimizer",    "copies from host"};

// How the work of an operation grows with the routing of its micro-batch (moe/expert_load.h).
enum class LoadScale : std::uint8_t {
  none,
  rank_load,  // token copies that this rank's experts received
  exchange,   // dispatch and combine: the busiest NIC and the busiest receiver set the pace
};

// A block's operations are a chain, each after the one before; some run beside it.
enum class Order : std::uint8_t {
  chain,
  ahead,           // starts where the chain stands, which goes on without it until an operation meets it
  before_weights,  // ahead, and the weight gradients that belong to the part may run before the chain goes on
  meets,           // in the chain, after the oldest operation ahead that has not been met
  meets_all,       // in the chain, after all operations ahead
};

struct Operation {
  std::string label;
  Category category = Category::norm_and_elementwise;
  Lane lane = Lane::compute;
  std::variant<Gemm, GroupedGemm, Attention, MemoryBound, Collective> what;
  LoadScale scale = LoadScale::none;
  Order order = Order::chain;
  bool host_waits = false;  // the host issues nothing more before it has this kernel's result
  // What the host does to issue it beside the operation itself, each as dear as an elementwise operation: views, module calls.
  int host_calls = 0;
  double share = 1;          // of the kernel: one of several pieces that run on streams of their own, so that together they fill the chip
  bool in_place = false;     // its output takes the place of its operand
  bool copy_engine = false;  // a send to a neighbour over NVLink that no kernel makes
};

using Operations = std::vector<Operation>;

// What a kernel leaves in memory that was not there before; nothing of attention, whose output the products' operands count.
Bytes left_in_memory(const Operation& op);

}  // namespace trillion
