#include "sim/spec/origin.h"

namespace trillion {

const char* to_text(Origin origin) {
  switch (origin) {
    case Origin::measured: return "measured";
    case Origin::paper: return "paper";
    case Origin::vendor: return "vendor";
    case Origin::assumed: return "assumed";
  }
  return "assumed";
}

}  // namespace trillion
