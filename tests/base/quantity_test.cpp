// Dimensions multiply and divide like the units they stand for; what does not mix does not compile.
#include "sim/base/quantity.h"

#include <gtest/gtest.h>

#include <concepts>
#include <type_traits>

namespace trillion::quantity_test {
namespace {

template <class A, class B>
concept Addable = requires(A a, B b) {
  a + b;
};
template <class A, class B>
concept Comparable = requires(A a, B b) {
  a < b;
};

static_assert(Addable<Seconds, Seconds>);
static_assert(!Addable<Seconds, Bytes>);
static_assert(!Addable<Seconds, double>);
static_assert(!Comparable<Seconds, Bytes>);
static_assert(!std::is_convertible_v<double, Seconds>, "a bare number is no duration");
static_assert(std::is_same_v<decltype(Bytes{1} / Seconds{1}), BytesPerSecond>);
static_assert(std::is_same_v<decltype(Bytes{1} / BytesPerSecond{1}), Seconds>);
static_assert(std::is_same_v<decltype(Flops{1} / Seconds{1}), FlopsPerSecond>);
static_assert(std::is_same_v<decltype(Watts{1} * Seconds{1}), Joules>);
static_assert(std::is_same_v<decltype(Joules{1} * UsdPerJoule{1}), Usd>);
static_assert(std::is_same_v<decltype(UsdPerSecond{1} * Seconds{1}), Usd>);
static_assert(std::is_same_v<decltype(Bytes{1} / Bytes{1}), double>, "a ratio has no dimension");

TEST(Quantity, Arithmetic) {
  EXPECT_DOUBLE_EQ((Bytes{1e9} / BytesPerSecond{50e9}).value(), 0.02);
  EXPECT_EQ((Seconds{1} + Seconds{2}).value(), 3);
  EXPECT_EQ((Seconds{1} - Seconds{2}).value(), -1);
  EXPECT_EQ((-Seconds{1}).value(), -1);
  EXPECT_EQ((2.0 * Seconds{3}).value(), (Seconds{3} * 2.0).value());
  EXPECT_EQ((Seconds{3} / 2.0).value(), 1.5);
  EXPECT_EQ(Seconds{3} / Seconds{2}, 1.5);
  EXPECT_LT(Seconds{1}, Seconds{2});
  EXPECT_EQ(Seconds{}, Seconds{0});
  Seconds t{1};
  t += Seconds{2};
  t *= 4;
  t -= Seconds{2};
  t /= 5;
  EXPECT_EQ(t.value(), 2);
}

TEST(Quantity, Constants) {
  EXPECT_EQ(kMiB / kKiB, 1024);
  EXPECT_EQ(kGiB.value(), 1073741824);
  EXPECT_EQ(kDay / kHour, 24);
}

}  // namespace
}  // namespace trillion::quantity_test
