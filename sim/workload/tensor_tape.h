// What PyTorch code takes from its allocator and gives back, in order. A module is written as its Python code runs: a result is taken,
// held while a local variable or autograd refers to it, and dropped. Autograd's nodes are recorded on the way and run backwards as its
// engine does (torch/csrc/autograd/engine.cpp):
//
//   nodes run latest first; one takes operands that it makes itself, its gradients, then its working space, lets go of these and of the
//   gradient that came in, then of what it saved
//   gradients of one tensor from several readers are added in a new tensor; into what is there already where a reader says so
//   a parameter's gradient is handed to whoever plays the tape
//
// A compiled function is a graph whose every reader is known (Code::graph; PyTorch 2.11, torch/_inductor):
//
//   a buffer goes after its last reader: of a product's two gradients the weight's comes first and alone reads what was saved
//   gradients of one tensor from several readers are added up by the kernel that reads the sum; until then all are there
//   a kernel writes where an operand lies that nobody reads after it (`over`), saved tensors too: no other graph holds them
//   (torch._functorch.config.donated_buffer)
//
// Checkpointing: a pass that records nothing keeps only what it is told to (`keep`); the backward pass runs the module again first, with
// what was kept in place of what was taken, and stops at the last tensor that a node saves (torch.utils.checkpoint, use_reentrant=False).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <utility>
#include <vector>

namespace trillion {

class TensorTape {
 public:
  using Tensor = std::int32_t;
  static constexpr Tensor kNone = -1, kInput = 0, kOutputGradient = 1;  // these two come from outside
  enum class Code : std::uint8_t { eager, graph };

  struct Event {
    // model_ends: between the model's output and its loss, on both ways.
    enum class Kind : std::uint8_t { take, drop, parameter_gradient, model_ends };
    Kind kind = Kind::take;
    Tensor tensor = 0;
    std::int64_t bytes = 0;
    std::int32_t parameter = -1;  // whose gradient it is, or, of a product's result, by which it is multiplied
  };
  using Events = std::vector<Event>;

  // Bytes of the gradient of one operand; 0: the gradient that came in passes on.
  struct Gradient {
    Tensor of = kNone;
    double bytes = 0;
    bool in_place = false;  // added into what is there
    Tensor over = kNone;    // written where this one lies
    std::int32_t parameter = -1;
  };
  struct Node {
    Tensor result = kNone;
    std::vector<Gradient> gradients = {};
    std::vector<Tensor> saved = {};
    double workspace = 0;
    std::vector<double> operands = {};
    bool model_ends = false;
    bool weight_reads_saved = false;  // and nothing else does
  };

  explicit TensorTape(Code code = Code::eager);

  // Until forget_nodes() nodes are recorded. Without recording nothing is saved.
  void record(bool on) { recording_ = on; }
  // From here on events belong to the backward pass, and what was kept comes back in order.
  void turn_back();

  Tensor take(double bytes);
  Tensor take_product(double bytes, std::int32_t parameter, bool kept);  // `kept`: by a policy of checkpointing
  Tensor take_kept(double bytes, bool kept);
  Tensor take_nothing() { return fresh(); }  // only its gradient takes memory
  Tensor over(Tensor tensor);                // another one where `tensor` lies
  Tensor place(Tensor tensor) const { return tensor == kNone ? kNone : place_[static_cast<std::size_t>(tensor)]; }
  void drop(Tensor tensor);
  void hold(Tensor tensor) { ++references_[static_cast<std::size_t>(place(tensor))]; }
  void add(Node node);
  void end_model();
  // What has been run again since turn_back() beyond the last tensor saved was not: early stop.
  void stop_early();
  // The gradient of `result` is kOutputGradient, or, where nothing comes after it, made of nothing. Returns the place of the input's
  // gradient.
  Tensor run_backward(Tensor result);

  const Events& forward() const { return forward_; }
  const Events& backward() const { return backward_; }

 private:
  void note(Event event) { (backwards_ ? backward_ : forward_).push_back(event); }
  Tensor fresh();
  using GradientOf = std::map<Tensor, std::vector<Tensor>>;  // more than one: not added up yet
  void accumulate(GradientOf& gradients, Tensor of, Tensor gradient, bool in_place);
  void run_backward(const Node& node, GradientOf& gradients);

  Code code_;
  Events forward_, backward_;
  bool backwards_ = false, recording_ = true;
  std::vector<std::int32_t> references_;
  std::vector<std::int64_t> bytes_;
  std::vector<Tensor> place_;  // the tensor whose memory it is
  std::vector<Node> nodes_;
  std::deque<Tensor> kept_;
  std::size_t last_saved_ = 0;  // place in backward_ after which nothing was saved
};

}  // namespace trillion
