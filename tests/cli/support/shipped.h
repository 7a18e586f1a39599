// The scenarios of the repository that the program's tests run: real files, made small where only the path through counts.
#pragma once

#include <string>
#include <vector>

namespace trillion {

inline const std::string kRoot = TRILLION_SOURCE_DIR;
inline const std::string kDeepSeek = kRoot + "/scenarios/deepseek-v3";

// One step of DeepSeek-V3's layout on 128 GPUs, few micro-batches, no run: milliseconds.
inline std::vector<std::string> small() {
  return {"--set", "cluster.nodes=128", "--set", "training.global_batch_size=2048",
          "--set", "training.tokens=0", "--set", "training.batch_size_schedule=null"};
}

inline std::vector<std::string> with_small(std::vector<std::string> words) {
  for (const std::string& word : small()) words.push_back(word);
  return words;
}

}  // namespace trillion
