// libFuzzer's entry to every reader of input files.
//
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -I. tests/fuzz/reader_fuzzer.cpp sim/spec/*.cpp sim/base/*.cpp -lyaml-cpp
//   -o outputs/reader_fuzzer outputs/reader_fuzzer -max_total_time=60 -max_len=8192 outputs/corpus models topologies scenarios/deepseek-v3
//   tests/golden/hf
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/mutations.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  trillion::read_as_anything(std::string(data, data + size));
  return 0;
}
