#include "sim/workload/tensor_tape.h"

#include <algorithm>
#include <cmath>
#include <ranges>
#include <set>

#include "sim/base/error.h"

namespace trillion {

TensorTape::TensorTape(Code code) : code_(code), references_{1, 1}, bytes_{0, 0}, place_{kInput, kOutputGradient} {}

TensorTape::Tensor TensorTape::fresh() {
  references_.push_back(1);
  bytes_.push_back(0);
  place_.push_back(static_cast<Tensor>(references_.size()) - 1);
  return place_.back();
}

TensorTape::Tensor TensorTape::over(Tensor tensor) {
  const Tensor there = place(tensor), other = fresh();
  place_.back() = there;
  hold(there);
  return other;
}

TensorTape::Tensor TensorTape::take(double bytes) {
  const Tensor tensor = fresh();
  bytes_.back() = std::max<std::int64_t>(1, std::llround(bytes));
  note({Event::Kind::take, tensor, bytes_.back(), -1});
  return tensor;
}

TensorTape::Tensor TensorTape::take_product(double bytes, std::int32_t parameter, bool kept) {
  Events& events = backwards_ ? backward_ : forward_;
  const std::size_t before = events.size();
  const Tensor result = take_kept(bytes, kept);
  if (events.size() > before) events.back().parameter = parameter;
  return result;
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

void TensorTape::drop(Tensor of) {
  const Tensor tensor = place(of);
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
  std::vector<Tensor>& there = gradients[of];
  if (there.empty() || (code_ == Code::graph && !in_place)) {
    there.push_back(gradient);
    return;
  }
  if (in_place) return drop(gradient);
  const Tensor sum = take(static_cast<double>(bytes_[static_cast<std::size_t>(place(gradient))]));
  drop(there.front());
  drop(gradient);
  there.front() = sum;
}

void TensorTape::run_backward(const Node& node, GradientOf& gradients) {
  const auto drop_all = [&](const std::vector<Tensor>& tensors) {
    for (const Tensor tensor : tensors) drop(tensor);
  };
  const auto found = gradients.find(node.result);
  if (found == gradients.end()) return drop_all(node.saved);
  const std::vector<Tensor> incoming = found->second;
  std::vector<Tensor> operands;
  for (const double bytes : node.operands) operands.push_back(take(bytes));
  bool saved = true;
  std::vector<std::pair<const Gradient*, Tensor>> made;
  for (const Gradient& g : node.gradients) {
    if (g.parameter >= 0) {
      note({Event::Kind::parameter_gradient, fresh(), std::max<std::int64_t>(1, std::llround(g.bytes)), g.parameter});
      if (code_ == Code::graph && node.weight_reads_saved && std::exchange(saved, false)) drop_all(node.saved);
    } else if (g.over != kNone) {
      made.emplace_back(&g, over(g.over));
    } else if (g.bytes == 0) {
      for (const Tensor tensor : incoming) {
        hold(tensor);
        made.emplace_back(&g, tensor);
      }
    } else if (code_ == Code::eager || !g.in_place || !gradients.contains(g.of)) {
      made.emplace_back(&g, take(g.bytes));
    }
  }
  if (node.workspace > 0) drop(take(node.workspace));
  drop_all(operands);
  drop_all(incoming);
  if (saved) drop_all(node.saved);
  for (const auto& [g, tensor] : made) accumulate(gradients, g->of, tensor, g->in_place);
}

TensorTape::Tensor TensorTape::run_backward(Tensor result) {
  CHECK(backwards_);
  GradientOf gradients{{result, {kOutputGradient}}};
  for (const Node& node : std::views::reverse(std::exchange(nodes_, {}))) {
    if (node.model_ends) note({Event::Kind::model_ends, kNone, 0, -1});
    run_backward(node, gradients);
  }
  const auto input = gradients.find(kInput);
  if (input == gradients.end()) return kNone;
  const std::vector<Tensor>& parts = input->second;
  if (parts.size() == 1) return place(parts.front());
  const Tensor sum = take(static_cast<double>(bytes_[static_cast<std::size_t>(place(parts.back()))]));
  for (const Tensor part : parts) drop(part);
  return sum;
}

}  // namespace trillion
