// Where a number comes from. Every input figure that can move an answer carries one, and the report says which origins the
// answer leans on (law 2: every number has an origin).
#pragma once

#include <string>

namespace trillion {

enum class Origin {
  measured,  // read off a device by a probe, a trace or a log
  paper,     // published by the people who ran it
  vendor,    // a datasheet
  assumed,   // our judgement; the source says why
};

struct Provenance {
  Origin origin = Origin::assumed;
  std::string source;
};

const char* to_text(Origin origin);

}  // namespace trillion
