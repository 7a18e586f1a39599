#include "sim/workload/torch_tensors.h"

#include "sim/workload/torch_modules.h"

namespace trillion {

namespace {

using Tensor = TensorTape::Tensor;

Tensor decoder_layer(TorchModules& m, Tensor x, bool routed, double load) {
  TensorTape& tape = m.tape();
  const auto half = [&](Tensor in, bool attention) {
    const Tensor normed = m.norm(in);
    Tensor out;
    if (!attention && routed) {
      out = torch_expert_tensors(m, normed, load);
      tape.drop(normed);
    } else {
      const Tensor whole = m.enter(normed);
      tape.drop(normed);
      const double width = static_cast<double>(m.context().model.intermediate_size / m.sizes().s.tensor);
      const Tensor part = attention ? m.attention(whole) : m.feed_forward(whole, width);
      tape.drop(whole);
      out = m.leave(part);
      tape.drop(part);
    }
    const Tensor sum = m.residual(in, out);
    tape.drop(out);
    return sum;
  };
  const Tensor between = half(x, true), y = half(between, false);
  tape.drop(between);
  return y;
}

// The loss outside of compiled code, or the whole model eager: logits in FP32, log-probabilities; going back both gradients in FP32, then
// in BF16. Compiled code needs the logits in BF16 alone. Over several ranks see torch_layer.cpp, loss_transient_bytes.
Tensor head(TorchModules& m, Tensor x) {
  TensorTape& tape = m.tape();
  const BlockContext& c = m.context();
  const TorchSizes& t = m.sizes();
  const bool apart = c.runs_apart(UnfusedPart::cross_entropy), split = c.plan.tensor_parallel > 1;
  const double tokens = static_cast<double>(t.s.tokens), logits = tokens * static_cast<double>(t.s.vocabulary);
  const Tensor normed = m.norm(x), whole = m.enter(normed);
  tape.drop(normed);
  const Tensor narrow = m.linear(whole, tokens, static_cast<double>(t.s.hidden), static_cast<double>(t.s.vocabulary));
  tape.drop(whole);
  tape.end_model();
  if (t.compiled && !apart) {
    const Tensor loss = tape.take(4 * tokens);
    tape.add({loss, {{.of = narrow, .bytes = 2 * logits}}, {narrow}});
    tape.drop(narrow);
    return loss;
  }
  const Tensor wide = tape.take(4 * logits);
  tape.add({wide, {{.of = narrow, .bytes = 2 * logits}}});
  if (!apart) tape.drop(narrow);  // nobody has a name for it
  if (split && !apart) {
    const Tensor loss = tape.take(4);
    tape.add({loss, {{.of = wide}}, {wide}});
    tape.drop(wide);
    return loss;
  }
  Tensor shifted = TensorTape::kNone;
  if (split) {
    shifted = tape.take(4 * logits);
    tape.drop(tape.take(4 * logits));
  }
  const Tensor likelihood = tape.take(4 * logits), loss = tape.take(4);
  if (split) {
    tape.drop(shifted);
    // (one_hot + exp(x)) * gradient, for both nodes at once.
    tape.add({shifted, {{.of = wide, .bytes = 4 * logits}}, {likelihood}});
    tape.add({likelihood, {{.of = shifted, .bytes = 4 * logits}}, {}, 0, {4 * logits}});
    tape.add({loss, {{.of = likelihood, .bytes = 4 * logits}}});
  } else {
    tape.add({likelihood, {{.of = wide, .bytes = 4 * logits}}, {likelihood}});
    tape.add({loss, {{.of = likelihood, .bytes = 4 * logits}}});
  }
  m.drop({wide, likelihood});
  if (apart) tape.drop(narrow);
  return loss;
}

Tensor embedding(TorchModules& m) {
  const TorchSizes& t = m.sizes();
  const double table =
      static_cast<double>(m.context().model.vocab_size) * static_cast<double>(t.s.hidden) / static_cast<double>(t.s.tensor);
  const std::int32_t weight = m.parameter(table);
  const Tensor y = m.tape().take(t.wide * t.residual);
  m.tape().add({y, {{.bytes = t.wide * table, .parameter = weight}}, {}, 4 * t.residual});
  return y;
}

bool checkpointed(BlockKind kind, const Plan& plan, RecomputeModule what) {
  return (kind == BlockKind::dense_layer || kind == BlockKind::moe_layer) && plan.recomputes(what);
}

}  // namespace

BlockTensors torch_tensors(BlockKind kind, const BlockContext& context, double load) {
  BlockTensors block;
  TensorTape tape;
  const bool keeps_products = checkpointed(kind, context.plan, RecomputeModule::products);
  TorchModules m(tape, context, block.parameters, keeps_products);
  const auto run = [&]() -> Tensor {
    switch (kind) {
      case BlockKind::embedding: return embedding(m);
      case BlockKind::head:
      case BlockKind::mtp_head: return head(m, TensorTape::kInput);
      case BlockKind::moe_layer:
      case BlockKind::kept_moe_layer: return decoder_layer(m, TensorTape::kInput, true, load);
      default: return decoder_layer(m, TensorTape::kInput, false, load);
    }
  };
  const bool again = keeps_products || checkpointed(kind, context.plan, RecomputeModule::layer);
  tape.record(!again);
  if (again) tape.hold(TensorTape::kInput);
  Tensor output = run();
  block.output = output;
  tape.drop(TensorTape::kInput);
  tape.turn_back();
  if (again) {
    tape.record(true);
    m.run_again();
    output = run();
    tape.stop_early();
  }
  block.input_gradient = tape.run_backward(output);
  if (again) {
    tape.drop(output);
    tape.drop(TensorTape::kInput);
  }
  // A tied head's table is the embedding's.
  if (kind == BlockKind::head && context.model.tie_word_embeddings && context.plan.pipeline_parallel == 1) block.parameters.back() = 0;
  block.forward = tape.forward();
  block.backward = tape.backward();
  return block;
}

}  // namespace trillion
