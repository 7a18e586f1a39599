// Progress writes to a terminal only, and leaves the line empty.
#include "sim/report/progress.h"

#include <gtest/gtest.h>

#include <sstream>

namespace trillion::progress_test {
namespace {

TEST(Progress, WritesNothingWhereItIsNotShown) {
  std::ostringstream stream;
  {
    Progress progress(stream, false, {});
    progress.update(1, 2, "a");
  }
  EXPECT_EQ(stream.str(), "");
}

TEST(Progress, OverwritesItsLineAndClearsIt) {
  std::ostringstream stream;
  {
    Progress progress(stream, true, {});
    progress.update(1, 2, "a");
  }
  EXPECT_EQ(stream.str(), "\r\x1b[K[1/2] a\r\x1b[K");
}

}  // namespace
}  // namespace trillion::progress_test
