// The relay is taken where it saves a switch, not where it only adds two links; what never meets is out of reach.
#include "sim/net/path_class.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace trillion::path_class_test {
namespace {

TEST(PathClass, TheRelayIsTakenWhereItSavesASwitch) {
  for (const Meet direct : {Meet::leaf, Meet::spine, Meet::core, Meet::never}) {
    for (const Meet relayed : {Meet::leaf, Meet::spine, Meet::core, Meet::never}) {
      const PathClass path = shortest_path(direct, relayed);
      EXPECT_EQ(path.meet, std::min(direct, relayed));
      EXPECT_EQ(path.relay, relayed < direct);
    }
  }
}

}  // namespace
}  // namespace trillion::path_class_test
