// What several frameworks lose in the same way: each changes the plan to the nearest and says so. Internal to the room.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/handover/expressed.h"

namespace trillion::losses {

// Another schedule; the cut of the layers stays where the number of stages does.
void change_schedule(Expressed& e, const Scenario& s, ScheduleKind to, std::int64_t chunks, const std::string& why);
void drop_placement(Expressed& e, const std::string& framework);
void drop_rank_order(Expressed& e, const std::string& framework, const RankOrder& to);
void drop_offload(Expressed& e, Offload what, const std::string& why);

// The first stages take what does not divide.
std::vector<std::int64_t> even_split(std::int64_t layers, std::int64_t stages);

}  // namespace trillion::losses
