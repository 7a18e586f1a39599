// What a library's call launches, read from a CUDA graph that captures the call and never runs: the only way to learn how many SMs a
// collective holds that works with every version of the library.
#pragma once

#include <cuda_runtime.h>

#include <functional>
#include <string>

namespace probe {

struct Launched {
  int blocks = 0;      // of the largest kernel; 0: nothing could be read
  int threads = 0;     // of a block
  std::string kernel;  // its name, as the driver has it
};

// REQUIRES: nothing else is capturing on `stream`; `call` only queues on it.
Launched launched_by(cudaStream_t stream, const std::function<void()>& call);

}  // namespace probe
