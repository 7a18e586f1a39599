#include "sim/engine/huge_pages.h"

#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace trillion {

void advise_huge_pages([[maybe_unused]] void* begin, [[maybe_unused]] std::size_t bytes) {
#ifdef __linux__
  constexpr std::size_t kHugePage = std::size_t{1} << 21;
  // Only whole huge pages inside the range: what lies around it belongs to others.
  auto* const bytes_begin = static_cast<unsigned char*>(begin);
  const std::size_t skipped = (kHugePage - reinterpret_cast<std::uintptr_t>(begin) % kHugePage) % kHugePage;
  if (bytes < skipped + kHugePage) return;
  const std::size_t whole = (bytes - skipped) / kHugePage * kHugePage;
  static_cast<void>(madvise(bytes_begin + skipped, whole, MADV_HUGEPAGE));
#endif
}

}  // namespace trillion
