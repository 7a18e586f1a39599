// Times of products that were asked before: a search asks for the same few thousand of them a million times, and each choice among a
// library's tiles takes microseconds. What is remembered depends on the question alone, so who asks first changes nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "sim/base/quantity.h"

namespace trillion {

class GemmMemo {
 public:
  struct Key {
    std::int32_t curve = 0;  // of one Timing
    std::int64_t m = 0, n = 0, k = 0;
    double sms = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };

  // From many threads at once.
  std::optional<Seconds> find(const Key& key) const;
  // Full of what was asked before: not remembered.
  void add(const Key& key, Seconds time);

 private:
  struct Hash {
    std::size_t operator()(const Key& key) const;
  };
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<Key, Seconds, Hash> times;
  };
  static constexpr std::size_t kShards = 16, kMostOfShard = 8192;  // 10 MB in all

  std::size_t shard(const Key& key) const;

  std::array<Shard, kShards> shards_;
};

}  // namespace trillion
