// A file is whole or absent: a failed write leaves what was there, and no leftovers beside it.
#include "sim/cli/output_file.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "sim/base/error.h"
#include "tests/cli/support/session.h"

namespace trillion::output_file_test {
namespace {

namespace fs = std::filesystem;

std::size_t files_in(const std::string& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(OutputFile, WritesAndReplaces) {
  const Folder folder;
  write_whole_file(folder / "a.txt", "one");
  write_whole_file(folder / "a.txt", "two\n");
  EXPECT_EQ(read_whole_file(folder / "a.txt"), "two\n");
  EXPECT_EQ(files_in(folder.text()), 1u);
}

TEST(OutputFile, CreatesFolders) {
  const Folder folder;
  write_whole_file(folder / "x/y/a.txt", "deep");
  EXPECT_EQ(read_whole_file(folder / "x/y/a.txt"), "deep");
}

TEST(OutputFile, AFailureLeavesNothingBehind) {
  const Folder folder;
  folder.write("file", "not a folder");
  EXPECT_THROW(write_whole_file(folder / "file/a.txt", "x"), InputError);
  EXPECT_THROW(write_whole_file(folder.text(), "x"), InputError);
  EXPECT_EQ(files_in(folder.text()), 1u);
  EXPECT_EQ(file_text(folder / "file"), "not a folder");
}

TEST(OutputFile, AFullDeviceIsAnError) { EXPECT_THROW(write_whole_file("/dev/full", "x"), InputError); }

TEST(OutputFile, ReadingWhatIsNotThereIsAnError) {
  const Folder folder;
  EXPECT_THROW(read_whole_file(folder / "absent"), InputError);
  EXPECT_THROW(read_whole_file(folder.text()), InputError);
}

}  // namespace
}  // namespace trillion::output_file_test
