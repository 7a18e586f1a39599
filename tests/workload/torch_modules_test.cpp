// Modules of a PyTorch layer as tapes. The algebra:
//   parameters come in the order of the modules and are numbered alike when a module is run again
//   norms, rotations and activations written out take more for a while and give it back
//   a linear layer takes its output, and going back its weight's gradient before its input's
#include "sim/workload/torch_modules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/support/block_setting.h"

namespace trillion::torch_modules_test {
namespace {

using namespace testing_support;
using Kind = TensorTape::Event::Kind;

struct Modules {
  BlockSetting setting{dense_model(1)};
  std::vector<double> parameters;
  TensorTape tape;

  BlockContext context(std::vector<UnfusedPart> unfused = {}, Framework framework = Framework::torch_eager) {
    setting.unfused = std::move(unfused);
    return torch_context(setting, framework);
  }
};

double most(const TensorTape::Events& events) {
  std::map<TensorTape::Tensor, double> there;
  double held = 0, most = 0;
  for (const TensorTape::Event& e : events) {
    if (e.kind == Kind::take) held += there[e.tensor] = static_cast<double>(e.bytes);
    if (e.kind == Kind::drop) held -= there[e.tensor];
    most = std::max(most, held);
  }
  return most;
}

TEST(TorchModules, ParametersAreNumberedOnce) {
  Modules s;
  const BlockContext c = s.context();
  TorchModules m(s.tape, c, s.parameters, false);
  EXPECT_EQ(m.parameter(5), 0);
  EXPECT_EQ(m.parameter(7), 1);
  m.run_again();
  EXPECT_EQ(m.parameter(5), 0);
  EXPECT_EQ(s.parameters, (std::vector<double>{5, 7}));
}

TEST(TorchModules, AWeightsGradientComesFirst) {
  Modules s;
  const BlockContext c = s.context();
  TorchModules m(s.tape, c, s.parameters, false);
  const TensorTape::Tensor y = m.linear(TensorTape::kInput, 10, 4, 6);
  s.tape.turn_back();
  s.tape.run_backward(y);
  ASSERT_EQ(s.tape.forward().size(), 1u);
  EXPECT_EQ(s.tape.forward()[0].bytes, 2 * 10 * 6);
  EXPECT_EQ(s.tape.backward()[0].kind, Kind::parameter_gradient);
  EXPECT_EQ(s.tape.backward()[0].bytes, 2 * 4 * 6);
  EXPECT_EQ(s.tape.backward()[1].bytes, 2 * 10 * 4);
}

TEST(TorchModules, ANormWrittenOutIsInFp32) {
  Modules fused, apart;
  const BlockContext f = fused.context(), a = apart.context({UnfusedPart::rms_norm});
  TorchModules one(fused.tape, f, fused.parameters, false), other(apart.tape, a, apart.parameters, false);
  one.norm(TensorTape::kInput);
  other.norm(TensorTape::kInput);
  const double values = one.sizes().residual, rows = 4 * static_cast<double>(one.sizes().s.residual_tokens);
  EXPECT_EQ(most(fused.tape.forward()), 2 * values + rows);
  EXPECT_EQ(most(apart.tape.forward()), (4 + 4 + 2 + 2) * values + rows) << "in FP32, scaled, in BF16, times the weight";
}

// Of q, k, v, o and three of the network the first, third ... are kept; compiled code does not keep the last.
TEST(TorchModules, EveryOtherProductIsKept) {
  for (const Framework framework : {Framework::torch_eager, Framework::torch_compiled}) {
    Modules s;
    const BlockContext c = s.context({}, framework);
    TorchModules m(s.tape, c, s.parameters, true);
    s.tape.record(false);
    std::vector<TensorTape::Tensor> made;
    for (int i = 0; i < 7; ++i) made.push_back(m.linear(TensorTape::kInput, 1, 1, 100 + i, i == 6));
    for (const TensorTape::Tensor t : made) s.tape.drop(t);
    const auto dropped =
        std::count_if(s.tape.forward().begin(), s.tape.forward().end(), [](const auto& e) { return e.kind == Kind::drop; });
    EXPECT_EQ(dropped, framework == Framework::torch_compiled ? 4 : 3);
  }
}

}  // namespace
}  // namespace trillion::torch_modules_test
