#include "sim/workload/caching_allocator.h"

#include <algorithm>

#include "sim/base/error.h"
#include "sim/base/rounding.h"

namespace trillion {

namespace {

constexpr std::int64_t kMiB = 1 << 20;
constexpr std::int64_t kSmallest = 512, kSmallRequest = kMiB, kSmallBuffer = 2 * kMiB, kLargeBuffer = 20 * kMiB, kMinLarge = 10 * kMiB;
// Where segments lie is the device's business: far enough apart that one can grow without meeting the next.
constexpr std::int64_t kApart = std::int64_t{1} << 44;

std::int64_t rounded_up(std::int64_t bytes, std::int64_t unit) { return divided_up(bytes, unit) * unit; }

}  // namespace

CachingAllocator::Block CachingAllocator::allocate(std::int64_t bytes, std::int32_t stream) {
  CHECK(bytes > 0, "nothing is to be allocated");
  const std::int64_t size = rounded_up(bytes, kSmallest);
  const bool small = size <= kSmallRequest;
  Pool& free = pools_[{stream, small}];
  const auto fit = free.lower_bound({size, 0, 0});
  Block block = kNone;
  if (fit != free.end()) {
    block = std::get<2>(*fit);
    free.erase(fit);
  } else {
    block = expandable_ ? grown_segment(size, stream, small) : new_segment(size, stream, small);
  }
  split(block, size);
  pieces_[block].in_use = true;
  allocated_ += pieces_[block].size;
  peak_allocated_ = std::max(peak_allocated_, allocated_);
  return block;
}

void CachingAllocator::free(Block block) {
  CHECK(block < pieces_.size() && pieces_[block].in_use, "freed twice");
  pieces_[block].in_use = false;
  allocated_ -= pieces_[block].size;
  if (const Block after = pieces_[block].after; after != kNone && !pieces_[after].in_use) {
    unlist(after);
    join(block, after);
  }
  if (const Block before = pieces_[block].before; before != kNone && !pieces_[before].in_use) {
    unlist(before);
    join(before, block);
    block = before;
  }
  list(block);
}

void CachingAllocator::reset_peaks() {
  peak_allocated_ = allocated_;
  peak_reserved_ = reserved_;
}

CachingAllocator::Block CachingAllocator::add(const Piece& piece) {
  if (unused_.empty()) {
    pieces_.push_back(piece);
    return static_cast<Block>(pieces_.size() - 1);
  }
  const Block block = unused_.back();
  unused_.pop_back();
  pieces_[block] = piece;
  return block;
}

void CachingAllocator::list(Block block) { pool(pieces_[block]).insert({pieces_[block].size, pieces_[block].address, block}); }
void CachingAllocator::unlist(Block block) { pool(pieces_[block]).erase({pieces_[block].size, pieces_[block].address, block}); }

CachingAllocator::Block CachingAllocator::new_segment(std::int64_t size, std::int32_t stream, bool small) {
  const std::int64_t taken = small ? kSmallBuffer : size < kMinLarge ? kLargeBuffer : rounded_up(size, kSmallBuffer);
  reserved_ += taken;
  peak_reserved_ = std::max(peak_reserved_, reserved_);
  const Block block = add({taken, next_address_, stream, small, false, kNone, kNone});
  next_address_ += taken;
  return block;
}

// The free end of the pool's segment, or what follows it, with as many new pages as it takes.
CachingAllocator::Block CachingAllocator::grown_segment(std::int64_t size, std::int32_t stream, bool small) {
  const auto [last, fresh] = last_.try_emplace({stream, small}, kNone);
  Block block = last->second;
  if (fresh || pieces_[block].in_use) {
    const std::int64_t address = fresh ? static_cast<std::int64_t>(last_.size()) * kApart : pieces_[block].address + pieces_[block].size;
    const Block after = add({0, address, stream, small, false, block, kNone});
    if (block != kNone) pieces_[block].after = after;
    block = last->second = after;
  } else {
    unlist(block);
  }
  const std::int64_t more = rounded_up(size - pieces_[block].size, small ? kSmallBuffer : kLargeBuffer);
  pieces_[block].size += more;
  reserved_ += more;
  peak_reserved_ = std::max(peak_reserved_, reserved_);
  return block;
}

void CachingAllocator::split(Block block, std::int64_t size) {
  const Piece whole = pieces_[block];
  const std::int64_t rest = whole.size - size;
  if (!(whole.small || expandable_ ? rest >= kSmallest : rest > kSmallRequest)) return;
  const Block after = add({rest, whole.address + size, whole.stream, whole.small, false, block, whole.after});
  if (whole.after != kNone) pieces_[whole.after].before = after;
  pieces_[block].size = size;
  pieces_[block].after = after;
  if (expandable_ && last_[{whole.stream, whole.small}] == block) last_[{whole.stream, whole.small}] = after;
  list(after);
}

// Both are free or about to be, and in no list.
void CachingAllocator::join(Block block, Block next) {
  Piece& piece = pieces_[block];
  piece.size += pieces_[next].size;
  piece.after = pieces_[next].after;
  if (piece.after != kNone) pieces_[piece.after].before = block;
  if (expandable_ && last_[{piece.stream, piece.small}] == next) last_[{piece.stream, piece.small}] = block;
  unused_.push_back(next);
}

}  // namespace trillion
