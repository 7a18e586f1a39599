#include "sim/workload/torch_modules.h"

#include <algorithm>

namespace trillion {

namespace {

double product(std::int64_t a, std::int64_t b) { return static_cast<double>(a) * static_cast<double>(b); }

}  // namespace

TorchModules::TorchModules(TensorTape& tape, const BlockContext& context, std::vector<double>& parameters, bool keeps_products)
    : tape_(tape),
      c_(context),
      t_(context),
      parameters_(parameters),
      keeps_products_(keeps_products),
      laid_out_anew_(context.runs_apart(UnfusedPart::sequence_copies) && t_.s.sequences > 1 &&
                     context.plan.tensor_parallel_overlap != TensorOverlap::pipelined) {}

void TorchModules::drop(std::initializer_list<Tensor> tensors) {
  for (const Tensor tensor : tensors) tape_.drop(tensor);
}

std::int32_t TorchModules::parameter(double elements) {
  if (next_ == parameters_.size()) parameters_.push_back(elements);
  return static_cast<std::int32_t>(next_++);
}

TorchModules::Tensor TorchModules::norm(Tensor x) {
  const double values = t_.residual, wide = t_.wide, rows = 4 * static_cast<double>(t_.s.residual_tokens);
  const std::int32_t weight = parameter(static_cast<double>(t_.s.hidden));
  const TensorTape::Gradient of_weight{.bytes = wide * static_cast<double>(t_.s.hidden), .parameter = weight};
  if (!t_.norm_written_out) {
    const Tensor y = tape_.take(wide * values), scale = tape_.take(rows);
    tape_.add({y, {of_weight, {.of = x, .bytes = wide * values, .in_place = true}}, {x, scale}});
    tape_.drop(scale);
    return y;
  }
  const Tensor whole = tape_.take(4 * values), square = tape_.take(4 * values), scale = tape_.take(rows);
  tape_.drop(square);
  const Tensor scaled = tape_.take(4 * values), narrow = tape_.take(wide * values), y = tape_.take(wide * values);
  tape_.add({whole, {{.of = x, .bytes = wide * values, .in_place = true}}});
  tape_.add({scale, {{.of = whole, .bytes = 4 * values}}, {whole, scale}, 8 * values});
  tape_.add({scaled, {{.of = whole, .bytes = 4 * values}, {.of = scale, .bytes = rows}}, {whole, scale}, 4 * values});
  tape_.add({narrow, {{.of = scaled, .bytes = 4 * values}}});
  tape_.add({y, {of_weight, {.of = narrow, .bytes = wide * values}}, {narrow}, wide * values});
  drop({narrow, whole, scale, scaled});
  return y;
}

TorchModules::Tensor TorchModules::enter(Tensor x) {
  if (t_.s.residual_tokens == t_.s.tokens) {  // a view at most; its gradient is summed where it is
    tape_.hold(x);
    return x;
  }
  const double whole = 2 * product(t_.s.tokens, t_.s.hidden);
  const Tensor gathered = laid_out_anew_ ? tape_.take(whole) : TensorTape::kNone, y = tape_.take(whole);
  if (laid_out_anew_) tape_.drop(gathered);
  tape_.add({y, {{.of = x, .bytes = 2 * t_.residual}}, {}, 0, copies_of(whole)});
  return y;
}

TorchModules::Tensor TorchModules::leave(Tensor x) {
  if (t_.s.residual_tokens == t_.s.tokens) {
    tape_.hold(x);
    return x;
  }
  const double whole = 2 * product(t_.s.tokens, t_.s.hidden);
  const Tensor parts = laid_out_anew_ ? tape_.take(whole) : TensorTape::kNone, y = tape_.take(2 * t_.residual);
  if (laid_out_anew_) tape_.drop(parts);
  tape_.add({y, {{.of = x, .bytes = whole}}, {}, 0, copies_of(whole)});
  return y;
}

TorchModules::Tensor TorchModules::linear(Tensor x, double tokens, double in, double out, bool last) {
  const double weights = in * out;
  const std::int32_t weight = parameter(weights);
  const bool kept = keeps_products_ && ++products_ % 2 == 1 && !(t_.compiled && last);
  if (c_.autocast()) {
    const Tensor narrow = tape_.take(2 * weights), input = t_.compiled ? x : tape_.take(2 * tokens * in);
    tape_.add({narrow, {{.bytes = 4 * weights, .parameter = weight}}});
    if (!t_.compiled) tape_.add({input, {{.of = x, .bytes = 4 * tokens * in}}});
    const Tensor y = tape_.take_product(2 * tokens * out, weight, false);
    tape_.add({.result = y,
               .gradients = {{.of = narrow, .bytes = 2 * weights}, {.of = input, .bytes = 2 * tokens * in}},
               .saved = {input, narrow}});
    tape_.drop(narrow);
    if (!t_.compiled) tape_.drop(input);
    return y;
  }
  // Where the policy keeps products alone the activation's output is computed again on the way back.
  const bool again = t_.drops_activations && last && keeps_products_;
  const bool fp8 = t_.s.fp8() && tokens * in > 0;
  const Tensor quantised = fp8 ? tape_.take(tokens * in) : TensorTape::kNone;
  const Tensor y = tape_.take_product(2 * tokens * out, weight, kept);
  std::vector<double> operands;
  if (again) operands.push_back(2 * tokens * in);
  if (fp8) operands.insert(operands.end(), {tokens * out, tokens * in, weights});
  tape_.add({.result = y,
             .gradients = {{.bytes = 2 * weights, .parameter = weight}, {.of = x, .bytes = 2 * tokens * in}},
             .saved = again ? std::vector<Tensor>{} : std::vector{x},
             .operands = std::move(operands),
             .weight_reads_saved = true});
  if (fp8) tape_.drop(quantised);
  return y;
}

// Where the residual's addition is in the next norm's kernel its sum is written all the same: where `f` lies.
TorchModules::Tensor TorchModules::residual(Tensor x, Tensor f) {
  const Tensor sum = t_.compiled && t_.wide == 2 ? tape_.over(f) : tape_.take(t_.wide * t_.residual);
  tape_.add({sum, {{.of = x}, {.of = f}}});
  return sum;
}

TorchModules::Tensor TorchModules::activation(Tensor gate, Tensor up, double values) {
  const bool gated = up != TensorTape::kNone;
  if (t_.compiled) {
    const Tensor y = tape_.take(2 * values);
    if (gated) {
      tape_.add({y, {{.of = gate, .bytes = 2 * values}, {.of = up, .over = up}}, {gate, up}});
    } else {
      tape_.add({y, {{.of = gate, .over = gate}}, {gate}});
    }
    return y;
  }
  const Tensor activated = tape_.take(2 * values);
  tape_.add({activated, {{.of = gate, .bytes = 2 * values}}, {gate}});
  if (!gated) return activated;
  const Tensor y = tape_.take(2 * values);
  tape_.add({y, {{.of = activated, .bytes = 2 * values}, {.of = up, .bytes = 2 * values}}, {activated, up}});
  tape_.drop(activated);
  return y;
}

TorchModules::Tensor TorchModules::feed_forward(Tensor x, double width) {
  const double tokens = static_cast<double>(t_.s.tokens), hidden = static_cast<double>(t_.s.hidden);
  const bool gated = c_.model.activation == Activation::swiglu;
  const Tensor gate = linear(x, tokens, hidden, width);
  const Tensor up = gated ? linear(x, tokens, hidden, width) : TensorTape::kNone;
  const Tensor inner = activation(gate, up, tokens * width);
  if (gated) tape_.drop(up);
  tape_.drop(gate);
  const Tensor y = linear(inner, tokens, width, hidden, true);
  tape_.drop(inner);
  return y;
}

TorchModules::Tensor TorchModules::rotation(Tensor x, double values) {
  if (c_.model.position_encoding != PositionEncoding::rope) {
    tape_.hold(x);
    return x;
  }
  const double wide = t_.wide * values, read = t_.first_read * values;
  if (t_.complex_rotation) {
    const Tensor whole = tape_.take(4 * values), turned = tape_.take(4 * values), y = tape_.take(2 * values);
    tape_.add({y, {{.of = x, .bytes = 2 * values}}, {}, 0, {4 * values, 4 * values}});
    drop({turned, whole});
    return y;
  }
  if (t_.compiled) {
    const Tensor y = tape_.take(2 * values);
    tape_.add({y, {{.of = x, .bytes = 2 * values}}});
    return y;
  }
  const Tensor cosine = tape_.take(wide), negative = tape_.take(read / 2), swapped = tape_.take(read);
  tape_.drop(negative);
  const Tensor sine = tape_.take(wide);
  tape_.drop(swapped);
  const Tensor y = tape_.take(wide);
  tape_.add({swapped, {{.of = x, .bytes = read, .in_place = true}}, {}, 0, {wide / 2}});
  tape_.add({y, {{.of = swapped, .bytes = wide}, {.of = x, .bytes = wide}}});
  drop({cosine, sine});
  if (!c_.autocast()) return y;
  const Tensor narrow = tape_.take(2 * values);  // SDPA takes BF16
  tape_.add({narrow, {{.of = y, .bytes = wide}}});
  tape_.drop(y);
  return narrow;
}

TorchModules::Tensor TorchModules::repeated(Tensor x, double values, double copies) {
  const Tensor y = tape_.take(2 * values * copies);
  tape_.add({y, {{.of = x, .bytes = 2 * values}}});
  return y;
}

// Its backward pass adds up the queries' gradients in FP32 and has keys' and values' for every query head.
TorchModules::Tensor TorchModules::sdpa(Tensor q, Tensor k, Tensor v, double q_values, double kv_values) {
  const double heads = static_cast<double>(c_.model.num_attention_heads / t_.s.tensor);
  const Tensor o = tape_.take_kept(2 * q_values, keeps_products_);
  const Tensor sums = tape_.take_kept(4 * static_cast<double>(t_.s.tokens) * heads, keeps_products_);
  tape_.add({o,
             {{.of = q, .bytes = 2 * q_values}, {.of = k, .bytes = 2 * kv_values}, {.of = v, .bytes = 2 * kv_values}},
             {q, k, v, o, sums},
             (kv_values < q_values ? 8 : 4) * q_values});
  tape_.drop(sums);
  return o;
}

TorchModules::Tensor TorchModules::attention(Tensor x) {
  const double heads = static_cast<double>(c_.model.num_attention_heads / t_.s.tensor), dim = static_cast<double>(c_.model.head_dim);
  const double kv_heads = std::max(1.0, static_cast<double>(c_.model.num_key_value_heads / t_.s.tensor));
  const double tokens = static_cast<double>(t_.s.tokens), hidden = static_cast<double>(t_.s.hidden);
  const double q_values = tokens * heads * dim, kv_values = tokens * kv_heads * dim;
  const double copies = c_.runs_apart(UnfusedPart::repeated_heads) && kv_heads < heads ? heads / kv_heads : 1;

  Tensor q = linear(x, tokens, hidden, heads * dim), k = linear(x, tokens, hidden, kv_heads * dim);
  const Tensor v = linear(x, tokens, hidden, kv_heads * dim);
  const Tensor turned_q = rotation(q, q_values), turned_k = rotation(k, kv_values);
  drop({q, k});
  Tensor o;
  if (copies > 1) {
    const Tensor keys = repeated(turned_k, kv_values, copies), values = repeated(v, kv_values, copies);
    o = sdpa(turned_q, keys, values, q_values, kv_values * copies);
    drop({keys, values});
  } else {
    o = sdpa(turned_q, turned_k, v, q_values, kv_values);
  }
  const Tensor y = linear(o, tokens, heads * dim, hidden);
  drop({o, turned_q, turned_k, v});
  return y;
}

}  // namespace trillion
