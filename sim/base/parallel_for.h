// Runs body(i) for every i in [0, count) on up to `threads` threads. Which thread runs which index is not fixed, so a body
// may only write what belongs to its own index; then the result is the same bytes whatever the thread count.
// The first exception (by lowest index) is rethrown after all threads have ended.
#pragma once

#include <cstddef>
#include <functional>

namespace trillion {

// threads = 0 uses every core.
void parallel_for(std::size_t count, unsigned threads, const std::function<void(std::size_t)>& body);

}  // namespace trillion
