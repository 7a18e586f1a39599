#include "sim/workload/torch_tensors.h"

#include <algorithm>
#include <map>

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

bool tied(const BlockContext& c) { return c.model.tie_word_embeddings && c.plan.pipeline_parallel == 1; }

// The loss outside of compiled code, or the whole model eager: logits in FP32, log-probabilities; going back both gradients in FP32, then
// in BF16. Compiled it needs the logits in BF16 alone, in one graph (is_one_graph) their gradient is written where they were; a tied
// table's two gradients are one kernel's (addmm), so that the logits' gradient and the table's operand wait for the embedding. Over several
// ranks see torch_ends.cpp, loss_transient_bytes.
Tensor head(TorchModules& m, Tensor x) {
  TensorTape& tape = m.tape();
  const BlockContext& c = m.context();
  const TorchSizes& t = m.sizes();
  const bool apart = c.runs_apart(UnfusedPart::cross_entropy), split = c.plan.tensor_parallel > 1;
  const double tokens = static_cast<double>(t.s.tokens), logits = tokens * static_cast<double>(t.s.vocabulary);
  const Tensor normed = m.norm(x), whole = m.enter(normed);
  tape.drop(normed);
  if (t.one_graph && tied(c)) {
    m.parameter(static_cast<double>(t.s.hidden) * static_cast<double>(t.s.vocabulary));
    const Tensor narrow = tape.take(2 * logits), loss = tape.take(4);
    tape.add({narrow, {{.of = whole, .bytes = 2 * tokens * static_cast<double>(t.s.hidden)}}});
    tape.add({loss, {{.of = narrow, .over = narrow}}});
    return loss;
  }
  const Tensor narrow = m.linear(whole, tokens, static_cast<double>(t.s.hidden), static_cast<double>(t.s.vocabulary));
  tape.drop(whole);
  tape.end_model();
  if (is_loss_compiled(c)) {
    const Tensor loss = tape.take(4);
    if (t.one_graph) {
      tape.add({loss, {{.of = narrow, .over = narrow}}, {narrow}});
    } else {
      tape.add({loss, {{.of = narrow, .bytes = 2 * logits}}, {narrow}});
    }
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
  TensorTape& tape = m.tape();
  const Tensor y = tape.take(t.wide * t.residual);
  if (!t.one_graph) {
    tape.add({y, {{.bytes = t.wide * table, .parameter = weight}}, {}, 4 * t.residual});
    return y;
  }
  // Rows are added up in FP32, over the whole table, and cast; of a tied one what that comes to is an operand of the head's product.
  std::vector<double> steps{4 * table};
  if (t.wide < 4) steps.push_back(t.wide * table);
  if (tied(m.context())) steps.push_back(t.wide * table);
  Tensor to = TensorTape::kNone;
  for (std::size_t i = steps.size(); i-- > 0;) {
    const Tensor from = i == 0 ? y : tape.take_nothing();
    const bool last = i + 1 == steps.size();
    tape.add(
        {from, {last ? TensorTape::Gradient{.bytes = steps[i], .parameter = weight} : TensorTape::Gradient{.of = to, .bytes = steps[i]}}});
    to = from;
  }
  return y;
}

bool checkpointed(BlockKind kind, const Plan& plan, RecomputeModule what) {
  return (kind == BlockKind::dense_layer || kind == BlockKind::moe_layer) && plan.recomputes(what);
}

}  // namespace

BlockTensors torch_tensors(BlockKind kind, const BlockContext& context, double load) {
  BlockTensors block;
  const bool compiled = context.framework == Framework::torch_compiled;
  TensorTape tape(compiled ? TensorTape::Code::graph : TensorTape::Code::eager);
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
  block.output = tape.place(output);
  tape.drop(TensorTape::kInput);
  tape.turn_back();
  if (again) {
    tape.record(true);
    m.run_again();
    output = run();
    tape.stop_early();
  }
  const auto drop_ends = [&] {
    tape.drop(output);
    tape.drop(TensorTape::kInput);
  };
  if (again && compiled) drop_ends();
  block.input_gradient = tape.run_backward(output);
  if (again && !compiled) drop_ends();
  // A tied head's table is the embedding's.
  if (kind == BlockKind::head && tied(context)) block.parameters.back() = 0;
  block.forward = tape.forward();
  block.backward = tape.backward();
  return block;
}

BackwardBytes backward_bytes(const BlockTensors& block, double input, double output_gradient) {
  using Kind = TensorTape::Event::Kind;
  std::map<TensorTape::Tensor, double> there{{TensorTape::kInput, input}, {TensorTape::kOutputGradient, output_gradient}};
  double beside = output_gradient;
  BackwardBytes all{.largest = beside};
  const auto play = [&](const TensorTape::Event& event) {
    const double bytes = static_cast<double>(event.bytes);
    if (event.kind == Kind::take) there[event.tensor] = bytes;
    if (event.kind == Kind::drop) return -there.extract(event.tensor).mapped();
    return bytes;
  };
  for (const TensorTape::Event& event : block.forward) play(event);
  for (const TensorTape::Event& event : block.backward) all.largest = std::max(all.largest, beside += play(event));
  for (const auto& [tensor, bytes] : there) {
    const bool passed_on = tensor == block.output || tensor == block.input_gradient || tensor == TensorTape::kInput;
    all.left += passed_on ? 0 : bytes;
  }
  return all;
}

}  // namespace trillion
