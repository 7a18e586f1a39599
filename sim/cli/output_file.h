// Files that are whole or absent: written beside their place under a name of their own, synced, then renamed over it.
#pragma once

#include <string>

namespace trillion {

// Creates missing folders. Throws InputError that says which path cannot be written and why; what stood there before stays.
void write_whole_file(const std::string& path, const std::string& text);

// The file's bytes; throws InputError.
std::string read_whole_file(const std::string& path);

}  // namespace trillion
