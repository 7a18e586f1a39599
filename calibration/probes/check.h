// Turning the status codes of the CUDA libraries into exceptions.
//
// A probe throws Unsupported when a library declines a shape (that becomes a row that says so) and
// std::runtime_error when something broke (that ends the probe). Nothing here prints or exits.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace probe {

// A library has no kernel for this shape; what() is the reason that the row will carry.
struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void check(cudaError_t status, const char* call) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string(call) + ": " + cudaGetErrorString(status));
  }
}

}  // namespace probe

#define PROBE_CUDA(call) ::probe::check((call), #call)
