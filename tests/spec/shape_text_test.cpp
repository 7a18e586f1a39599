// Shapes as JSON lines. read_shape(shape_text(q)) == q for every q; mistakes are located; a slip of the pen is not passed over.
#include "sim/spec/shape_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/base/random.h"

namespace trillion::shape_text_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::uint64_t kSeed = 411;

ShapeQuery read(const std::string& text) { return read_shape(parse_json_line(text, {"shapes.jsonl", 7, 1})); }

std::string mistakes(const std::string& text) {
  try {
    read(text);
  } catch (const InputError& error) {
    std::string all;
    for (const auto& diagnostic : error.diagnostics()) all += to_text(diagnostic) + "\n";
    return all;
  }
  return "accepted";
}

TEST(ShapeText, ReadsTheLinesOfTheInterface) {
  EXPECT_EQ(std::get<Gemm>(read(R"({"op":"gemm","dtype":"bf16","m":4096,"n":7168,"k":2048})").shape),
            (Gemm{DType::bf16, 4096, 7168, 2048}));
  const ShapeQuery held = read(
      R"({"op":"gemm","dtype":"fp8_block","m":1,"n":2,"k":3,"layout":"weight_gradient","accumulate":true,"sms":112,"load":"sustained"})");
  EXPECT_EQ(std::get<Gemm>(held.shape), (Gemm{DType::fp8_block, 1, 2, 3, GemmLayout::weight_gradient, true}));
  EXPECT_EQ(held.sms, 112);
  EXPECT_EQ(held.load, Load::sustained);
  EXPECT_EQ(std::get<GroupedGemm>(read(R"({"op":"grouped_gemm","dtype":"bf16","m":[1024,0],"n":4096,"k":7168})").shape),
            (GroupedGemm{DType::bf16, {1024, 0}, 4096, 7168}));
  EXPECT_EQ(
      std::get<Attention>(
          read(
              R"({"op":"attention","dtype":"bf16","heads":128,"queries":4096,"keys":8192,"qk_dim":192,"v_dim":128,"direction":"backward"})")
              .shape),
      (Attention{DType::bf16, 1, 128, 128, 4096, 8192, 192, 128, true, Direction::backward}));
  EXPECT_EQ(std::get<MemoryBound>(read(R"({"op":"memory_bound","kernel":"rms_norm","read_bytes":1e6,"written_bytes":2})").shape),
            (MemoryBound{MemoryKernel::rms_norm, Bytes{1e6}, Bytes{2}}));
  EXPECT_EQ(
      std::get<MemoryBound>(read(R"({"op":"memory_bound","kernel":"column_sum","read_bytes":1e6,"written_bytes":0,"rows":2048})").shape),
      (MemoryBound{MemoryKernel::column_sum, Bytes{1e6}, Bytes{}, 2048}));
  EXPECT_EQ(std::get<Collective>(read(R"({"op":"collective","kind":"all_reduce","bytes":268435456,"ranks":16,"ranks_per_node":8})").shape),
            (Collective{CollectiveKind::all_reduce, Bytes{268435456}, 16, 8, Bytes{}}));
  EXPECT_EQ(std::get<Collective>(read(R"({"op":"collective","kind":"all_gather","bytes":1,"ranks":4})").shape).ranks_per_node, 4);
}

TEST(ShapeText, IsTheInverseOfReading) {
  const Random random(kSeed, 1);
  for (std::uint64_t i = 0; i < 500; ++i) {
    const auto draw = [&](std::uint64_t j) { return static_cast<std::int64_t>(1 + random.bits(16 * i + j) % 100000); };
    ShapeQuery query;
    const std::vector<Shape> shapes = {
        Gemm{static_cast<DType>(i % 4), draw(0), draw(1), draw(2), static_cast<GemmLayout>(i % 3), i % 2 == 0},
        GroupedGemm{DType::bf16, {draw(0), draw(1) - 1}, draw(2), draw(3), static_cast<GemmLayout>(i % 3), i % 2 == 1},
        Attention{DType::bf16, draw(0), draw(1), draw(2), draw(3), draw(4), draw(5), draw(6), i % 2 == 0, static_cast<Direction>(i % 2)},
        MemoryBound{static_cast<MemoryKernel>(i % kMemoryKernelNames.size()), Bytes{random.uniform(i) * 1e9}, Bytes{random.uniform(i + 1)}},
        Collective{static_cast<CollectiveKind>(i % 8), Bytes{random.uniform(i) * 1e9}, draw(0), draw(1),
                   Bytes{static_cast<double>(i % 2) * 5e5}}};
    query.shape = shapes[i % shapes.size()];
    if (auto* m = std::get_if<MemoryBound>(&query.shape); m != nullptr && m->kernel == MemoryKernel::column_sum) m->rows = draw(0);
    query.sms = i % 7 == 0 ? 112 : 0;
    query.load = static_cast<Load>(i % 2);
    const ShapeQuery again = read("{" + shape_text(query) + "}");
    ASSERT_EQ(again.shape, query.shape) << "seed " << kSeed << " case " << i << ": " << shape_text(query);
    ASSERT_EQ(again.sms, query.sms);
    ASSERT_EQ(again.load, query.load);
  }
}

TEST(ShapeText, MistakesNameKeyPlaceAndWhatIsAccepted) {
  EXPECT_THAT(mistakes(R"({"dtype":"bf16"})"), AllOf(HasSubstr("shapes.jsonl:7"), HasSubstr("\"op\"")));
  EXPECT_THAT(mistakes(R"({"op":"gem","dtype":"bf16"})"), AllOf(HasSubstr("grouped_gemm"), HasSubstr("did you mean 'gemm'")));
  EXPECT_THAT(mistakes(R"({"op":"gemm","dtype":"bf61","m":1,"n":1,"k":1})"), AllOf(HasSubstr(":22:"), HasSubstr("did you mean 'bf16'")));
  EXPECT_THAT(mistakes(R"({"op":"gemm","dtype":"bf16","m":0,"n":1.5,"k":"x"})"),
              AllOf(HasSubstr("m must be"), HasSubstr("n must be"), HasSubstr("k must be")));
  EXPECT_THAT(mistakes(R"({"op":"gemm","dtype":"bf16","m":1,"n":1})"), HasSubstr("\"k\""));
  EXPECT_THAT(mistakes(R"({"op":"gemm","dtype":"bf16","m":1,"n":1,"k":1,"layuot":"forward"})"), HasSubstr("did you mean 'layout'"));
  EXPECT_THAT(mistakes(R"({"op":"grouped_gemm","dtype":"bf16","m":5,"n":1,"k":1})"), HasSubstr("list"));
  EXPECT_THAT(mistakes(R"({"op":"memory_bound","kernel":"copy","read_bytes":-1,"written_bytes":0})"), HasSubstr("read_bytes"));
  EXPECT_THAT(mistakes(R"({"op":"memory_bound","kernel":"column_sum","read_bytes":1,"written_bytes":0})"), HasSubstr("\"rows\""));
}

TEST(ShapeText, KeysOfTheUsersOwnPass) {
  EXPECT_EQ(mistakes(R"({"op":"gemm","dtype":"bf16","m":1,"n":1,"k":1,"name":"my layer","time_s":1e-5,"tags":[1,"a"],"extra":{"x":null}})"),
            "accepted");
}

}  // namespace
}  // namespace trillion::shape_text_test
