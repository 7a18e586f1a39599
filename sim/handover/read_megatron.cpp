#include "sim/handover/read_megatron.h"

#include <algorithm>
#include <array>
#include <utility>

#include "sim/estimate/result_json.h"
#include "sim/handover/flag_reader.h"
#include "sim/handover/megatron_checks.h"
#include "sim/handover/megatron_cut.h"
#include "sim/handover/megatron_words.h"
#include "sim/spec/unit_text.h"

namespace trillion {
namespace {

constexpr const char* kTensor = "--tensor-model-parallel-size";
constexpr const char* kPipeline = "--pipeline-model-parallel-size";
constexpr const char* kExpert = "--expert-model-parallel-size";

class MegatronReader {
 public:
  MegatronReader(const GivenFlags& given, const Scenario& scenario) : flags_(given), scenario_(scenario) {}

  MegatronPlan read() {
    Plan& p = out_.plan;
    p = Plan{};
    p.expert_placement = ExpertPlacement::contiguous;
    read_axes();
    read_megatron_stages(flags_, scenario_.model, out_);
    check_world();
    read_data_parallel();
    read_recompute();
    read_precision();
    read_training();
    if (scenario_.model.moe) read_routing();
    read_optimizer();
    check_megatron_model(flags_, scenario_.model);
    sort_other_flags(flags_, out_);
    if (flags_.diagnostics().empty()) {
      for (const std::string& problem : p.validate()) flags_.problem("--recompute-modules", "these flags make no plan: " + problem);
    }
    throw_if_any();
    out_.overrides.insert(out_.overrides.begin(), "plan=" + plan_json_text(p));
    return std::move(out_);
  }

 private:
  // In the order of the file.
  void throw_if_any() {
    std::vector<Diagnostic>& all = flags_.diagnostics();
    if (all.empty()) return;
    std::stable_sort(all.begin(), all.end(), [](const Diagnostic& a, const Diagnostic& b) {
      return std::pair(a.where.line, a.where.column) < std::pair(b.where.line, b.where.column);
    });
    throw InputError(std::move(all));
  }

  void note(const std::string& text) { out_.notes.push_back(text); }

  void read_axes() {
    Plan& p = out_.plan;
    p.tensor_parallel = flags_.integer_or(kTensor, 1);
    const bool sequence = flags_.has("--sequence-parallel"), overlap = flags_.has("--tp-comm-overlap");
    p.sequence_parallel = sequence && p.tensor_parallel > 1;
    if (overlap && p.tensor_parallel > 1) {
      p.tensor_parallel_overlap = TensorOverlap::pipelined;
      if (!sequence) flags_.problem("--tp-comm-overlap", "--tp-comm-overlap needs --sequence-parallel");
    }
    p.context_parallel = flags_.integer_or("--context-parallel-size", 1);
    read_context_method();
    const std::int64_t experts = flags_.integer_or(kExpert, 1);
    const std::int64_t expert_tensor = flags_.integer_or("--expert-tensor-parallel-size", p.tensor_parallel);
    if (scenario_.model.moe) {
      p.expert_parallel = experts;
      p.expert_tensor_parallel = expert_tensor;
      read_exchange();
      if (p.tensor_parallel > 1 && !sequence) flags_.problem(kTensor, "experts with tensor parallelism need --sequence-parallel");
    }
    if (const auto size = flags_.integer("--micro-batch-size")) {
      p.micro_batch_size = *size;
    } else if (flags_.find("--micro-batch-size") == nullptr) {
      note("--micro-batch-size is not given: 1");
    }
    if (flags_.has("--use-tp-pp-dp-mapping")) p.rank_order = kMegatronOtherOrder;
  }

  void read_exchange() {
    enum class Dispatcher { allgather, alltoall, flex };
    static constexpr std::array<std::pair<Dispatcher, std::string_view>, 3> kDispatchers = {
        {{Dispatcher::allgather, "allgather"}, {Dispatcher::alltoall, "alltoall"}, {Dispatcher::flex, "flex"}}};
    const Dispatcher dispatcher = flags_.choice("--moe-token-dispatcher-type", kDispatchers).value_or(Dispatcher::allgather);
    flags_.text("--moe-flex-dispatcher-backend");  // each of them moves a token to a node once
    if (out_.plan.expert_parallel == 1) return;
    if (dispatcher != Dispatcher::flex) out_.plan.expert_exchange = ExpertExchange::all_to_all;
    if (dispatcher == Dispatcher::allgather) note("--moe-token-dispatcher-type allgather (the default) is taken as alltoall");
  }

  void read_context_method() {
    Plan& p = out_.plan;
    const std::vector<GivenWord> words = flags_.words("--cp-comm-type");
    if (p.context_parallel == 1) return;
    p.context_parallel_method = ContextParallelMethod::ring;  // Megatron-LM's default
    for (const GivenWord& word : words) {
      std::string kind = word.text;
      if (kind == "a2a+p2p") {
        note("--cp-comm-type a2a+p2p is taken as p2p");
        kind = "p2p";
      }
      const auto known =
          std::find_if(kMegatronContext.begin(), kMegatronContext.end(), [&](const auto& one) { return one.second == kind; });
      if (known == kMegatronContext.end()) {
        flags_.problem(word, "--cp-comm-type '" + word.text + "' is not one of p2p, a2a, allgather, a2a+p2p");
      } else if (&word == &words.front()) {
        p.context_parallel_method = known->first;
      } else if (known->first != p.context_parallel_method) {
        flags_.problem(word, "one --cp-comm-type for all layers is modelled, found several");
      }
    }
  }

  void check_world() {
    Plan& p = out_.plan;
    const std::int64_t gpus = scenario_.cluster.gpus();
    constexpr std::int64_t kLargest = 1 << 24;
    for (const std::int64_t size : {p.tensor_parallel, p.context_parallel, p.expert_parallel, p.expert_tensor_parallel}) {
      if (size > kLargest) return flags_.problem(kTensor, "a parallel size beyond any machine");
    }
    const auto indivisible = [&](std::int64_t product, const std::string& at, const std::string& what) {
      if (product > 0 && product <= gpus && gpus % product == 0) return false;
      flags_.problem(flags_.find(at) != nullptr ? at : kPipeline,
                     "the cluster's " + std::to_string(gpus) + " GPUs are no multiple of " + what + " = " + std::to_string(product));
      return true;
    };
    const auto times = [](std::int64_t a, std::int64_t b, std::int64_t c) {
      std::int64_t ab = 0, abc = 0;
      return __builtin_mul_overflow(a, b, &ab) || __builtin_mul_overflow(ab, c, &abc) ? std::int64_t{-1} : abc;
    };
    const std::int64_t dense = times(p.tensor_parallel, p.context_parallel, p.pipeline_parallel);
    if (indivisible(dense, kTensor, "tensor x context x pipeline")) return;
    p.data_parallel = gpus / dense;
    indivisible(times(p.expert_tensor_parallel, p.expert_parallel, p.pipeline_parallel), kExpert, "expert x expert tensor x pipeline");
  }

  void read_data_parallel() {
    Plan& p = out_.plan;
    const bool fsdp = flags_.has("--use-megatron-fsdp"), torch = flags_.has("--use-torch-fsdp2");
    const bool distributed = flags_.has("--use-distributed-optimizer");
    const auto strategy = flags_.choice("--data-parallel-sharding-strategy", kMegatronFsdp);
    const bool keeps = flags_.has("--torch-fsdp2-no-reshard-after-forward");
    p.sharding = distributed ? Sharding::zero_1 : Sharding::none;
    if (fsdp) p.sharding = strategy.value_or(Sharding::zero_3);
    if (torch) p.sharding = keeps ? Sharding::zero_2 : Sharding::zero_3;
    const bool reduce = flags_.has("--overlap-grad-reduce"), gather = flags_.has("--overlap-param-gather");
    const bool early = p.sharding == Sharding::zero_2 || p.sharding == Sharding::zero_3;
    p.overlap_gradient_reduce = reduce || early;
    p.overlap_parameter_gather = gather && p.sharding != Sharding::zero_3;
    if (gather && p.sharding == Sharding::none) {
      flags_.problem("--overlap-param-gather", "--overlap-param-gather needs --use-distributed-optimizer");
    }
    if (gather && !reduce && !early) flags_.problem("--overlap-param-gather", "--overlap-param-gather needs --overlap-grad-reduce");
    const std::int64_t instances = flags_.integer_or("--num-distributed-optimizer-instances", 1);
    if (instances > 1 && p.data_parallel) {
      if (p.sharding == Sharding::none || *p.data_parallel % instances != 0) {
        flags_.problem("--num-distributed-optimizer-instances",
                       "optimizer instances must divide the " + std::to_string(*p.data_parallel) + " replicas of a sharded optimizer");
      } else {
        p.sharding_group = *p.data_parallel / instances;
      }
    }
    if (const auto bucket = flags_.integer("--ddp-bucket-size")) p.bucket_parameters = static_cast<double>(*bucket);
    if (flags_.has("--optimizer-cpu-offload")) p.offload.push_back(Offload::optimizer);
  }

  void read_recompute() {
    Plan& p = out_.plan;
    enum class Granularity { selective, full };
    static constexpr std::array<std::pair<Granularity, std::string_view>, 2> kGranularities = {
        {{Granularity::selective, "selective"}, {Granularity::full, "full"}}};
    static constexpr std::array<std::pair<RecomputeMethod, std::string_view>, 2> kMethods = {
        {{RecomputeMethod::uniform, "uniform"}, {RecomputeMethod::block, "block"}}};
    auto granularity = flags_.choice("--recompute-granularity", kGranularities);
    if (flags_.has("--recompute-activations") && !granularity) granularity = Granularity::selective;
    const auto method = flags_.choice("--recompute-method", kMethods);
    const auto layers = flags_.integer("--recompute-num-layers");
    const std::vector<GivenWord> modules = flags_.words("--recompute-modules");
    if (flags_.has("--moe-layer-recompute")) p.recompute.push_back(RecomputeModule::moe);
    if (granularity == Granularity::full) {
      p.recompute = {RecomputeModule::layer};
      p.recomputed_layers = {method.value_or(RecomputeMethod::uniform), layers.value_or(1)};
      if (!method) flags_.problem("--recompute-granularity", "--recompute-granularity full needs --recompute-method uniform or block");
    } else if (granularity == Granularity::selective) {
      read_modules(modules);
    } else if (!modules.empty()) {
      flags_.problem("--recompute-modules", "--recompute-modules without --recompute-granularity selective does nothing");
    }
    std::sort(p.recompute.begin(), p.recompute.end());
  }

  void read_modules(const std::vector<GivenWord>& modules) {
    std::vector<RecomputeModule>& to = out_.plan.recompute;
    if (modules.empty()) to.push_back(RecomputeModule::attention);
    for (const GivenWord& word : modules) {
      const auto known =
          std::find_if(kMegatronModules.begin(), kMegatronModules.end(), [&](const auto& one) { return one.second == word.text; });
      if (known == kMegatronModules.end()) {
        std::string all;
        for (const auto& one : kMegatronModules) all += (all.empty() ? "" : ", ") + std::string(one.second);
        flags_.problem(word, "--recompute-modules '" + word.text + "' is not one of the modelled " + all);
      } else if (std::find(to.begin(), to.end(), known->first) == to.end()) {
        to.push_back(known->first);
      }
    }
  }

  void read_precision() {
    const auto format = flags_.text("--fp8-format");
    if (format && *format != "hybrid" && *format != "e4m3") flags_.unknown_value("--fp8-format", *format, {"hybrid", "e4m3"});
    flags_.text("--fp8-recipe");  // the calibration's stack says which one is simulated
    out_.plan.precision = format ? Precision::fp8 : Precision::bf16;
    const bool half = flags_.has("--fp16"), brain = flags_.has("--bf16");
    if (half) note("--fp16 is taken as bf16");
    if (!half && !brain) note("neither --bf16 nor --fp16: Megatron-LM would train in FP32, bf16 is simulated");
  }

  void replace(const std::string& key, std::int64_t theirs, std::int64_t ours) {
    if (theirs == ours) return;
    out_.overrides.push_back(key + "=" + std::to_string(theirs));
    note(key + " is " + std::to_string(theirs) + ", the scenario has " + std::to_string(ours));
  }

  void replace(const std::string& key, std::optional<double> theirs, std::optional<double> ours) {
    if (theirs == ours) return;
    const auto text = [](std::optional<double> value) { return value ? exact_number_text(*value) : std::string("null"); };
    out_.overrides.push_back(key + "=" + text(theirs));
    note(key + " is " + text(theirs) + ", the scenario has " + text(ours));
  }

  void read_training() {
    const Training& t = scenario_.training;
    if (const auto length = flags_.integer("--seq-length")) replace("training.sequence_length", *length, t.sequence_length);
    if (const auto batch = flags_.integer("--global-batch-size")) {
      replace("training.global_batch_size", *batch, t.global_batch_size);
      if (t.batch_size_schedule && t.batch_size_schedule->to != *batch) out_.overrides.push_back("training.batch_size_schedule=null");
    } else if (flags_.find("--global-batch-size") == nullptr) {
      note("--global-batch-size is not given: the scenario's " + std::to_string(t.global_batch_size));
    }
  }

  void read_routing() {
    const bool forced = flags_.has("--moe-router-force-load-balancing"), bias = flags_.has("--moe-router-enable-expert-bias");
    std::optional<Balance> balance;
    for (const GivenWord& word : flags_.words("--moe-router-load-balancing-type")) {
      for (const auto& [ours, theirs] : kMegatronBalance) {
        if (word.text == theirs || (word.text == "global_" + std::string(theirs))) balance = ours;
      }
      if (!balance) {
        static const std::vector<std::string> kOthers = {"sinkhorn", "quantile_balancing"};
        if (std::find(kOthers.begin(), kOthers.end(), word.text) == kOthers.end()) {
          flags_.problem(word, "--moe-router-load-balancing-type '" + word.text +
                                   "' is not one of aux_loss, seq_aux_loss, global_aux_loss, sinkhorn, quantile_balancing, none");
        } else {
          note("--moe-router-load-balancing-type " + word.text + " is not modelled: the scenario's balancing is kept");
        }
      }
    }
    if (bias) balance = Balance::loss_free;
    if (forced) balance = Balance::forced;
    read_capacity();
    if (const auto rate = flags_.number("--moe-router-bias-update-rate"))
      replace("training.routing.bias_update_speed", rate, scenario_.training.routing.bias_update_speed);
    if (!balance || *balance == scenario_.training.routing.balance) return;
    const auto name = [](Balance b) { return std::string(kBalanceNames[static_cast<std::size_t>(b)]); };
    out_.overrides.push_back("training.routing.balance=" + name(*balance));
    if (!scenario_.training.routing.loads.empty()) out_.overrides.push_back("training.routing.loads=null");
    note("training.routing.balance is " + name(*balance) + ", the scenario has " + name(scenario_.training.routing.balance));
  }

  // A factor below zero is Megatron-LM's word for none.
  void read_capacity() {
    const Routing& ours = scenario_.training.routing;
    std::optional<double> factor = flags_.number("--moe-expert-capacity-factor");
    if (factor && *factor < 0) factor.reset();
    const bool pad = flags_.has("--moe-pad-expert-input-to-capacity");
    if (pad && !factor)
      flags_.problem("--moe-pad-expert-input-to-capacity", "--moe-pad-expert-input-to-capacity needs --moe-expert-capacity-factor");
    replace("training.routing.capacity_factor", factor, ours.capacity_factor);
    if (pad == ours.pad_to_capacity) return;
    out_.overrides.push_back(std::string("training.routing.pad_to_capacity=") + (pad ? "true" : "false"));
    note(std::string("training.routing.pad_to_capacity is ") + (pad ? "true" : "false") + ", the scenario's is not");
  }

  std::int64_t bytes_of(const std::string& flag, std::int64_t otherwise) {
    static constexpr std::array<std::pair<std::int64_t, std::string_view>, 4> kTypes = {
        {{4, "fp32"}, {2, "bf16"}, {2, "fp16"}, {1, "fp8"}}};
    return flags_.choice(flag, kTypes).value_or(otherwise);
  }

  // With Megatron-LM's defaults: everything in FP32.
  void read_optimizer() {
    const OptimizerState& ours = scenario_.training.optimizer_state;
    const bool aware = flags_.has("--use-precision-aware-optimizer"), narrow = flags_.has("--grad-reduce-in-bf16");
    OptimizerState theirs;
    const std::int64_t first = bytes_of("--exp-avg-dtype", 4), second = bytes_of("--exp-avg-sq-dtype", first);
    const std::int64_t master = bytes_of("--main-params-dtype", 4), gradients = bytes_of("--main-grads-dtype", 4);
    if (aware) {
      theirs.moment_bytes = first;
      theirs.master_weight_bytes = master;
      theirs.gradient_bytes = gradients;
      if (second != first) note("--exp-avg-sq-dtype is taken as --exp-avg-dtype");
    }
    if (narrow) theirs.gradient_bytes = theirs.gradient_reduce_bytes = 2;
    const std::string prefix = "training.optimizer_state.";
    replace(prefix + "moment_bytes", theirs.moment_bytes, ours.moment_bytes);
    replace(prefix + "master_weight_bytes", theirs.master_weight_bytes, ours.master_weight_bytes);
    replace(prefix + "gradient_bytes", theirs.gradient_bytes, ours.gradient_bytes);
    replace(prefix + "gradient_reduce_bytes", theirs.gradient_reduce_bytes, ours.gradient_reduce_bytes);
  }

  FlagReader flags_;
  const Scenario& scenario_;
  MegatronPlan out_;
};

}  // namespace

MegatronPlan read_megatron(const GivenFlags& given, const Scenario& scenario) { return MegatronReader(given, scenario).read(); }

}  // namespace trillion
