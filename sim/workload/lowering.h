// The state of one lowering (workload/lower.h): private to lower.cpp, lower_chunk.cpp and lower_step_end.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "sim/workload/lower.h"
#include "sim/workload/resolved_block.h"
#include "sim/workload/schedule_index.h"
#include "sim/workload/step_end.h"
#include "sim/workload/under_way.h"

namespace trillion {

class Lowering {
 public:
  Lowering(const LoweringInput& in, Detail detail);
  LoweredStep run();

 private:
  void add_gpu(std::int32_t gpu);
  void reserve();

  // Emission of tasks. `gpu` counts simulated GPUs: pipeline rank x replicas + replica.
  void push(std::int32_t gpu, const ResolvedOperation& op, Chain& chain);
  void push(std::int32_t gpu, const ResolvedOperation& op, Chain& chain, Beside& beside);
  // The host's task that issues a kernel; not valid() where it has happened before the step began. And what follows from the kernel.
  TaskId issue(std::int32_t gpu, const ResolvedOperation& op);
  void hold_up(std::int32_t gpu, const ResolvedOperation& op, TaskId kernel);
  ResolvedOperation resolved(std::int32_t gpu, const Operation& op, Company company = Company::alone) {
    const KindId kind = kinds_.kind(op, kinds_.timed(op, {}, runner(gpu).expert_rank, company), runner(gpu).slowdown);
    return {kind, op.lane, op.order, kinds_.launch_of(op), op.host_waits};
  }
  void push_all(std::int32_t gpu, const ResolvedOperations& ops, Chain& chain);
  void push_backward(Chunk& chunk, const ResolvedOperations& ops, const ResolvedOperations& weights);
  void push_weights(Chunk& chunk, const ResolvedOperations& ops, Beside& beside);
  TaskId next_task() const { return TaskId{static_cast<std::uint32_t>(out_.graph.task_count())}; }
  // All tasks from `first` on are this section's.
  void note(const char* section, const Chunk& chunk, TaskId first);
  void exchange(const char* section, Chunk& chunk, std::optional<KindId> kind, KindId launch = {});

  // Actions.
  void emit(const ScheduledAction& action);
  void emit_on(const ScheduledAction& scheduled, std::int32_t gpu);
  void run_alone(const Pass& pass, std::int32_t gpu);
  void run_pair(const Pass& forward, const Pass& backward, std::int32_t gpu);
  void weights_alone(const Pass& pass, std::int32_t gpu);

  // Parts of a block; `i` counts the blocks of the chunk's stage from the front.
  void forward_to_dispatch(Chunk& chunk, std::size_t i);
  void forward_from_dispatch(Chunk& chunk, std::size_t i);
  void gradient_to_experts(Chunk& chunk, std::size_t i);
  void backward_to_experts(Chunk& chunk, std::size_t i);
  void experts_weight(Chunk& chunk, std::size_t i);
  void backward_from_experts(Chunk& chunk, std::size_t i);
  void before_exchange_weight(Chunk& chunk, std::size_t i);

  // Whether the GPU's gradients or parameters of this pass move while it runs: those of a whole step, or those that are asked for.
  bool gathers_beside(std::int32_t gpu) const { return in_.scenario.extent == Extent::step || beside(gpu).gathers; }
  bool reduces_beside(std::int32_t gpu) const { return in_.scenario.extent == Extent::step || beside(gpu).reduces; }
  BesideAction beside(std::int32_t gpu) const {
    return in_.beside.empty() ? BesideAction{} : in_.beside[static_cast<std::size_t>(rank(gpu))];
  }
  // Whether communication other than a block's own may run beside the pass: of parameters, gradients, neighbours.
  Company company(const Pass& pass, std::int32_t gpu) const;

  // Between ranks.
  Chunk arrive(const Pass& pass, std::int32_t gpu);
  void leave(const Chunk& chunk);
  KindId send_kind(std::int32_t from, std::int32_t to, Lane lane);

  // Offloading (lower_offload.cpp).
  TaskId copy(std::int32_t gpu, Lane lane, const char* label, Bytes bytes, std::span<const TaskId> after);
  void send_activations(Chunk& chunk, std::size_t i);
  void fetch_activations(Chunk& chunk, std::size_t i);
  TaskId update_on_host(std::int32_t gpu, const BlockParameters& parameters, TaskId after);

  // Data parallelism.
  void gather_parameters(Chunk& chunk, std::size_t i);
  void gather_first(Chunk& chunk, std::size_t i);
  void gather(Chunk& chunk, const BlockParameters& parameters);
  // The parameters of a stage's blocks from `from` on that fill a bucket; `from` is then the first of the next.
  BlockParameters next_bucket(std::int32_t stage, std::size_t& from);
  void gather_ahead(std::int32_t gpu, std::int32_t stage_of_pass);
  void gather_chunk(std::int32_t gpu, std::int32_t stage);
  TaskId reduce(std::int32_t gpu, const Reduction& reduction, TaskId after);
  void reduce_gradients(Chunk& chunk, std::size_t i);
  TaskId copy_shards(Chunk& chunk, const Operation& op);
  void end_step(std::int32_t gpu, RendezvousId norm);
  TaskId push_shared(std::int32_t gpu, const Operation& op, TaskId after, RendezvousId meeting = {});

  const Stage& stage(std::int32_t s) const { return in_.cut.stages[static_cast<std::size_t>(s)]; }
  std::int64_t layer(const Chunk& c, std::size_t i) const {
    return in_.cut.first_layer[static_cast<std::size_t>(c.pass.stage)] + static_cast<std::int64_t>(i);
  }
  BlockKind kind(const Chunk& c, std::size_t i) const { return stage(c.pass.stage)[i]; }
  const ResolvedBlock& block(const Chunk& c, std::size_t i) {
    return resolver_->kernels(kind(c, i), layer(c, i), c.pass.micro_batch, c.gpu, c.company);
  }
  const ResolvedExchanges& wires(const Chunk& c, std::size_t i) {
    return resolver_->exchanges(kind(c, i), layer(c, i), c.pass.micro_batch, c.gpu, c.company);
  }
  StreamId stream(std::int32_t gpu, Lane lane) const { return out_.streams[static_cast<std::size_t>(gpu)][static_cast<std::size_t>(lane)]; }
  std::int32_t rank(std::int32_t gpu) const { return gpu / out_.replicas; }
  std::int32_t replica(std::int32_t gpu) const { return gpu % out_.replicas; }
  std::size_t slot(std::int32_t s, std::int32_t micro_batch, std::int32_t gpu) const {
    const auto chunk =
        static_cast<std::size_t>(s) * static_cast<std::size_t>(in_.schedule.micro_batches) + static_cast<std::size_t>(micro_batch);
    return chunk * static_cast<std::size_t>(out_.replicas) + static_cast<std::size_t>(replica(gpu));
  }
  bool splits_weights(ActionKind k) const { return k == ActionKind::input_gradient; }

  // The members of an exchange or a tensor-parallel collective start together; GPUs are emitted one after the other, so the
  // meetings of an action are remembered by their order in it.
  RendezvousId meeting(std::int32_t gpu, Lane lane);
  RendezvousId reduction_meeting(const Chunk& chunk, std::size_t i, bool expert);
  std::int32_t part(Meeting m, std::int32_t gpu) const {
    return out_.folding.classes[static_cast<std::size_t>(replica(gpu))].part[static_cast<std::size_t>(m)];
  }
  // `kind` as this launch runs it: with kernel_jitter every launch differs.
  KindId launched(std::int32_t gpu, const ResolvedOperation& op);
  const Runner& runner(std::int32_t gpu) const { return views_[static_cast<std::size_t>(gpu)].runner; }
  const RankLinks& links(std::int32_t gpu) const { return views_[static_cast<std::size_t>(gpu)].links; }

  const LoweringInput& in_;
  PassIndex places_;
  LoweredStep out_;
  KindTable kinds_;
  std::optional<BlockResolver> resolver_;
  GradientGroups groups_;
  bool host_waits_for_arrivals_ = false;  // from a pipeline neighbour, before it issues what comes after (workload/launches.h)
  bool exchanges_in_order_ = false;       // with all that the compute stream was given before and after (PyTorch)
  bool sends_hold_sms_ = false;           // to the neighbours in the pipeline
  bool sms_set_aside_ = false;            // for communication, which then leaves kernels alone
  bool aligns_chunks_ = false;            // Megatron-LM's interleaved schedule: parameters and gradients move chunk by chunk
  bool aligned_ = false;                  // and parameters do so ahead of the passes (gather_ahead)
  std::int64_t copies_ = 0;               // pipeline ranks that hold one stage
  std::vector<Chain> arrived_forward_, arrived_backward_;                       // [stage][micro-batch][replica]: what the neighbour sent
  std::map<std::pair<std::int32_t, std::int32_t>, std::int32_t> weights_left_;  // (pipeline rank, stage) -> passes to come
  std::vector<GpuView> views_;                                                  // per simulated GPU
  std::array<std::vector<std::vector<RendezvousId>>, kMeetingCount> meetings_;  // [meeting][part] of the action at hand, in order
  std::array<std::size_t, kMeetingCount> next_meeting_{};
  // (stage, block, passes to come, expert?, part) of the ranks whose gradients meet
  std::map<std::tuple<std::int32_t, std::size_t, std::int32_t, bool, std::int32_t>, RendezvousId> reductions_;
  std::vector<TaskId> block_start_;           // per GPU: first kernel of the block last begun
  std::vector<TaskId> reduced_;               // per GPU: the last gradient reduction
  std::vector<SimTime> host_lead_;            // per GPU: host time that has passed before the device begins, not yet used
  std::vector<TaskId> host_waits_for_;        // per GPU: the kernel whose result the host needs before it issues more
  std::vector<TaskId> last_weight_;           // per GPU
  std::vector<BlockParameters> unreduced_;    // per GPU: gradients that wait for their bucket to fill
  std::vector<std::vector<Reduction>> late_;  // per GPU: buckets that wait for the last backward pass to end
  std::map<std::pair<std::int32_t, std::int32_t>, std::size_t> gathered_;  // (GPU, stage) -> blocks whose parameters are on their way
  std::map<std::pair<std::int32_t, std::int32_t>, std::vector<Bucket>> under_way_;  // (GPU, stage), where aligned_
  std::vector<std::int64_t> forwards_;                                              // per GPU: forward passes begun
  std::vector<TaskId> passed_;                                                      // per GPU: the end of the forward pass before
  std::map<std::tuple<std::int32_t, std::int32_t, Lane>, KindId> send_kinds_;
  std::vector<TaskId> last_sent_, backward_start_;  // per GPU: activations last sent to the host, kernel that the next fetch waits for
  std::map<std::tuple<std::int32_t, std::int32_t, std::int32_t, std::int32_t>, TaskId> sent_;  // (GPU, stage, micro-batch, block)
};

}  // namespace trillion
