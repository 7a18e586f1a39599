// How the work is laid out over the GPUs: parallel axes, schedule, sharding, recomputation, precision.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trillion {

enum class ScheduleKind { gpipe, one_f_one_b, interleaved_1f1b, zb_h1, zb_h2, zb_v, dualpipe, dualpipe_v };
inline constexpr std::array<std::string_view, 8> kScheduleNames = {"gpipe", "1f1b", "interleaved-1f1b", "zb-h1",
                                                                   "zb-h2", "zb-v", "dualpipe",         "dualpipe-v"};

enum class Sharding { none, zero_1, zero_2, zero_3 };
inline constexpr std::array<std::string_view, 4> kShardingNames = {"none", "zero-1", "zero-2", "zero-3"};

enum class Precision { bf16, fp8 };
inline constexpr std::array<std::string_view, 2> kPrecisionNames = {"bf16", "fp8"};

// How the ranks of a context-parallel group bring queries to keys (workload/context_attention.h).
enum class ContextParallelMethod { all_gather, ring, all_to_all };
inline constexpr std::array<std::string_view, 3> kContextParallelMethodNames = {"all_gather", "ring", "all_to_all"};

// What tensor-parallel collectives run beside. `bulk` is Megatron-LM's default: those of the backward pass run beside the products
// that do not need them. `pipelined` also cuts the others into pieces beside their own GEMM (workload/tensor_overlap.h).
enum class TensorOverlap { none, bulk, pipelined };
inline constexpr std::array<std::string_view, 3> kTensorOverlapNames = {"none", "bulk", "pipelined"};

// Modules whose insides can be dropped after the forward pass and computed again in the backward pass. `mlp` is the dense
// feed-forward network; `moe` everything between a routed layer's norm and its residual: gate, exchanges, all experts. `products`, of
// PyTorch's stacks: all but attention and every second product (torchtitan's selective checkpointing by operation).
enum class RecomputeModule { norm, mla_up_projection, activation, attention, layer, mlp, moe, shared_experts, moe_activation, products };
inline constexpr std::array<std::string_view, 10> kRecomputeModuleNames = {
    "norm", "mla_up_projection", "activation", "attention", "layer", "mlp", "moe", "shared_experts", "moe_activation", "products"};

// Which layers `recompute: full` drops (Megatron-LM's recompute_method and recompute_num_layers).
enum class RecomputeMethod {
  uniform,  // all, in units of so many layers: only a unit's input is kept, and a unit is run again as a whole
  block,    // the first so many of each stage; the others keep all they have
};
inline constexpr std::array<std::string_view, 2> kRecomputeMethodNames = {"uniform", "block"};
struct RecomputedLayers {
  RecomputeMethod method = RecomputeMethod::uniform;
  std::int64_t count = 1;
  friend bool operator==(const RecomputedLayers&, const RecomputedLayers&) = default;
};

// What lives on the host instead of the GPU. `optimizer`: master weights and moments, which the host updates; `activations`: of the
// decoder layers, copied out after the forward pass and back before the backward pass.
enum class Offload { optimizer, activations };
inline constexpr std::array<std::string_view, 2> kOffloadNames = {"optimizer", "activations"};

// Which rank of the expert-parallel group holds which expert (moe/placement.h).
enum class ExpertPlacement { contiguous, round_robin, load_balanced, traffic_minimising };
inline constexpr std::array<std::string_view, 4> kExpertPlacementNames = {"contiguous", "round-robin", "load-balanced",
                                                                          "traffic-minimising"};

// How tokens reach their experts and come back. `deduplicated`: once to each node and from there on, as DeepEP and DeepSeek do;
// `all_to_all`: every copy over its own pair of GPUs (moe/exchange.h).
enum class ExpertExchange { deduplicated, all_to_all };
inline constexpr std::array<std::string_view, 2> kExpertExchangeNames = {"deduplicated", "all_to_all"};

// Axes of the rank order. Expert layers put their own sizes in the same order: etp where tp is, edp where dp is, and no cp; dense
// layers leave ep out (Megatron-LM, --use-tp-pp-dp-mapping and RankGenerator).
enum class RankAxis { tensor, context, expert, data, pipeline };
inline constexpr std::array<std::string_view, 5> kRankAxisNames = {"tp", "cp", "ep", "dp", "pp"};
using RankOrder = std::array<RankAxis, 5>;  // the first varies fastest
inline constexpr RankOrder kMegatronOrder = {RankAxis::tensor, RankAxis::context, RankAxis::expert, RankAxis::data, RankAxis::pipeline};
std::string to_text(const RankOrder& order);                         // "tp-cp-ep-dp-pp"
std::optional<RankOrder> rank_order_of_text(std::string_view text);  // empty: not each axis once

// A pipeline schedule that the user wrote (workload/schedule.h has the grammar), one line per pipeline rank.
struct ScheduleFile {
  std::string path;  // as messages name it
  std::string text;
  friend bool operator==(const ScheduleFile&, const ScheduleFile&) = default;
};

struct Plan {
  std::int64_t tensor_parallel = 1;
  bool sequence_parallel = false;  // activations outside attention and MLP split over the tensor-parallel group
  TensorOverlap tensor_parallel_overlap = TensorOverlap::bulk;
  std::int64_t context_parallel = 1;
  ContextParallelMethod context_parallel_method = ContextParallelMethod::all_gather;
  std::int64_t pipeline_parallel = 1;
  std::int64_t virtual_pipeline_stages = 1;  // model chunks per rank of interleaved-1f1b
  std::int64_t expert_parallel = 1;
  std::int64_t expert_tensor_parallel = 1;
  std::optional<std::int64_t> data_parallel;  // empty: what remains, cluster GPUs / (tp cp pp)
  std::int64_t micro_batch_size = 1;          // sequences
  RankOrder rank_order = kMegatronOrder;
  ScheduleKind schedule = ScheduleKind::one_f_one_b;
  std::optional<ScheduleFile> schedule_file;                  // instead of `schedule`
  std::optional<std::vector<std::int64_t>> layers_per_stage;  // empty: split so that stage times are even
  Sharding sharding = Sharding::zero_1;
  // GPUs that share one copy of what is sharded; further copies are reduced across (FSDP's hybrid sharding; Megatron-LM's
  // num_distributed_optimizer_instances is data parallel / this). Empty: all replicas. Experts have as many copies.
  std::optional<std::int64_t> sharding_group;
  bool overlap_gradient_reduce = true;    // reduced while the last backward pass runs, not after it
  bool overlap_parameter_gather = false;  // gathered while the next step's first forward pass runs, not before it
  // Parameters that are reduced or gathered together; empty: Megatron-LM's max(40e6, 1e6 x group) (ddp_bucket_size).
  std::optional<double> bucket_parameters;
  // What the words none, selective and full stand for is in spec/recompute_amount.h.
  std::vector<RecomputeModule> recompute;
  RecomputedLayers recomputed_layers;  // of recompute: full
  std::vector<Offload> offload;
  Precision precision = Precision::bf16;
  ExpertPlacement expert_placement = ExpertPlacement::contiguous;
  ExpertExchange expert_exchange = ExpertExchange::deduplicated;
  std::int64_t redundant_experts = 0;  // further copies of a layer's busiest experts, of expert_placement: load-balanced

  friend bool operator==(const Plan&, const Plan&) = default;
  bool recomputes(RecomputeModule module) const;
  bool offloads(Offload what) const;
  std::string schedule_name() const;  // the schedule's, or the file's
  std::vector<std::string> validate() const;
};

}  // namespace trillion
