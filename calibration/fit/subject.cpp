#include "calibration/fit/subject.h"

#include <algorithm>

#include "calibration/fit/chips.h"
#include "sim/base/error.h"

namespace trillion {
namespace {

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

Facts find_facts(const std::vector<RawFile>& files) {
  const RawFile* found = nullptr;
  for (const auto& file : files) {
    if (!file.facts || file.borrowed) continue;
    if (found != nullptr) throw InputError("two facts files: '" + found->name + "' and '" + file.name + "'");
    found = &file;
  }
  return found == nullptr ? Facts{} : *found->facts;
}

// Distinct in order of appearance, of files that are the subject's own.
template <class Member>
std::vector<std::string> own_words(const std::vector<RawFile>& files, Member member) {
  std::vector<std::string> words;
  for (const auto& file : files) {
    const std::string& word = file.*member;
    if (!file.borrowed && !word.empty() && std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
  }
  return words;
}

std::string chip_key(const std::string& gpu) {
  const auto chip = vendor_chip(gpu);
  return chip ? chip->provenance.source : gpu;
}

}  // namespace

Subject find_subject(const std::vector<RawFile>& files) {
  Subject subject;
  subject.facts = find_facts(files);
  const std::vector<std::string> gpus = own_words(files, &RawFile::gpu);
  subject.gpu = subject.facts.gpu;
  if (subject.gpu.empty()) {
    if (gpus.empty()) throw InputError("no file says which GPU was measured; write a facts.yaml with 'gpu: ...' beside them");
    for (const auto& gpu : gpus) {
      if (chip_key(gpu) != chip_key(gpus.front())) {
        throw InputError("the measurements are of several GPUs (" + joined(gpus, ", ") + "); a profile is of one: give one folder per GPU");
      }
    }
    subject.gpu = gpus.front();
  }
  subject.software = subject.facts.software.empty() ? joined(own_words(files, &RawFile::software), "; ") : subject.facts.software;
  if (subject.software.empty()) subject.software = "not said";
  const auto chip = subject.facts.chip ? subject.facts.chip : vendor_chip(subject.gpu);
  if (!chip) {
    throw InputError("the GPU '" + subject.gpu + "' is not one of " + joined(known_chips(), ", ") +
                     "; write its vendor figures under 'chip:' in a facts.yaml beside the measurements");
  }
  subject.chip = *chip;
  return subject;
}

}  // namespace trillion
