#include "sim/cli/output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "sim/base/error.h"

namespace trillion {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& path, const char* what, int error) {
  throw InputError("cannot " + std::string(what) + " " + path + ": " + std::strerror(error));
}

// All of `text`, or the errno that stopped it.
int write_all(int descriptor, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(descriptor, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    done += static_cast<std::size_t>(written);
  }
  return ::fsync(descriptor) == 0 || errno == EINVAL ? 0 : errno;
}

}  // namespace

void write_whole_file(const std::string& path, const std::string& text) {
  std::error_code error;
  // A device or a pipe (/dev/stdout) is no file to replace.
  if (fs::exists(path, error) && !fs::is_regular_file(path, error)) {
    std::ofstream stream(path);
    stream << text << std::flush;
    if (!stream) fail(path, "write", fs::is_directory(path, error) ? EISDIR : errno);
    return;
  }
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty()) {
    fs::create_directories(folder, error);
    if (error) fail(folder.string(), "create", error.value());
  }
  const std::string temporary = path + "." + std::to_string(::getpid()) + ".part";
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) fail(path, "write", errno);
  int failure = write_all(descriptor, text);
  if (::close(descriptor) != 0 && failure == 0) failure = errno;
  if (failure == 0 && std::rename(temporary.c_str(), path.c_str()) != 0) failure = errno;
  if (failure != 0) {
    ::unlink(temporary.c_str());
    fail(path, "write", failure);
  }
}

std::string read_whole_file(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) fail(path, "read", EISDIR);
  std::ifstream stream(path, std::ios::binary);
  if (!stream) fail(path, "read", errno);
  std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (stream.bad()) fail(path, "read", EIO);
  return text;
}

}  // namespace trillion
