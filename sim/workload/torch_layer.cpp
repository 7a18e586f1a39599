// Attention and dense feed-forward; the two ends of the model are in torch_ends.cpp.
#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>

#include "sim/workload/torch_context.h"
#include "sim/workload/torch_kernels.h"
#include "sim/workload/torch_written_out.h"

namespace trillion {

namespace {

constexpr auto kElementwise = Category::norm_and_elementwise;

// How often eager Python calls into PyTorch around a kernel without launching another: in calibration/steps/models.py a module's
// call, views and transposes; the context manager that chooses SDPA's backend counts as four. Going back, autograd's view nodes.
constexpr int kModuleCall = 1, kRotationViews = 3, kAttentionViews = 9, kAttentionViewsBack = 4;

double elements(const Linear& l) { return static_cast<double>(l.in) * static_cast<double>(l.out); }

// x cos + cat(-high, low) sin, of so many values. Under autocast the factors are FP32: so are the products and their sum.
void add_rotation(Operations& ops, const TorchSizes& t, const std::string& name, double values) {
  if (t.complex_rotation) return append(ops, complex_rotation(t, name, values));
  if (t.compiled) {
    ops.push_back(torch_kernel(name, MemoryKernel::rope, t.first_read * values, 2 * values));
    return;
  }
  const MemoryKernel product = t.wide > 2 ? MemoryKernel::torch_mul_broadcast_promoted : MemoryKernel::torch_mul_broadcast;
  const double bytes = 2 * values;
  ops.push_back(torch_kernel(name + " times cosine", product, bytes, bytes));
  ops.back().host_calls = kRotationViews;
  ops.push_back(torch_kernel(name + " negate half", MemoryKernel::torch_neg_half, bytes / 2, bytes / 2));
  ops.push_back(torch_kernel(name + " swap halves", MemoryKernel::torch_cat_halves, bytes, bytes));
  ops.push_back(torch_kernel(name + " times sine", product, bytes, bytes));
  ops.push_back(torch_kernel(name + " sum", MemoryKernel::torch_add, 2 * t.wide * values, t.wide * values));
}

// The backward pass runs the same five kernels; under autocast each product's gradient is cast back to the BF16 of what was rotated.
void add_rotation_backward(Operations& ops, const TorchSizes& t, const std::string& name, double values) {
  if (t.wide == 2 || t.compiled || t.complex_rotation) return add_rotation(ops, t, name, values);
  const double bytes = 2 * values;
  for (const char* factor : {" times sine", " times cosine"}) {
    ops.push_back(torch_kernel(name + factor, MemoryKernel::torch_mul_broadcast_fp32, bytes, bytes));
    ops.push_back(torch_kernel(name + factor + " cast", MemoryKernel::torch_cast_bf16, 4 * values, 2 * values));
  }
  ops.push_back(torch_kernel(name + " negate half", MemoryKernel::torch_neg_half, bytes / 2, bytes / 2));
  ops.push_back(torch_kernel(name + " swap halves", MemoryKernel::torch_cat_halves, bytes, bytes));
  ops.push_back(torch_kernel(name + " sum", MemoryKernel::torch_add, 4 * values, 2 * values));
}

// Gradients of one tensor that arrive from several readers are added pair by pair.
void add_sums(Operations& ops, const std::string& name, int count, double values, double bytes, bool front = false) {
  for (int i = 0; i < count; ++i) {
    ops.insert(front ? ops.begin() : ops.end(),
               torch_kernel(name + " add gradients", MemoryKernel::torch_add, 2 * bytes * values, bytes * values));
  }
}

// The FP32 gradient of the residual stream as the BF16 branch that was added to it takes it.
void add_branch_cast(Operations& ops, const BlockContext& c, const TorchSizes& t, const char* branch) {
  if (!c.autocast() || t.compiled) return;
  ops.push_back(
      torch_kernel(std::string(branch) + " cast gradient of output", MemoryKernel::torch_cast_bf16, 4 * t.residual, 2 * t.residual));
}

// The gradient of a linear layer's bias: sums over the tokens.
void add_bias_gradient(Operations& weight, const TorchSizes& t, const char* name, double values) {
  weight.push_back(torch_kernel(std::string(name) + " bias gradient", MemoryKernel::column_sum, 2 * values, 0));
  std::get<MemoryBound>(weight.back().what).rows = t.s.tokens;
}

void insert_front(Operations& to, const Operations& from) { to.insert(to.begin(), from.begin(), from.end()); }

// With sequence parallelism the gradients of `readers` products meet before they are scattered, over all tokens; else as the norm's.
bool meet_before_scatter(const TorchSizes& t) { return t.s.residual_tokens < t.s.tokens; }
int norm_readers(const TorchSizes& t, int readers) { return meet_before_scatter(t) ? 1 : readers; }

void add_entry_backward(Operations& ops, const TorchSizes& t, const std::string& name, int readers, EntryBackward entry) {
  if (meet_before_scatter(t) && readers > 1) {
    const double values = static_cast<double>(t.s.tokens) * static_cast<double>(t.s.hidden);
    if (t.compiled) {
      // One kernel, which writes them as the collective wants them.
      ops.push_back(torch_kernel(name + " add gradients", MemoryKernel::add, 2 * readers * values, 2 * values));
      std::erase_if(entry.after, [](const Operation& op) { return op.lane == Lane::compute; });
    } else {
      add_sums(ops, name, readers - 1, values, 2);
    }
  }
  append(ops, entry.after);
}

}  // namespace

bool is_one_graph(const BlockContext& c) { return is_loss_compiled(c) && c.plan.sharding != Sharding::zero_3; }

bool is_loss_compiled(const BlockContext& c) {
  return c.framework == Framework::torch_compiled && !c.runs_apart(UnfusedPart::cross_entropy) &&
         (c.plan.sharding == Sharding::zero_3 || !c.model.moe);
}

TorchSizes::TorchSizes(const BlockContext& c)
    : s(c),
      residual(static_cast<double>(s.residual_tokens) * static_cast<double>(s.hidden)),
      wide(c.autocast() ? 4 : 2),
      compiled(c.framework == Framework::torch_compiled),
      one_graph(is_one_graph(c)),
      drops_activations(compiled && c.plan.recomputes(RecomputeModule::products)),
      norm_written_out(!compiled && c.runs_apart(UnfusedPart::rms_norm) && c.model.normalisation == Normalisation::rms_norm),
      complex_rotation(c.runs_apart(UnfusedPart::rotation)),
      micro_batches(static_cast<double>(c.micro_batches)) {}

Operation torch_kernel(std::string label, MemoryKernel kernel, double read, double written) {
  return memory_operation(std::move(label), kElementwise, kernel, Bytes{read}, Bytes{written});
}

Operation torch_unary(std::string label, double read, double written) {
  return torch_kernel(std::move(label), MemoryKernel::torch_neg, read, written);
}

void add_input_casts(Passes& p, const BlockContext& c, const TorchSizes& t, std::initializer_list<const char*> readers) {
  if (!c.autocast() || t.compiled) return;
  for (const char* reader : readers) {
    p.forward.push_back(torch_kernel(std::string(reader) + " cast input", MemoryKernel::torch_cast_bf16, 4 * t.residual, 2 * t.residual));
    p.backward.push_back(
        torch_kernel(std::string(reader) + " cast input backward", MemoryKernel::torch_cast_fp32, 2 * t.residual, 4 * t.residual));
  }
}

void add_torch_norm(Passes& p, const TorchSizes& t, const std::string& name, int readers) {
  p.saved.push_back({name + " input", Bytes{(t.norm_written_out ? 4 : t.wide) * t.residual}});
  // As the products read it: with sequence parallelism gathered, since autograd saves what a function was given.
  p.saved.push_back({name + " output", Bytes{2.0 * static_cast<double>(t.s.tokens) * static_cast<double>(t.s.hidden)}});
  p.saved.push_back({name + " rows", Bytes{4.0 * static_cast<double>(t.s.residual_tokens)}});
  if (t.compiled) {
    // The residual's addition before it is in the kernel; going back the gradients of all readers, and a second kernel for the
    // weight's.
    p.forward.push_back(torch_kernel(name, MemoryKernel::rms_norm, 2 * t.wide * t.residual, 2 * t.wide * t.residual));
    insert_front(p.backward, {torch_kernel(name + " backward", MemoryKernel::rms_norm_backward, (readers + 2) * t.wide * t.residual,
                                           t.wide * t.residual),
                              torch_kernel(name + " weight gradient", MemoryKernel::rms_norm_backward, 2 * t.wide * t.residual, 0)});
    return;
  }
  if (t.norm_written_out) {
    p.saved.push_back({name + " normalised", Bytes{t.wide * t.residual}});
    append(p.forward, written_out_norm(t, name));
    insert_front(p.backward, written_out_norm_backward(t, name));
    add_sums(p.backward, name, readers - 1, t.residual, t.wide, true);
    return;
  }
  // As MemoryKernel::torch_rms_norm_weights counts them. A layer norm's weights and biases take one kernel.
  const double weight_bytes = 4.0 * static_cast<double>(t.s.residual_tokens * std::max<std::int64_t>(t.s.hidden, 1664));
  p.forward.push_back(torch_kernel(name, MemoryKernel::torch_rms_norm, t.wide * t.residual, t.wide * t.residual));
  p.forward.back().host_calls = kModuleCall;
  insert_front(p.backward,
               {torch_kernel(name + " backward", MemoryKernel::torch_rms_norm_backward, 2 * t.wide * t.residual, t.wide * t.residual),
                torch_kernel(name + " weight gradient", MemoryKernel::torch_rms_norm_weights, weight_bytes, 0)});
  p.backward[1].host_calls = -1;  // one call launches both
  add_sums(p.backward, name, readers - 1, t.residual, t.wide, true);
}

void add_torch_residual(Passes& p, const TorchSizes& t, const std::string& name) {
  p.forward.push_back(torch_kernel(name, MemoryKernel::torch_add, (t.wide + 2) * t.residual, t.wide * t.residual));
  p.forward.back().host_calls = kModuleCall;
}

void add_torch_linear(Passes& p, const BlockContext& c, const Linear& linear, Reader reader) {
  Linear l = linear;
  l.fp32_gradient = false;
  const double weights = elements(l), reached = 1.0 - 1.0 / static_cast<double>(c.micro_batches);
  // Inductor's casts are copies that convert.
  const bool compiled = c.framework == Framework::torch_compiled;
  const MemoryKernel to_bf16 = compiled ? MemoryKernel::cast_bf16 : MemoryKernel::torch_cast_bf16;
  if (c.autocast()) p.forward.push_back(torch_kernel(l.name + " cast weight", to_bf16, 4 * weights, 2 * weights));
  const bool there = reader == Reader::further && compiled;
  const Operand input = there ? Operand::quantised : Operand::bf16;
  add_forward(p.forward, l, input);
  add_input_gradient(p.backward, l);
  add_weight_operands(p.weight, l, input);
  add_weight_gradient(p.weight, l);
  if (c.framework == Framework::torch_eager) p.forward.back().host_calls = p.weight.back().host_calls = kModuleCall;
  if (c.autocast()) {
    const MemoryKernel to_fp32 = compiled ? MemoryKernel::cast_fp32 : MemoryKernel::torch_cast_fp32;
    p.weight.push_back(torch_kernel(l.name + " cast gradient", to_fp32, 2 * weights, 4 * weights));
    p.saved.push_back({l.name + " BF16 weight", Bytes{2 * weights}});
  }
  // The first micro-batch's gradient becomes the sum, every further one is added: so much of an addition in the mean.
  const double bytes = c.autocast() ? 4 : 2;
  if (reached > 0) {
    p.weight.push_back(
        torch_kernel(l.name + " accumulate", MemoryKernel::torch_accumulate, 2 * bytes * weights * reached, bytes * weights * reached));
  }
}

namespace {

// Rotary embedding of so many values of queries and of keys.
Passes rotations(const BlockContext& c, const TorchSizes& t, double q, double k) {
  Passes p;
  if (c.model.position_encoding != PositionEncoding::rope) return p;
  TorchSizes back = t;
  back.first_read = t.wide;
  for (const auto& [name, values] : {std::pair{"rotary q", q}, std::pair{"rotary k", k}}) {
    add_rotation(p.forward, t, name, values);
    add_rotation_backward(p.backward, back, std::string(name) + " backward", values);
  }
  // SDPA takes BF16.
  if (!c.autocast() || t.compiled) return p;
  p.forward.push_back(torch_kernel("rotary cast", MemoryKernel::torch_cast_bf16, 4 * (q + k), 2 * (q + k)));
  insert_front(p.backward, {torch_kernel("rotary cast backward", MemoryKernel::torch_cast_fp32, 2 * (q + k), 4 * (q + k))});
  return p;
}

// SDPA is one call; what runs before and after the main kernel of its backward pass is in its calibration rows.
Operations sdpa(const BlockContext& c, const CoreAttention& core, Direction direction) {
  const bool forward = direction == Direction::forward;
  if (rotates_in_torch(c)) return forward ? torch_ring_forward(c, core) : torch_ring_backward(c, core);
  Operations ops = forward ? core_forward(c, core) : core_backward(c, core);
  std::erase_if(ops, [](const Operation& op) { return std::holds_alternative<MemoryBound>(op.what); });
  for (Operation& op : ops) {
    auto* attention = std::get_if<Attention>(&op.what);
    if (attention == nullptr) continue;
    attention->library = c.attention;
    if (c.framework != Framework::torch_eager) continue;
    op.host_calls = attention->direction == Direction::forward ? kAttentionViews : kAttentionViewsBack;
  }
  return ops;
}

}  // namespace

Passes torch_attention(const BlockContext& c) {
  const TorchSizes t(c);
  const std::int64_t heads = c.model.num_attention_heads / t.s.tensor;
  const std::int64_t kv_heads = std::max<std::int64_t>(1, c.model.num_key_value_heads / t.s.tensor), dim = c.model.head_dim;
  const double tokens = static_cast<double>(t.s.tokens);
  const double q = tokens * static_cast<double>(heads * dim), kv = tokens * static_cast<double>(kv_heads * dim);
  const auto linear = [&](const char* name, std::int64_t in, std::int64_t out) {
    return Linear{name, t.s.tokens, in, out, Category::attention, t.s.linear_type};
  };
  CoreAttention core = core_attention(c, dim, dim);
  const bool repeats = c.runs_apart(UnfusedPart::repeated_heads) && kv_heads < heads;
  const double copies = repeats ? static_cast<double>(heads / kv_heads) : 1;
  if (repeats) core.kv_heads = heads;

  // Forward in order; the backward pass is put together after it.
  Passes norm, entry, products, o;
  add_torch_norm(norm, t, "attention norm", norm_readers(t, 3));
  const EntryBackward entry_back = add_tensor_entry(entry, c, "attention", t.s.linear_type);
  for (const auto& [name, width] : {std::pair{"q", heads * dim}, std::pair{"k", kv_heads * dim}, std::pair{"v", kv_heads * dim}}) {
    Linear l = linear(name, t.s.hidden, width);
    l.own_input = t.s.shard();
    add_torch_linear(products, c, l, products.forward.empty() ? Reader::first : Reader::further);
  }
  Linear o_projection = linear("o projection", heads * dim, t.s.hidden);
  o_projection.own_gradient = t.s.shard();
  add_torch_linear(o, c, o_projection);
  const Passes rotation = rotations(c, t, q, kv);

  Passes p;
  append(p.forward, norm.forward);
  append(p.forward, entry.forward);
  Passes casts;
  add_input_casts(casts, c, t, {"q", "k", "v"});
  append(p.forward, casts.forward);
  append(p.forward, products.forward);
  append(p.forward, rotation.forward);
  if (repeats) append(p.forward, {repeat_heads("keys", kv, copies), repeat_heads("values", kv, copies)});
  append(p.forward, sdpa(c, core, Direction::forward));
  append(p.forward, o.forward);
  add_tensor_exit(p, c, "attention", t.s.linear_type);
  if (!t.compiled) add_torch_residual(p, t, "attention residual");

  Operations mirrored = std::move(p.backward);  // of the tensor-parallel exit
  p.backward = {};
  append(p.backward, mirrored);
  add_branch_cast(p.backward, c, t, "attention");
  append(p.backward, o.backward);
  append(p.backward, sdpa(c, core, Direction::backward));
  if (repeats) append(p.backward, {repeat_heads_backward("keys", kv, copies), repeat_heads_backward("values", kv, copies)});
  append(p.backward, rotation.backward);
  append(p.backward, products.backward);
  append(p.backward, casts.backward);
  add_entry_backward(p.backward, t, "attention", 3, entry_back);
  append(p.backward, norm.backward);
  add_sums(p.backward, "attention residual", t.compiled ? 0 : 1, t.residual, t.wide);
  append(p.weight, o.weight);
  append(p.weight, products.weight);
  if (c.model.attention_output_bias) add_bias_gradient(p.weight, t, "o projection", t.residual);
  if (c.model.attention_bias) {
    for (const auto& [name, values] : {std::pair{"q", q}, std::pair{"k", kv}, std::pair{"v", kv}})
      add_bias_gradient(p.weight, t, name, values);
  }

  for (const Passes* part : {&norm, &products, &o}) p.saved.insert(p.saved.end(), part->saved.begin(), part->saved.end());
  if (c.autocast()) p.saved.push_back({"BF16 copies of the input", Bytes{4 * t.residual}});
  p.saved.push_back({"queries, keys, values", Bytes{2 * (q + 2 * kv * copies)}});
  if (t.compiled && rotates_in_torch(c))
    p.saved.push_back({"keys and values of all ranks", Bytes{2 * 2 * kv * copies * static_cast<double>(c.plan.context_parallel)}});
  p.saved.push_back({"attention output", Bytes{2 * q}});
  p.saved.push_back({"attention log-sum-exp", Bytes{4 * tokens * static_cast<double>(heads)}});
  return p;
}

void add_torch_feed_forward(Passes& p, const BlockContext& c, const FeedForwardSize& f) {
  const double values = static_cast<double>(f.rows) * static_cast<double>(f.width);
  const bool gated = c.model.activation == Activation::swiglu;
  Passes up, down;
  const std::string name = f.name;
  const Sizes s(c);
  const std::int64_t hidden = s.hidden;
  Linear gate{name + " gate", f.rows, hidden, f.width, f.category, s.linear_type};
  Linear widen{name + " up", f.rows, hidden, f.width, f.category, s.linear_type};
  Linear narrow{name + " down", f.rows, f.width, hidden, f.category, s.linear_type};
  gate.own_input = widen.own_input = narrow.own_gradient = s.shard();
  if (gated) add_torch_linear(up, c, gate);
  add_torch_linear(up, c, widen, gated ? Reader::further : Reader::first);
  add_torch_linear(down, c, narrow);
  append(p.forward, up.forward);
  add_torch_activation(p, TorchSizes(c), {name, values, gated, LoadScale::none});
  append(p.forward, down.forward);
  Operations backward = down.backward;
  append(backward, p.backward);
  append(backward, up.backward);
  p.backward = std::move(backward);
  append(p.weight, down.weight);
  append(p.weight, up.weight);
  for (const Passes* part : {&up, &down}) p.saved.insert(p.saved.end(), part->saved.begin(), part->saved.end());
}

void add_torch_activation(Passes& p, const TorchSizes& t, const TorchActivation& a) {
  const double values = a.values;
  const auto kernel = [&](const char* label, MemoryKernel k, double read, double written) {
    Operation op = torch_kernel(a.name + " " + label, k, read * values, written * values);
    op.scale = a.scale;
    return op;
  };
  const auto save = [&](const char* label) { p.saved.push_back({a.name + " " + label, Bytes{2 * values}, a.scale}); };
  save("activation input");
  if (a.gated) save("up projection");
  if (!t.drops_activations) save("activation output");
  if (t.compiled) {
    const double up = a.gated ? 2 : 1, again = t.drops_activations ? 2 : 0;
    p.forward.push_back(kernel("activation", a.gated ? MemoryKernel::swiglu : MemoryKernel::gelu, 2 * up, 2));
    p.backward.push_back(
        kernel("activation backward", a.gated ? MemoryKernel::swiglu_backward : MemoryKernel::gelu_backward, 2 * up + 2, 2 * up + again));
    return;
  }
  p.forward.push_back(kernel("activation", MemoryKernel::torch_silu, 2, 2));
  if (a.gated) {
    p.forward.push_back(kernel("gate product", MemoryKernel::torch_mul, 4, 2));
    p.backward.push_back(kernel("gate product backward", MemoryKernel::torch_mul_backward, 6, 4));
    save("gate product");
  }
  p.backward.push_back(kernel("activation backward", MemoryKernel::torch_silu_backward, 4, 2));
}

Passes torch_feed_forward(const BlockContext& c) {
  const TorchSizes t(c);
  Passes norm, entry, p, exit;
  const bool gated = c.model.activation == Activation::swiglu;
  add_torch_norm(norm, t, "ffn norm", norm_readers(t, gated ? 2 : 1));
  const EntryBackward entry_back = add_tensor_entry(entry, c, "ffn", t.s.linear_type);
  const std::int64_t width = c.model.intermediate_size / t.s.tensor;
  Passes casts;
  if (gated) add_input_casts(casts, c, t, {"ffn gate"});
  add_input_casts(casts, c, t, {"ffn up"});
  add_torch_feed_forward(p, c, {"ffn", t.s.tokens, width, Category::dense_ffn});
  append(p.backward, casts.backward);
  insert_front(p.forward, casts.forward);
  add_tensor_exit(exit, c, "ffn", t.s.linear_type);
  if (c.model.mlp_bias) {
    const double values = static_cast<double>(t.s.tokens) * static_cast<double>(width);
    if (gated) add_bias_gradient(p.weight, t, "ffn gate", values);
    add_bias_gradient(p.weight, t, "ffn up", values);
    add_bias_gradient(p.weight, t, "ffn down", t.residual);
  }

  insert_front(p.forward, entry.forward);
  insert_front(p.forward, norm.forward);
  append(p.forward, exit.forward);
  if (!t.compiled) add_torch_residual(p, t, "ffn residual");
  Operations branch;
  add_branch_cast(branch, c, t, "ffn");
  insert_front(p.backward, branch);
  insert_front(p.backward, exit.backward);
  add_entry_backward(p.backward, t, "ffn", gated ? 2 : 1, entry_back);
  append(p.backward, norm.backward);
  add_sums(p.backward, "ffn residual", t.compiled ? 0 : 1, t.residual, t.wide);
  p.saved.insert(p.saved.begin(), norm.saved.begin(), norm.saved.end());
  if (c.autocast()) p.saved.push_back({"BF16 copy of the input", Bytes{gated ? 2 * t.residual : 0.0}});
  return p;
}

}  // namespace trillion
