// Fitted parameters with four digits: more than the data hold, few enough for a person to read and compare.
#pragma once

#include "sim/spec/curve.h"

namespace trillion {

void make_readable(GemmCurve& curve);
void make_readable(AttentionCurve& curve);
void make_readable(MemoryCurve& curve);
void make_readable(CollectiveCurve& curve);
void make_readable(ExpertCurve& curve);

}  // namespace trillion
