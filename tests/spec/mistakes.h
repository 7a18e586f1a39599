// What a reading throws, as "line:column message" texts, so that a test states every mistake with its place.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sim/base/error.h"
#include "sim/spec/yaml_reader.h"

namespace trillion {

template <class Read>
std::vector<Diagnostic> diagnostics_of(const Read& read) {
  try {
    read();
  } catch (const InputError& e) {
    return e.diagnostics();
  }
  return {};
}

inline std::string place_and_message(const Diagnostic& d) {
  return std::to_string(d.where.line) + ":" + std::to_string(d.where.column) + " " + d.message + (d.hint.empty() ? "" : " | " + d.hint);
}

template <class Read>
std::vector<std::string> mistakes_of(const Read& read) {
  std::vector<std::string> texts;
  for (const Diagnostic& d : diagnostics_of(read)) texts.push_back(place_and_message(d));
  return texts;
}

// Opens a text, hands its reader to `read`, finishes and throws what was found.
template <class Read>
void read_text(const std::string& text, const Read& read) {
  Diagnostics diagnostics;
  YamlReader reader = YamlReader::open(YamlDocument::from_text(text, "file.yaml"), diagnostics);
  read(reader);
  reader.finish();
  diagnostics.throw_if_any();
}

template <class Read>
std::vector<std::string> mistakes_in(const std::string& text, const Read& read) {
  return mistakes_of([&] { read_text(text, read); });
}

// `text` with every `from` replaced by `to`; fails the test when there is none.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << "'" << from << "' is not in the text";
  for (; at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
  return text;
}

}  // namespace trillion
