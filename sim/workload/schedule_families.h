// One function per schedule: its order of actions, written as its paper or its code does. make_schedule (workload/schedule.h)
// picks; why_not says for which numbers they are defined, and that is what each of them REQUIRES.
#pragma once

#include <cstdint>

#include "sim/workload/schedule.h"

namespace trillion {

// Huang et al. 2019: all forwards, then all backwards.
PipelineSchedule make_gpipe(std::int32_t ranks, std::int32_t micro_batches);

// Narayanan et al. 2021 (PipeDream-flush): p - 1 - r warm-up forwards, then one forward, one backward.
PipelineSchedule make_1f1b(std::int32_t ranks, std::int32_t micro_batches);

// Megatron-LM's virtual pipeline: rank r holds stages r, p + r, 2p + r, ...; bubble / v for v times the P2P traffic.
PipelineSchedule make_interleaved_1f1b(std::int32_t ranks, std::int32_t micro_batches, std::int32_t chunks);

// Qi et al. 2023: backward split into input and weight gradient; weight gradients fill what was bubble. H1 keeps 1F1B's memory,
// H2 doubles it and leaves no bubble inside a rank's own span.
PipelineSchedule make_zb_h1(std::int32_t ranks, std::int32_t micro_batches);
PipelineSchedule make_zb_h2(std::int32_t ranks, std::int32_t micro_batches);

// Qi et al. 2024: rank r holds stages r and 2p - 1 - r; ZB-H2's bubble with 1F1B's memory.
PipelineSchedule make_zb_v(std::int32_t ranks, std::int32_t micro_batches);

// DeepSeek-V3 report, section 3.2.1: two streams of micro-batches from both ends, forward and backward chunks in overlapped
// pairs. dualpipe: p stages, each on two ranks. dualpipe-v: 2p stages in a V, each on one rank.
PipelineSchedule make_dualpipe(std::int32_t ranks, std::int32_t micro_batches);
PipelineSchedule make_dualpipe_v(std::int32_t ranks, std::int32_t micro_batches);

// What they all start from: every rank with an empty list.
PipelineSchedule empty_schedule(std::int32_t ranks, std::int32_t stages, std::int32_t micro_batches);

}  // namespace trillion
