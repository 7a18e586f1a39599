// Text to tree: the only place that knows yaml-cpp. Internal to yaml_tree.
#pragma once

#include <string>

#include "sim/spec/yaml_tree.h"

namespace trillion {

// Refuses what would confuse the parser or a terminal before either sees it: invalid UTF-8, control characters. Throws InputError.
void check_characters(const std::string& text, const std::string& name);

// The root; Kind::null for a text without content. Its positions carry `source`. Throws InputError and nothing else.
YamlNode parse_yaml(const std::string& text, const std::string& name, int source);

// A line of a text, counted from 1, without its end; empty beyond the text.
std::string line_of(const std::string& text, int line);

}  // namespace trillion
