// What the environment says about text: COLUMNS, NO_COLOR, the locale's character set, and where the repository is.
#include "sim/cli/streams.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace trillion::streams_test {
namespace {

class StreamsOfEnvironment : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"COLUMNS", "NO_COLOR", "LC_ALL", "LC_CTYPE", "LANG", "TRILLION_HOME"}) ::unsetenv(name);
  }
  static TextStyle style_with(const char* name, const char* value) {
    ::setenv(name, value, 1);
    const TextStyle style = process_streams().out_style;
    ::unsetenv(name);
    return style;
  }
};

TEST_F(StreamsOfEnvironment, ColumnsAreRespectedWithinReason) {
  EXPECT_EQ(style_with("COLUMNS", "72").columns, 72);
  EXPECT_EQ(style_with("COLUMNS", "400").columns, 100);
  EXPECT_EQ(style_with("COLUMNS", "3").columns, 60);
}

TEST_F(StreamsOfEnvironment, UnicodeFollowsTheLocale) {
  EXPECT_FALSE(process_streams().out_style.unicode);
  EXPECT_TRUE(style_with("LANG", "de_DE.UTF-8").unicode);
  EXPECT_TRUE(style_with("LC_ALL", "C.utf8").unicode);
  EXPECT_FALSE(style_with("LANG", "C").unicode);
  ::setenv("LANG", "en_US.UTF-8", 1);
  EXPECT_FALSE(style_with("LC_ALL", "C").unicode);  // the stronger one decides
}

TEST_F(StreamsOfEnvironment, NoColourIsRespected) { EXPECT_FALSE(style_with("NO_COLOR", "1").colour); }

TEST_F(StreamsOfEnvironment, TheLauncherSaysWhereTheRepositoryIs) {
  EXPECT_EQ(process_streams().home, ".");
  ::setenv("TRILLION_HOME", "/opt/trillion", 1);
  EXPECT_EQ(process_streams().home, "/opt/trillion");
}

}  // namespace
}  // namespace trillion::streams_test
