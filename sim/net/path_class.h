// How two GPUs of a tree travel, by where their NICs meet: there are 16 cases, and the shortest path of each is searched (Boost.Graph).
#pragma once

#include <cstddef>
#include <cstdint>

namespace trillion {

// The lowest layer of switches that two NICs share.
enum class Meet : std::uint8_t { leaf, spine, core, never };
inline constexpr std::size_t kMeets = 4;

struct PathClass {
  bool relay = false;  // NVLink to the rail of the destination first
  Meet meet = Meet::never;
};

// `direct`: where the own NIC meets the destination's; `relayed`: where the NIC does that is reached over NVLink, on the destination's
// rail. Network switches count first, then links. Example: own rail over a spine, the other's rail on its leaf: the relay saves two
// switches.
PathClass shortest_path(Meet direct, Meet relayed);

}  // namespace trillion
