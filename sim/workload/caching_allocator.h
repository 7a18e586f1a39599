// PyTorch's caching allocator (c10/cuda/CUDACachingAllocator.cpp): what it takes from the device for the tensors that it hands out.
//
//   rounding    a request is rounded up to 512 B
//   pools       each stream has one of blocks up to 1 MiB and one of larger blocks; what a stream has freed only that stream reuses
//   fit         the smallest free block that is large enough, of several the first in memory
//   splitting   the rest becomes a free block, in the small pool if it has 512 B, in the large one if it has more than 1 MiB;
//               a freed block joins its free neighbours of the same segment
//   segments    where nothing fits the device gives 2 MiB for a small request, 20 MiB for one below 10 MiB, else the request rounded up
//               to 2 MiB. They are not given back before the device is full, which is left out here
//   expandable  (expandable_segments:True) a pool is one segment that grows at its end by pages of 2 MiB (small) or 20 MiB, and every
//               rest of 512 B is split off
//
// Example: 21 MiB, then 3 MiB: 22 + 20 MiB reserved. After both are freed 10 MiB come out of the 20, and 12 MiB out of the 22.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

namespace trillion {

class CachingAllocator {
 public:
  using Block = std::uint32_t;

  explicit CachingAllocator(bool expandable_segments = false) : expandable_(expandable_segments) {}

  // REQUIRES: bytes > 0.
  Block allocate(std::int64_t bytes, std::int32_t stream = 0);
  // REQUIRES: allocated and not yet freed.
  void free(Block block);

  std::int64_t size_of(Block block) const { return pieces_[block].size; }  // rounded up
  std::int64_t allocated() const { return allocated_; }
  std::int64_t reserved() const { return reserved_; }
  std::int64_t peak_allocated() const { return peak_allocated_; }  // since the last reset
  std::int64_t peak_reserved() const { return peak_reserved_; }
  void reset_peaks();

 private:
  static constexpr Block kNone = 0xffffffffu;
  struct Piece {
    std::int64_t size = 0, address = 0;
    std::int32_t stream = 0;
    bool small = false, in_use = false;
    Block before = kNone, after = kNone;  // in its segment
  };
  using Pool = std::set<std::tuple<std::int64_t, std::int64_t, Block>>;  // (size, address, piece) of what is free

  Pool& pool(const Piece& piece) { return pools_[{piece.stream, piece.small}]; }
  Block add(const Piece& piece);
  void list(Block block);
  void unlist(Block block);
  Block new_segment(std::int64_t size, std::int32_t stream, bool small);
  Block grown_segment(std::int64_t size, std::int32_t stream, bool small);
  void split(Block block, std::int64_t size);
  void join(Block block, Block next);

  bool expandable_;
  std::vector<Piece> pieces_;
  std::vector<Block> unused_;  // places in pieces_
  std::map<std::pair<std::int32_t, bool>, Pool> pools_;
  std::map<std::pair<std::int32_t, bool>, Block> last_;  // of each expandable segment
  std::int64_t next_address_ = 0, allocated_ = 0, reserved_ = 0, peak_allocated_ = 0, peak_reserved_ = 0;
};

}  // namespace trillion
