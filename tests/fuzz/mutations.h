// Reading whatever bytes come: every outcome but a value or an InputError is a bug. Shared by the deterministic mutation tests
// and by reader_fuzzer.cpp.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "sim/base/random.h"
#include "sim/spec/load.h"
#include "sim/spec/load_calibration.h"

namespace trillion {

inline std::string read_whole_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// In the order of their names, so that a run is the same everywhere.
inline std::vector<std::filesystem::path> files_below(const std::filesystem::path& folder, const std::vector<std::string>& extensions) {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const bool wanted = std::find(extensions.begin(), extensions.end(), entry.path().extension().string()) != extensions.end();
    if (entry.is_regular_file() && wanted) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

// Reads the text as each kind of input in turn. Returns how many of them were refused.
inline int read_as_anything(const std::string& text) {
  int refused = 0;
  const auto attempt = [&](const auto& read) {
    try {
      Diagnostics diagnostics;
      YamlReader reader = YamlReader::open(YamlDocument::from_text(text, "input"), diagnostics);
      read(reader);
      reader.finish();
      diagnostics.throw_if_any();
    } catch (const InputError&) {
      ++refused;
    }
  };
  attempt([](YamlReader& r) { read_model(r, "input"); });
  attempt([](YamlReader& r) { read_cluster(r); });
  attempt([](YamlReader& r) { read_calibration(r); });
  attempt([](YamlReader& r) {
    YamlReader plan = r.mapping("plan"), training = r.mapping("training");
    read_plan(plan);
    read_training(training);
  });
  return refused;
}

// Cuts, flips, drops, doubles and swaps bytes of a good text, `count` times, always the same; returns how many were refused.
inline int mutilate(const std::string& good, std::uint64_t count) {
  static const std::string kTelling = "\"'[]{}:,-#&*!|>%@`\n\t 0\\\xff\x01";
  const Random random(7, good.size());
  int refused = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string text = good;
    for (std::uint64_t change = 0; change <= i % 3; ++change) {
      const std::uint64_t draw = random.bits(8 * i + change);
      const std::size_t at = static_cast<std::size_t>(draw >> 8) % std::max<std::size_t>(text.size(), 1);
      if (text.empty()) break;
      switch (draw % 6) {
        case 0: text.resize(at); break;
        case 1: text[at] = static_cast<char>(draw >> 40); break;
        case 2: text.erase(at, 1 + (draw >> 50) % 20); break;
        case 3: text.insert(at, text.substr(at, 1 + (draw >> 50) % 40)); break;
        case 4: text[at] = kTelling[(draw >> 40) % kTelling.size()]; break;
        default: text.insert(at, 1, kTelling[(draw >> 40) % kTelling.size()]); break;
      }
    }
    refused += read_as_anything(text);
  }
  return refused;
}

}  // namespace trillion
