#include "child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <iostream>
#include <stdexcept>

#include "check.h"

namespace probe {
namespace {

constexpr const char* kDeclined = "unsupported: ";

}  // namespace

Child::~Child() { stop(); }

void Child::start() {
  int down[2], up[2];
  if (::pipe2(down, O_CLOEXEC) != 0 || ::pipe2(up, O_CLOEXEC) != 0) throw std::runtime_error("cannot open a pipe");
  char self[4096];
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self - 1);
  if (length <= 0) throw std::runtime_error("cannot find this executable's path");
  self[length] = '\0';
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("cannot start a child process");
  if (pid_ == 0) {
    ::dup2(down[0], 0);
    ::dup2(up[1], 1);
    ::execl(self, self, "--serve", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  ::close(down[0]);
  ::close(up[1]);
  to_child_ = down[1];
  from_child_ = up[0];
}

std::string Child::stop() {
  if (pid_ < 0) return {};
  ::close(to_child_);
  ::close(from_child_);
  int status = 0;
  // It leaves by itself once its input closes; one that hangs is killed.
  for (int i = 0; i < 50 && ::waitpid(pid_, &status, WNOHANG) == 0; ++i) {
    if (i == 40) ::kill(pid_, SIGKILL);
    ::usleep(50'000);
  }
  pid_ = -1;
  if (WIFSIGNALED(status)) return std::string("the child process died of ") + ::strsignal(WTERMSIG(status));
  return "the child process left with exit code " + std::to_string(WEXITSTATUS(status));
}

std::string Child::ask(long number) {
  if (pid_ < 0) start();
  ::signal(SIGPIPE, SIG_IGN);
  const std::string question = std::to_string(number) + "\n";
  if (::write(to_child_, question.data(), question.size()) < 0) throw Unsupported(stop());
  std::string line;
  while (line.empty() || line.back() != '\n') {
    pollfd ready{from_child_, POLLIN, 0};
    const int count = ::poll(&ready, 1, static_cast<int>(patience_s_ * 1e3));
    if (count == 0) {
      ::kill(pid_, SIGKILL);
      stop();
      throw Unsupported("no answer within " + std::to_string(static_cast<int>(patience_s_)) + " s");
    }
    char buffer[4096];
    const ssize_t n = ::read(from_child_, buffer, sizeof buffer);
    if (n <= 0) throw Unsupported(stop());
    line.append(buffer, static_cast<std::size_t>(n));
  }
  line.pop_back();
  if (line.rfind(kDeclined, 0) == 0) throw Unsupported(line.substr(std::strlen(kDeclined)));
  return line;
}

int Child::serve(const std::function<std::string(long)>& answer) {
  for (long number = 0; std::cin >> number;) {
    std::string line;
    try {
      line = answer(number);
    } catch (const Unsupported& reason) {
      line = kDeclined + std::string(reason.what());
    } catch (const std::exception& error) {
      // A broken context answers nothing more: say why and leave, so that the next point gets a fresh process.
      std::cout << kDeclined << error.what() << std::endl;
      return 1;
    }
    std::cout << line << std::endl;
  }
  return 0;
}

}  // namespace probe
