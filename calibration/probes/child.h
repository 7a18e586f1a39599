// A child process that answers numbered questions on a pipe, so that a library's crash is an answer too.
//
// The parent asks "measure point i"; the child, started from the same executable with the argument --serve, answers one
// line. If it dies or says nothing for too long, the answer is an exception that says how, and the next question
// gets a fresh child. One child serves point after point until it fails: starting CUDA costs more than a point.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

namespace probe {

class Child {
 public:
  explicit Child(double patience_s) : patience_s_(patience_s) {}
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // The child's line for question `number`. Throws Unsupported if it died, hung, or answered "unsupported: ...".
  std::string ask(long number);

  // The child's side: answers questions from standard input until it closes. Never throws.
  static int serve(const std::function<std::string(long)>& answer);

 private:
  void start();
  std::string stop();  // how it ended

  double patience_s_;
  pid_t pid_ = -1;
  int to_child_ = -1, from_child_ = -1;
};

}  // namespace probe
