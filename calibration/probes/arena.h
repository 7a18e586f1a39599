// Device memory that operands are cut from, filled once with random data.
//
// A measurement takes operands from a moving offset: set `index` starts `index` strides further on and
// wraps, so that the sets in use together exceed three times the L2 cache and each launch finds its operands in
// HBM, as a training step does. Values are standard normal (zeros and ones draw less power and run faster).
#pragma once

#include <cstddef>
#include <cstdint>

namespace probe {

enum class Fill { kNormalBf16, kNormalFp8, kNormalFp32, kOnesFp32, kZero };

class Arena {
 public:
  Arena(std::size_t bytes, Fill fill, std::uint64_t seed = 1);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Start of an operand of `bytes` for launch `index`; of nothing, any place. REQUIRES: bytes <= size().
  char* at(std::size_t bytes, int index) const;
  std::size_t size() const { return size_; }
  char* data() const { return data_; }

  // Sets needed until `rotation_bytes` (3 x L2) have gone by, at least 2, at most 256.
  static int rotations(std::size_t bytes_per_launch, std::size_t l2_bytes);

 private:
  std::size_t size_;
  char* data_ = nullptr;
};

// Fills bf16 with standard normal numbers that depend on the seed alone.
void fill_normal_bf16(void* data, std::size_t count, std::uint64_t seed);

}  // namespace probe
