// Which GPUs behave alike, so that one stands for all of them.
//
// A replica is the pipeline that passes through the GPUs of one number in every stage. Two replicas are alike if their GPUs are in
// the same condition and they meet alike replicas in every group: colour refinement, as for graph isomorphism (Weisfeiler, Leman
// 1968), on at most as many rounds as there are replicas. Alike replicas do everything at the same time, so the first of a class is
// simulated and the others are not.
//
//   undisturbed           one class
//   a slow GPU            it, its expert-parallel group (which waits for it in every layer), everyone else: three classes
//   Fidelity::full, or kernel_jitter    every replica is a class of its own
//
// Classes meet where their replicas do. All groups of one kind that hold a replica of a class hold the same classes, so "which
// classes meet" is a partition, here as the number of the part.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/spec/scenario.h"
#include "sim/workload/device_mesh.h"

namespace trillion {

// The collectives whose members start together.
enum class Meeting : std::uint8_t { tensor, context, expert, dense_gradients, expert_gradients };
inline constexpr std::size_t kMeetingCount = 5;

struct ReplicaClass {
  std::int64_t replica = 0;                        // the first one
  std::int64_t count = 1;                          // how many it stands for
  std::array<std::int32_t, kMeetingCount> part{};  // classes with the same number meet there
};

struct Folding {
  std::vector<ReplicaClass> classes;                             // by first replica
  std::array<std::vector<std::int32_t>, kMeetingCount> members;  // [part] number of classes in it
  std::int64_t replicas = 1;                                     // GPUs of one stage

  std::int32_t class_count() const { return static_cast<std::int32_t>(classes.size()); }
  bool meets(Meeting meeting, std::int32_t replica_class) const {
    const auto m = static_cast<std::size_t>(meeting);
    return members[m][static_cast<std::size_t>(classes[static_cast<std::size_t>(replica_class)].part[m])] > 1;
  }
};

Folding fold(const Scenario& scenario, const DeviceMesh& mesh);

}  // namespace trillion
