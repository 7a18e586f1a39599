// FNV-1a in 64 bits (Fowler, Noll, Vo): tells whether bytes are the ones they were. No defence against somebody who wants to deceive.
//
//   Checksum sum;
//   sum.add("abc");
//   sum.value()
#pragma once

#include <cstdint>
#include <string_view>

namespace trillion {

class Checksum {
 public:
  // Text that follows other text is told apart from one text: its length counts too.
  constexpr void add(std::string_view text) {
    for (const char c : text) mix(static_cast<unsigned char>(c));
    add(static_cast<std::uint64_t>(text.size()));
  }
  constexpr void add(std::uint64_t number) {
    for (int byte = 0; byte < 8; ++byte) mix(static_cast<unsigned char>(number >> (8 * byte)));
  }
  constexpr std::uint64_t value() const { return value_; }

 private:
  constexpr void mix(unsigned char byte) { value_ = (value_ ^ byte) * 0x100000001b3ull; }
  std::uint64_t value_ = 0xcbf29ce484222325ull;
};

}  // namespace trillion
