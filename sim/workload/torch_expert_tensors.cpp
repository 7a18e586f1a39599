// The routed feed-forward network (workload/torch_experts.cpp). Of the router only scores and choices are large enough to matter.
#include "sim/workload/experts.h"
#include "sim/workload/torch_modules.h"

namespace trillion {

namespace {

using Tensor = TensorTape::Tensor;

// A grouped product over `rows`, of so many weights in all.
Tensor grouped(TorchModules& m, Tensor x, double rows, double in, double out, double weights) {
  const double wide = m.sizes().wide;
  const std::int32_t weight = m.parameter(weights);
  const Tensor y = m.tape().take(2 * rows * out);
  m.tape().add({y, {{.bytes = wide * weights, .parameter = weight}, {.of = x, .bytes = 2 * rows * in}}, {x}});
  return y;
}

// Rows brought into another order, or to other ranks; `back`: bytes beside the gradient while it is brought back.
Tensor moved(TorchModules& m, Tensor x, double bytes, double gradient, double back) {
  const Tensor y = m.tape().take(bytes);
  m.tape().add({y, {{.of = x, .bytes = gradient}}, {}, back});
  return y;
}

}  // namespace

TorchModules::Tensor torch_expert_tensors(TorchModules& m, Tensor x, double load) {
  const TorchSizes& t = m.sizes();
  const BlockContext& c = m.context();
  TensorTape& tape = m.tape();
  const MixtureOfExperts& moe = *c.model.moe;
  const RoutedShare r(c);
  const double tokens = static_cast<double>(t.s.residual_tokens), hidden = static_cast<double>(t.s.hidden);
  const double experts = static_cast<double>(moe.n_routed_experts), copies = tokens * static_cast<double>(moe.num_experts_per_tok);
  const double rows = load * static_cast<double>(r.rows), width = static_cast<double>(r.width);
  const double weights = static_cast<double>(r.local_experts) * hidden * width;
  const bool apart = c.plan.expert_parallel > 1, gated = c.model.activation == Activation::swiglu;

  const Tensor scores = m.linear(x, tokens, hidden, experts);
  const Tensor wide = tape.take(4 * tokens * experts), softmax = tape.take(4 * tokens * experts);
  tape.add({wide, {{.of = scores, .bytes = 2 * tokens * experts}}});
  tape.add({softmax, {{.of = wide, .bytes = 4 * tokens * experts}}, {softmax}});
  m.drop({wide, scores});
  const Tensor chosen = tape.take(12 * copies), order = tape.take(8 * copies), token = tape.take(8 * copies);
  tape.add({chosen, {{.of = softmax, .bytes = 4 * tokens * experts}}, {chosen}});
  tape.drop(softmax);

  // To the experts: gathered, sent, ordered by expert.
  Tensor in = moved(m, x, 2 * copies * hidden, 2 * t.residual, 0);
  if (apart) {
    const Tensor received = moved(m, in, 2 * rows * hidden, 2 * copies * hidden, 0);
    tape.drop(in);
    in = moved(m, received, 2 * rows * hidden, 2 * rows * hidden, 0);
    tape.drop(received);
  }
  const Tensor gate = grouped(m, in, rows, hidden, width, weights);
  const Tensor up = gated ? grouped(m, in, rows, hidden, width, weights) : TensorTape::kNone;
  const Tensor inner = m.activation(gate, up, rows * width);
  if (gated) tape.drop(up);
  tape.drop(gate);
  Tensor out = grouped(m, inner, rows, width, hidden, weights);
  m.drop({inner, in});
  if (apart) {
    const Tensor by_sender = moved(m, out, 2 * rows * hidden, 2 * rows * hidden, 0);
    tape.drop(out);
    out = moved(m, by_sender, 2 * copies * hidden, 2 * rows * hidden, 0);
    tape.drop(by_sender);
  }
  // index_add saves its source for the shape that its gradient takes; where shapes are known, AOTAutograd keeps the zeros instead, as the
  // ones that the rows' gradients will be added to.
  const Tensor weighted = tape.take(2 * copies * hidden);
  tape.add({weighted, {{.of = out, .bytes = 2 * copies * hidden}, {.of = chosen, .bytes = 4 * copies}}, {out, order}, 2 * copies * hidden});
  tape.drop(out);
  const Tensor zeros = tape.take(2 * t.residual), result = tape.take(2 * t.residual);
  tape.add({result, {{.of = weighted, .bytes = 2 * copies * hidden}}, {t.compiled ? zeros : weighted, token}});
  m.drop({zeros, weighted, chosen, order, token});
  if (moe.shared_intermediate_size == 0) return result;
  const Tensor shared = m.feed_forward(x, static_cast<double>(moe.shared_intermediate_size / t.s.tensor));
  const Tensor both = tape.take(2 * t.residual);
  tape.add({both, {{.of = result}, {.of = shared}}});
  m.drop({shared, result});
  return both;
}

}  // namespace trillion
