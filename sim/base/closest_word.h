// "did you mean": the candidate within a small edit distance of what the user wrote, or nothing.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trillion {

// Optimal-string-alignment distance (insert, delete, substitute, swap of neighbours), letters compared case-insensitively.
int edit_distance(std::string_view a, std::string_view b);

// The nearest candidate if its distance is at most a third of the longer word (at least 1); the first one wins a tie.
std::optional<std::string> closest_word(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace trillion
