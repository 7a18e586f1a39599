#include "sim/timing/gemm_memo.h"

#include <bit>

#include "sim/base/random.h"

namespace trillion {

std::size_t GemmMemo::Hash::operator()(const Key& key) const {
  std::uint64_t mixed = mix64(static_cast<std::uint64_t>(key.m) ^ (static_cast<std::uint64_t>(key.curve) << 48));
  mixed = mix64(mixed ^ static_cast<std::uint64_t>(key.n));
  mixed = mix64(mixed ^ static_cast<std::uint64_t>(key.k));
  return static_cast<std::size_t>(mix64(mixed ^ std::bit_cast<std::uint64_t>(key.sms)));
}

// Of bits that the map's buckets do not lean on.
std::size_t GemmMemo::shard(const Key& key) const { return (Hash{}(key) >> 32) % kShards; }

std::optional<Seconds> GemmMemo::find(const Key& key) const {
  const Shard& shard = shards_[this->shard(key)];
  const std::lock_guard<std::mutex> lock(shard.mutex);
  const auto known = shard.times.find(key);
  return known == shard.times.end() ? std::nullopt : std::optional(known->second);
}

void GemmMemo::add(const Key& key, Seconds time) {
  Shard& shard = shards_[this->shard(key)];
  const std::lock_guard<std::mutex> lock(shard.mutex);
  if (shard.times.size() < kMostOfShard) shard.times.emplace(key, time);
}

}  // namespace trillion
