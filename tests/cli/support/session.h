// The program without a process: words in, exit code and both outputs out; and a folder of the test's own.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "sim/cli/command_line.h"

namespace trillion {

struct Ended {
  int code = 0;
  std::string out, err;
};

// `input` is standard input; nothing is a terminal unless `terminal`.
inline Ended trillion_with(const std::vector<std::string>& words, const std::string& input = {}, bool terminal = false) {
  std::istringstream in(input);
  std::ostringstream out, err;
  const Streams streams{in, out, err, TextStyle{}, TextStyle{}, terminal, false, TRILLION_SOURCE_DIR};
  const int code = run_command_line(words, streams);
  return {code, out.str(), err.str()};
}

// Removed with everything in it when the test ends.
class Folder {
 public:
  Folder() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::temp_directory_path() /
            (std::string("trillion-") + test->test_suite_name() + "-" + test->name() + "-" + std::to_string(::getpid()));
    std::filesystem::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string text() const { return path_.string(); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return (path_ / name).string();
  }

 private:
  std::filesystem::path path_;
};

inline std::string file_text(const std::string& path) {
  std::ifstream stream(path);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

}  // namespace trillion
