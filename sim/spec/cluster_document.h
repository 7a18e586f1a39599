// A topology with what it is laid over, as one document:
//
//   base: h100-1024.yaml    another topology file; what is written here replaces or adds, key by key
//   from: node.xml          what a machine says of a node (spec/node_facts.h); it replaces what `base` says, keys written here replace it
//
// Both paths are relative to the file that names them. A `from` set on the command line replaces what the file says.
#pragma once

#include <filesystem>
#include <string>

#include "sim/spec/yaml_tree.h"

namespace trillion {

// Throws InputError: a file that is not there or cannot be read, files that name each other as base.
YamlDocument cluster_document(const std::string& path);

// Lays `own`, written in a file of `folder`, over what its `from` reads and that over `below` (if any); both keys are gone then.
YamlDocument with_node_facts(const YamlDocument& own, const YamlDocument* below, const std::filesystem::path& folder);

}  // namespace trillion
