// A low-discrepancy sequence, from which the probes draw shapes that no model has.
#pragma once

namespace probe {

// Point `index` (from 0), dimension 0..2, of Roberts' R3 recurrence: evenly spread in (0,1)^3. Every third point of it
// is not: draw whatever else varies from a hash of the index.
double filling(int index, int dimension);

}  // namespace probe
