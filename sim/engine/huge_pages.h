// Room for columns of millions of rows. A page of 4 KiB costs its first writer a trap into the kernel, ~0.1 us on bare metal and
// ten times that or more in a virtual machine: with a trace of 16 bytes per task that is more than running the tasks. Where the
// system offers pages of 2 MiB, large columns ask for them; where it does not, nothing else changes.
#pragma once

#include <cstddef>
#include <vector>

namespace trillion {

// A hint; never fails.
void advise_huge_pages(void* begin, std::size_t bytes);

// vector.reserve(count), in huge pages if it is large.
template <class T>
void reserve_large(std::vector<T>& vector, std::size_t count) {
  if (count <= vector.capacity()) return;
  vector.reserve(count);
  advise_huge_pages(vector.data(), count * sizeof(T));
}

}  // namespace trillion
