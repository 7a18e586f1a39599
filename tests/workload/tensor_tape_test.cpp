// A small autograd on sizes. The algebra:
//   a tensor is there while somebody refers to it; what a node saves outlives the variable
//   backward: gradients are taken, then the one that came in and what was saved go; several readers' gradients are summed
//   in a graph a buffer goes after its last reader, sums are their reader's, and what nobody reads any more is written over
//   what is kept comes back in place of what would be taken; what nobody saved after is not run again
#include "sim/workload/tensor_tape.h"

#include <gtest/gtest.h>

#include <string>

namespace trillion::tensor_tape_test {
namespace {

using Kind = TensorTape::Event::Kind;

// "+8@2": 8 bytes for tensor 2; "-2": it goes; "w3:16": the gradient of parameter 3, 16 bytes.
std::string text(const TensorTape::Events& events) {
  std::string out;
  for (const TensorTape::Event& e : events) {
    if (!out.empty()) out += " ";
    switch (e.kind) {
      case Kind::take: out += "+" + std::to_string(e.bytes) + "@" + std::to_string(e.tensor); break;
      case Kind::drop: out += "-" + std::to_string(e.tensor); break;
      case Kind::parameter_gradient: out += "w" + std::to_string(e.parameter) + ":" + std::to_string(e.bytes); break;
      case Kind::model_ends: out += "|"; break;
    }
  }
  return out;
}

TEST(TensorTape, ALinearLayer) {
  TensorTape tape;
  const TensorTape::Tensor y = tape.take(8);
  tape.add({y, {{.bytes = 16, .parameter = 3}, {.of = TensorTape::kInput, .bytes = 4}}, {TensorTape::kInput}});
  tape.drop(TensorTape::kInput);
  EXPECT_EQ(text(tape.forward()), "+8@2") << "the input is saved";
  tape.turn_back();
  EXPECT_EQ(tape.run_backward(y), 4);
  EXPECT_EQ(text(tape.backward()), "w3:16 +4@4 -1 -0");
}

TEST(TensorTape, WithoutRecordingNothingIsSaved) {
  TensorTape tape;
  tape.record(false);
  const TensorTape::Tensor y = tape.take(8);
  tape.add({y, {{.of = TensorTape::kInput, .bytes = 4}}, {TensorTape::kInput}});
  tape.drop(TensorTape::kInput);
  EXPECT_EQ(text(tape.forward()), "+8@2 -0");
}

// y = x + f(x): the first gradient passes, the second is added to it where it is, or in a new tensor.
TEST(TensorTape, GradientsOfSeveralReaders) {
  for (const bool in_place : {true, false}) {
    TensorTape tape;
    const TensorTape::Tensor f = tape.take(8), y = tape.take(8);
    tape.add({f, {{.of = TensorTape::kInput, .bytes = 8, .in_place = in_place}}});
    tape.add({y, {{.of = TensorTape::kInput}, {.of = f}}});
    tape.drop(f);
    tape.turn_back();
    const TensorTape::Tensor gradient = tape.run_backward(y);
    EXPECT_EQ(gradient, in_place ? TensorTape::kOutputGradient : 5);
    EXPECT_EQ(text(tape.backward()), in_place ? "+8@4 -4" : "+8@4 +8@5 -1 -4");
  }
}

TEST(TensorTape, InAGraphABufferGoesAfterItsLastReader) {
  TensorTape tape(TensorTape::Code::graph);
  const TensorTape::Tensor y = tape.take(8);
  tape.add({.result = y,
            .gradients = {{.bytes = 16, .parameter = 3}, {.of = TensorTape::kInput, .bytes = 4}},
            .saved = {TensorTape::kInput},
            .weight_reads_saved = true});
  tape.drop(TensorTape::kInput);
  tape.turn_back();
  EXPECT_EQ(tape.run_backward(y), 4);
  EXPECT_EQ(text(tape.backward()), "w3:16 -0 +4@4 -1");
}

// a, b = f(x), g(x), summed: both gradients of x wait for who reads their sum.
TEST(TensorTape, InAGraphTheReaderAddsUp) {
  TensorTape tape(TensorTape::Code::graph);
  const TensorTape::Tensor x = tape.take(8), a = tape.take(8), b = tape.take(8), y = tape.over(b);
  tape.add({x, {{.of = TensorTape::kInput, .bytes = 2}}});
  tape.add({a, {{.of = x, .bytes = 8}}});
  tape.add({b, {{.of = x, .bytes = 8}}});
  tape.add({y, {{.of = a}, {.of = b}}});
  for (const TensorTape::Tensor t : {x, a, b}) tape.drop(t);
  EXPECT_EQ(text(tape.forward()), "+8@2 +8@3 +8@4 -2 -3") << "b's place is y's";
  EXPECT_EQ(tape.place(y), b);
  tape.turn_back();
  tape.run_backward(y);
  EXPECT_EQ(text(tape.backward()), "+8@6 +8@7 -1 +2@8 -6 -7");
}

TEST(TensorTape, AGradientMayLieWhereSomethingWasSaved) {
  TensorTape tape(TensorTape::Code::graph);
  const TensorTape::Tensor y = tape.take(8);
  tape.add({y, {{.of = TensorTape::kInput, .over = TensorTape::kInput}}, {TensorTape::kInput}});
  tape.drop(TensorTape::kInput);
  tape.turn_back();
  EXPECT_EQ(tape.run_backward(y), TensorTape::kInput);
  EXPECT_EQ(text(tape.backward()), "-1");
}

TEST(TensorTape, OperandsComeFirstAndWorkspaceLast) {
  TensorTape tape;
  const TensorTape::Tensor y = tape.take(8);
  tape.add({y, {{.of = TensorTape::kInput, .bytes = 4}}, {}, 64, {2}});
  tape.turn_back();
  tape.run_backward(y);
  EXPECT_EQ(text(tape.backward()), "+2@3 +4@4 +64@5 -5 -3 -1");
}

// Three operations of which the first is kept and the second saves its input: the third is not run again.
TEST(TensorTape, CheckpointKeepsAndStopsEarly) {
  TensorTape tape;
  tape.record(false);
  tape.hold(TensorTape::kInput);
  const auto run = [&] {
    const TensorTape::Tensor a = tape.take_kept(8, true);
    tape.add({a, {{.of = TensorTape::kInput, .bytes = 4}}});
    const TensorTape::Tensor b = tape.take(16);
    tape.add({b, {{.of = a, .bytes = 8}}, {a}});
    const TensorTape::Tensor c = tape.take(32);
    tape.add({c, {{.of = b, .bytes = 16}}});
    tape.drop(a);
    tape.drop(b);
    return c;
  };
  tape.drop(run());
  tape.drop(TensorTape::kInput);
  EXPECT_EQ(text(tape.forward()), "+8@2 +16@3 +32@4 -3 -4") << "2 is kept, the input is the checkpoint's";
  tape.turn_back();
  tape.record(true);
  const TensorTape::Tensor c = run();
  tape.stop_early();
  EXPECT_EQ(text(tape.backward()), "") << "the first is there, the second would only be read by the third";
  const TensorTape::Tensor gradient = tape.run_backward(c);
  tape.drop(c);
  tape.drop(TensorTape::kInput);
  EXPECT_EQ(text(tape.backward()), "+16@7 -1 +8@8 -7 -2 +4@9 -8 -0");
  EXPECT_EQ(gradient, 9);
}

TEST(TensorTape, TheModelEndsOnBothWays) {
  TensorTape tape;
  const TensorTape::Tensor logits = tape.take(8);
  tape.add({logits, {{.of = TensorTape::kInput, .bytes = 4}}});
  tape.end_model();
  const TensorTape::Tensor loss = tape.take(1);
  tape.add({loss, {{.of = logits, .bytes = 8}}});
  tape.drop(logits);
  tape.turn_back();
  tape.run_backward(loss);
  EXPECT_EQ(text(tape.forward()), "+8@2 | +1@3 -2");
  EXPECT_EQ(text(tape.backward()), "+8@4 -1 | +4@5 -4");
}

}  // namespace
}  // namespace trillion::tensor_tape_test
