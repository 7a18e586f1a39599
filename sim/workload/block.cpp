#include "sim/workload/block.h"

#include <algorithm>
#include <utility>

#include "sim/base/error.h"
#include "sim/workload/counts.h"
#include "sim/workload/expert_exchange.h"
#include "sim/workload/experts.h"
#include "sim/workload/launches.h"
#include "sim/workload/passes.h"
#include "sim/workload/tensor_overlap.h"
#include "sim/workload/torch.h"

namespace trillion {

namespace {

constexpr std::string_view kMaximum = ": maximum";  // what search_maxima() puts before a cast

// Norms stay what they are, whatever they stand before.
void append(std::vector<SavedTensor>& to, const std::vector<SavedTensor>& from, Module module) {
  for (SavedTensor tensor : from) {
    if (tensor.module != Module::norms) tensor.module = module;
    to.push_back(std::move(tensor));
  }
}

BlockParameters& of(Block& b, Module module) { return b.parameters_of[static_cast<std::size_t>(module)]; }

bool torch(const BlockContext& c) { return c.framework != Framework::fused; }

Passes attention(const BlockContext& c) {
  if (torch(c)) return torch_attention(c);
  return c.model.mla ? latent_attention(c) : grouped_query_attention(c);
}

// This rank's share of a decoder layer's parameters: matrices are split over the tensor-parallel group, vectors are not.
void add_layer_share(Block& b, const BlockContext& c, bool moe_layer) {
  const LayerParameters p = layer_parameters(c.model, moe_layer);
  const double tensor = static_cast<double>(c.plan.tensor_parallel);
  double attention_split = static_cast<double>(p.attention_matrices), attention_whole = static_cast<double>(p.attention_vectors);
  if (c.model.mla) {
    // The projections down to the latents are on every tensor-parallel rank.
    const double down =
        static_cast<double>(c.model.hidden_size) *
        static_cast<double>(c.model.mla->q_lora_rank.value_or(0) + c.model.mla->kv_lora_rank + c.model.mla->qk_rope_head_dim);
    attention_whole += down;
    attention_split -= down;
  }
  of(b, Module::attention) += {attention_split / tensor + attention_whole, 0};
  of(b, Module::norms) += {static_cast<double>(p.norms), 0};
  of(b, Module::feed_forward) += {static_cast<double>(p.dense_ffn) / tensor, 0};
  BlockParameters experts{static_cast<double>(p.router) + static_cast<double>(p.shared_experts) / tensor, 0};
  if (moe_layer) {
    const double one = static_cast<double>(p.one_routed_expert) / static_cast<double>(c.plan.expert_tensor_parallel);
    const double held = static_cast<double>(experts_per_rank(c.model, c.plan));
    experts.expert = one * held;
    // A redundant expert and its original, on different ranks.
    const double paired = 2 * static_cast<double>(c.plan.redundant_experts) / static_cast<double>(c.plan.expert_parallel);
    if (c.plan.expert_parallel > 1) experts.replicated = one * std::min(held, paired);
  }
  of(b, Module::experts) += experts;
}

// Gate, exchanges and experts, as often as they are run.
Operations routed_network(const Block& b, const Operations& before_dispatch) {
  Operations ops = before_dispatch;
  if (b.exchanges.dispatch) ops.push_back(*b.exchanges.dispatch);
  append(ops, b.experts);
  if (b.exchanges.combine) ops.push_back(*b.exchanges.combine);
  return ops;
}

// What checkpointing costs the host of eager PyTorch, in calls an operation: hooks around each saved tensor, a frame that runs again; of
// selective checkpointing Python's word on every operation (TorchDispatchMode), both ways. From layers on tensors so small that the host
// is the limit (calibration/steps/host.py: torch_layer, torch_layer_again, torch_layer_products of raw/h100/torch-twelfth-host.jsonl,
// raw/h200/torch-seventh-host.jsonl): 24 operations forward and back take 2.0 ms, 4.4 run again, 8.0 where products stay.
struct CheckpointCalls {
  int forward = 0, again = 0;
};
constexpr CheckpointCalls kWholeLayer = {1, 3}, kBetweenProducts = {7, 10};

void add_checkpoint_calls(Block& b, const BlockContext& c, const CheckpointCalls& calls) {
  if (c.framework != Framework::torch_eager) return;
  for (Operations* ops : {&b.before_exchange, &b.experts}) {
    for (Operation& op : *ops) op.host_calls += calls.forward;
  }
  for (Operation& op : b.recompute) op.host_calls += calls.again;
}

// With plan.recompute: layer only the block's input is kept, and the backward pass starts by running the forward pass again, to its
// end: frameworks checkpoint a function, and cannot know which of its last kernels nobody needs.
void recompute_everything(Block& b, const BlockContext& c) {
  b.recompute = again(routed_network(b, b.before_exchange));
  // PyTorch's checkpoint stops when the last tensor that the backward pass needs is back: before the last product and what follows;
  // where experts' rows are added up last, before that addition, which keeps them.
  while (torch(c) && !b.recompute.empty() && !b.recompute.back().label.starts_with(kZeroedResult)) {
    const bool product =
        std::holds_alternative<Gemm>(b.recompute.back().what) || std::holds_alternative<GroupedGemm>(b.recompute.back().what);
    b.recompute.pop_back();
    if (product) break;
  }
  b.saved = {{"layer input", Sizes(c).residual() * (c.autocast() ? 2.0 : 1.0), LoadScale::none, Module::layer_inputs}};
}

// plan.recompute: [products]. Outputs of attention and of the first, third ... product stay; all else runs again. So in FP8: the policy
// sees torch.mm before FP8 tensors take it apart. Compiled code keeps only what is read again, so not the last product's.
void recompute_between_products(Block& b, const BlockContext& c) {
  std::vector<SavedTensor> kept;
  for (const SavedTensor& t : b.saved) {
    if (t.name == "attention output" || t.name == "attention log-sum-exp") kept.push_back(t);
  }
  const Operations forward = routed_network(b, b.before_exchange);
  const auto is_product = [](const Operation& op) { return std::holds_alternative<Gemm>(op.what); };
  const auto products = std::count_if(forward.begin(), forward.end(), is_product);
  std::vector<bool> stays;
  std::ptrdiff_t count = 0;
  for (const Operation& op : forward) {
    const auto* gemm = std::get_if<Gemm>(&op.what);
    const bool odd = gemm != nullptr && ++count % 2 == 1;
    stays.push_back(odd || op.label.ends_with(kMaximum) || std::holds_alternative<Attention>(op.what));
    if (odd && !(count == products && c.framework == Framework::torch_compiled)) {
      kept.push_back({op.label + " output", Bytes{2.0 * static_cast<double>(gemm->m) * static_cast<double>(gemm->n)}});
    }
  }
  recompute_everything(b, c);
  Operations again;
  for (std::size_t i = 0; i < b.recompute.size(); ++i) {
    if (!stays[i]) again.push_back(b.recompute[i]);
  }
  b.recompute = std::move(again);
  append(b.saved, kept, Module::attention);
}

// plan.recompute: moe. The norm before the gate is not part of it, but what it feeds is, so it comes first where it runs again.
void recompute_routed(Block& b, const BlockContext& c, const Passes& gate) {
  if (c.plan.recomputes(RecomputeModule::norm)) b.recompute.push_back(norm_again(c, "ffn norm"));
  append(b.recompute, again(routed_network(b, {gate.forward.begin() + 1, gate.forward.end()})));
}

// Before each cast of a whole tensor a kernel that reads it for its largest value; the cast along the other direction knows it.
Operations with_maxima(const Operations& ops) {
  Operations out;
  for (const Operation& op : ops) {
    const auto* cast = std::get_if<MemoryBound>(&op.what);
    if (cast != nullptr && cast->kernel == MemoryKernel::cast_fp8) {
      Operation maximum = op;
      maximum.label += kMaximum;
      maximum.what = MemoryBound{MemoryKernel::gradient_norm, cast->read, Bytes{}};
      out.push_back(maximum);
    }
    out.push_back(op);
  }
  return out;
}

void search_maxima(Block& b) {
  for (Operations* ops : {&b.before_exchange, &b.experts, &b.recompute, &b.experts_backward, &b.before_exchange_backward, &b.experts_weight,
                          &b.before_exchange_weight}) {
    *ops = with_maxima(*ops);
  }
}

void add_decoder_layer(Block& b, const BlockContext& c, bool moe_layer) {
  const Passes a = attention(c);
  append(b.before_exchange, a.forward);
  append(b.saved, a.saved, Module::attention);
  if (moe_layer) {
    const Passes g = torch(c) ? torch_gate(c) : gate(c), f = torch(c) ? torch_experts(c) : routed_feed_forward(c);
    append(b.before_exchange, g.forward);
    b.experts = f.forward;
    b.experts_backward = f.backward;
    append(b.before_exchange_backward, g.backward);
    b.experts_weight = f.weight;
    append(b.saved, g.saved, Module::experts);
    append(b.saved, f.saved, Module::experts);
    b.exchanges = exchanges(c);
    b.recompute = f.recompute;
    if (c.plan.recomputes(RecomputeModule::moe)) recompute_routed(b, c, g);
  } else {
    const Passes f = torch(c) ? torch_feed_forward(c) : dense_feed_forward(c);
    b.experts = f.forward;
    b.experts_backward = f.backward;
    b.experts_weight = f.weight;
    append(b.saved, f.saved, Module::feed_forward);
    b.recompute = f.recompute;
  }
  append(b.before_exchange_backward, a.backward);
  append(b.before_exchange_weight, a.weight);
  add_layer_share(b, c, moe_layer);
  if (c.runs_apart(UnfusedPart::maximum)) search_maxima(b);
  if (c.plan.recomputes(RecomputeModule::layer)) {
    recompute_everything(b, c);
    add_checkpoint_calls(b, c, kWholeLayer);
  }
  if (c.plan.recomputes(RecomputeModule::products)) {
    recompute_between_products(b, c);
    add_checkpoint_calls(b, c, kBetweenProducts);
  }
}

void add_module(Block& b, const Passes& p, Module module) {
  append(b.before_exchange, p.forward);
  append(b.before_exchange_backward, p.backward);
  append(b.before_exchange_weight, p.weight);
  append(b.saved, p.saved, module);
  b.transient = p.transient;
}

}  // namespace

Bytes saved_bytes(const Block& block, const LayerRouting& routing) {
  Bytes sum;
  for (const SavedTensor& t : block.saved) sum += t.bytes * (t.scale == LoadScale::rank_load ? routing.rank_load_max_over_mean : 1.0);
  return sum;
}

BlockKind kept(BlockKind layer) {
  CHECK(is_layer(layer));
  const bool moe = layer == BlockKind::moe_layer || layer == BlockKind::kept_moe_layer;
  return moe ? BlockKind::kept_moe_layer : BlockKind::kept_dense_layer;
}

bool is_layer(BlockKind k) {
  return k == BlockKind::dense_layer || k == BlockKind::moe_layer || k == BlockKind::kept_dense_layer || k == BlockKind::kept_moe_layer;
}

BlockContext with_plan(const BlockContext& c, const Plan& plan) {
  return {c.model,         plan,        c.training,  c.routing,       c.fp8_type, c.fuses_residual_with_norm, c.tensor, c.context, c.expert,
          c.expert_tensor, c.framework, c.attention, c.micro_batches, c.unfused};
}

Block make_block(BlockKind kind, const BlockContext& c) {
  const ModelSize size = model_size(c.model);
  const double tensor = static_cast<double>(c.plan.tensor_parallel);
  const double hidden = static_cast<double>(c.model.hidden_size);
  // A tied head lives on the last stage as a copy of the embedding (Megatron-LM does the same and sums the two gradients).
  const double head = static_cast<double>(c.model.vocab_size) * hidden / tensor;
  const double norm = c.model.normalisation == Normalisation::layer_norm ? 2 * hidden : hidden;
  Block b;
  b.kind = kind;
  switch (kind) {
    case BlockKind::embedding:
      b.name = "embedding";
      add_module(b, torch(c) ? torch_embedding(c) : embedding(c), Module::embedding);
      of(b, Module::embedding).dense = static_cast<double>(size.embedding) / tensor;
      break;
    case BlockKind::kept_dense_layer:
    case BlockKind::kept_moe_layer: {
      Plan plan = c.plan;
      plan.recompute.clear();
      const BlockKind layer = kind == BlockKind::kept_moe_layer ? BlockKind::moe_layer : BlockKind::dense_layer;
      b = make_block(layer, with_plan(c, plan));
      b.kind = kind;
      break;
    }
    case BlockKind::dense_layer:
    case BlockKind::moe_layer:
      b.name = kind == BlockKind::moe_layer ? "MoE layer" : "dense layer";
      add_decoder_layer(b, c, kind == BlockKind::moe_layer);
      break;
    case BlockKind::head:
      b.name = "head";
      add_module(b, torch(c) ? torch_head(c) : output_head(c), Module::head);
      of(b, Module::head).dense = c.model.tie_word_embeddings && c.plan.pipeline_parallel == 1 ? 0 : head;
      of(b, Module::norms).dense = norm;
      break;
    case BlockKind::mtp_layer: {
      const Passes entry = mtp_projection(c);
      add_decoder_layer(b, c, c.model.moe && c.model.moe_layers.back());
      b.name = "MTP layer";
      b.before_exchange.insert(b.before_exchange.begin(), entry.forward.begin(), entry.forward.end());
      append(b.before_exchange_backward, entry.backward);
      append(b.before_exchange_weight, entry.weight);
      append(b.saved, entry.saved, Module::head);
      of(b, Module::head).dense += 2 * hidden * hidden;
      of(b, Module::norms).dense += 2 * norm;
      break;
    }
    case BlockKind::mtp_head:
      b.name = "MTP head";
      add_module(b, output_head(c), Module::head);
      of(b, Module::norms).dense = norm;
      break;
  }
  const bool made_before = kind == BlockKind::kept_dense_layer || kind == BlockKind::kept_moe_layer;
  const bool issued_by_host = c.runs_apart(UnfusedPart::launches) || c.runs_apart(UnfusedPart::blocking);
  if (issued_by_host && !torch(c) && !made_before) add_host_calls(b, c);
  if (c.plan.tensor_parallel_overlap == TensorOverlap::pipelined) {
    for (Operations* ops : {&b.before_exchange, &b.experts, &b.recompute, &b.experts_backward, &b.before_exchange_backward}) {
      *ops =
          with_overlapped_collectives(*ops, c.plan.tensor_parallel, torch(c) ? PieceLibrary::symmetric_memory : PieceLibrary::userbuffers);
    }
  }
  b.parameters = {};
  for (const BlockParameters& part : b.parameters_of) b.parameters += part;
  return b;
}

}  // namespace trillion
