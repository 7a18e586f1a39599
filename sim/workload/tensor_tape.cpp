#include "sim/workload/tensor_tape.h"

#include <algorithm>
#include <cmath>
#include <ranges>
#include <set>

#include "sim/base/error.h"

namespace trillion {

TensorTape::TensorTape() : references_{1, 1}, bytes_{0, 0} {}

TensorTape::Tensor TensorTape::fresh() {
  references_.push_back(1);
  bytes_.push_back(0);
  return static_cast<Tensor>(references_.size()) - 1;
}

TensorTape::Tensor TensorTape::take(double bytes) {
  const Tensor tensor = fresh();
  bytes_.back() = std::max<std::int64_t>(1, std::llround(bytes));
  note({Event::Kind::take, tensor, bytes_.back(), -1});
  return tensor;
}

TensorTape::Tensor TensorTape::take_kept(double bytes, bool kept) {
  if (!kept) return take(bytes);
  if (backwards_) {
    CHECK(!kept_.empty());
    const Tensor tensor = kept_.front();
    kept_.pop_front();
    return tensor;
  }
  const Tensor tensor = take(bytes);
  hold(tensor);
  kept_.push_back(tensor);
  return tensor;
}

void TensorTape::drop(Tensor tensor) {
  std::int32_t& references = references_[static_cast<std::size_t>(tensor)];
  CHECK(references > 0);
  const bool there = tensor <= kOutputGradient || bytes_[static_cast<std::size_t>(tensor)] > 0;
  if (--references == 0 && there) note({Event::Kind::drop, tensor, 0, -1});
}

void TensorTape::add(Node node) {
  if (!recording_) return;
  for (const Tensor tensor : node.saved) hold(tensor);
  if (!node.saved.empty()) {
    // Saved before the result is computed.
    const bool just_taken = !backward_.empty() && backward_.back().kind == Event::Kind::take && backward_.back().tensor == node.result;
    last_saved_ = backward_.size() - (just_taken ? 1 : 0);
  }
  nodes_.push_back(std::move(node));
}

void TensorTape::end_model() {
  note({Event::Kind::model_ends, kNone, 0, -1});
  nodes_.push_back({.model_ends = true});
}

void TensorTape::turn_back() { backwards_ = true; }

void TensorTape::stop_early() {
  std::set<Tensor> never;
  Events kept(backward_.begin(), backward_.begin() + static_cast<std::ptrdiff_t>(last_saved_));
  for (std::size_t i = last_saved_; i < backward_.size(); ++i) {
    const Event& event = backward_[i];
    if (event.kind == Event::Kind::take) never.insert(event.tensor);
    if (event.kind == Event::Kind::drop && !never.contains(event.tensor)) kept.push_back(event);
  }
  backward_ = std::move(kept);
  for (const Tensor tensor : never) bytes_[static_cast<std::size_t>(tensor)] = 0;
}

void TensorTape::accumulate(GradientOf& gradients, Tensor of, Tensor gradient, bool in_place) {
  const auto [place, first] = gradients.try_emplace(of, gradient);
  if (first) return;
  if (in_place) return drop(gradient);
  const Tensor sum = take(static_cast<double>(bytes_[static_cast<std::size_t>(gradient)]));
  drop(place->second);
  drop(gradient);
  place->second = sum;
}

TensorTape::Tensor TensorTape::run_backward(Tensor result) {
  CHECK(backwards_);
  GradientOf gradients{{result, kOutputGradient}};
  for (const Node& node : std::views::reverse(std::exchange(nodes_, {}))) {
    if (node.model_ends) note({Event::Kind::model_ends, kNone, 0, -1});
    const auto found = gradients.find(node.result);
    if (found != gradients.end()) {
      const Tensor incoming = found->second;
      std::vector<Tensor> operands;
      for (const double bytes : node.operands) operands.push_back(take(bytes));
      std::vector<std::pair<const Gradient*, Tensor>> made;
      for (const Gradient& g : node.gradients) {
        if (g.parameter >= 0) {
          note({Event::Kind::parameter_gradient, fresh(), std::max<std::int64_t>(1, std::llround(g.bytes)), g.parameter});
          continue;
        }
        if (g.bytes == 0) hold(incoming);
        made.emplace_back(&g, g.bytes > 0 ? take(g.bytes) : incoming);
      }
      if (node.workspace > 0) drop(take(node.workspace));
      for (const Tensor tensor : operands) drop(tensor);
      drop(incoming);
      for (const Tensor tensor : node.saved) drop(tensor);
      for (const auto& [g, tensor] : made) accumulate(gradients, g->of, tensor, g->in_place);
    } else {
      for (const Tensor tensor : node.saved) drop(tensor);
    }
  }
  const auto input = gradients.find(kInput);
  return input == gradients.end() ? kNone : input->second;
}

}  // namespace trillion
