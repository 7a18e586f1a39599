#include "sim/workload/folding.h"

#include <algorithm>
#include <map>
#include <utility>

namespace trillion {

namespace {

using Colours = std::vector<std::int32_t>;  // [replica]

// Numbers by first appearance.
template <class Key>
Colours numbered(const std::vector<Key>& keys) {
  std::map<Key, std::int32_t> numbers;
  Colours out;
  for (const Key& key : keys) out.push_back(numbers.try_emplace(key, static_cast<std::int32_t>(numbers.size())).first->second);
  return out;
}

Colours by_condition(const Scenario& s, const DeviceMesh& mesh, std::int64_t replicas) {
  std::vector<std::vector<GpuCondition>> conditions(static_cast<std::size_t>(replicas));
  for (std::int64_t q = 0; q < replicas; ++q) {
    for (std::int64_t rank = 0; rank < s.plan.pipeline_parallel; ++rank) {
      conditions[static_cast<std::size_t>(q)].push_back(condition_of(s.perturbations, mesh.gpu(rank, q), s.seed));
    }
  }
  return numbered(conditions);
}

// [replica] which of the groups of one kind it is in.
using Membership = std::vector<std::int64_t>;

// Gradients meet where the same parameters are: at one place of the tensor-parallel axis, or of both expert axes.
std::array<Membership, kMeetingCount> groups_of(const DeviceMesh& mesh, std::int64_t replicas) {
  std::array<Membership, kMeetingCount> groups;
  for (std::int64_t q = 0; q < replicas; ++q) {
    const std::int64_t gpu = mesh.gpu(0, q);
    const std::array<std::int64_t, kMeetingCount> own = {
        mesh.tensor().first_member(gpu), mesh.context().first_member(gpu), mesh.expert().first_member(gpu), mesh.tensor().place(gpu),
        mesh.expert().place(gpu) * mesh.expert_tensor().size + mesh.expert_tensor().place(gpu)};
    for (std::size_t m = 0; m < kMeetingCount; ++m) groups[m].push_back(own[m]);
  }
  return groups;
}

Colours refined(const Colours& colours, const std::array<Membership, kMeetingCount>& groups) {
  std::vector<std::vector<std::int32_t>> keys;
  for (const std::int32_t colour : colours) keys.push_back({colour});
  for (const Membership& group : groups) {
    std::map<std::int64_t, std::vector<std::int32_t>> met;  // colours in each group
    for (std::size_t q = 0; q < colours.size(); ++q) met[group[q]].push_back(colours[q]);
    std::map<std::int64_t, std::int32_t> numbers;
    std::vector<std::vector<std::int32_t>> contents;
    for (auto& [first, content] : met) {
      std::sort(content.begin(), content.end());
      numbers[first] = static_cast<std::int32_t>(contents.size());
      contents.push_back(content);
    }
    const Colours content_number = numbered(contents);
    for (std::size_t q = 0; q < colours.size(); ++q) {
      const std::int32_t number = numbers[group[q]];
      keys[q].push_back(content_number[static_cast<std::size_t>(number)]);
    }
  }
  return numbered(keys);
}

std::size_t count_of(const Colours& colours) {
  return colours.empty() ? 0 : static_cast<std::size_t>(*std::max_element(colours.begin(), colours.end())) + 1;
}

Colours all_different(std::int64_t replicas) {
  Colours out(static_cast<std::size_t>(replicas));
  for (std::size_t q = 0; q < out.size(); ++q) out[q] = static_cast<std::int32_t>(q);
  return out;
}

Colours classes(const Scenario& s, const DeviceMesh& mesh, const std::array<Membership, kMeetingCount>& groups, std::int64_t replicas) {
  if (s.extent == Extent::overlapped_pair) return {0};
  if (s.fidelity == Fidelity::full || s.perturbations.kernel_jitter > 0) return all_different(replicas);
  if (s.perturbations.none()) return Colours(static_cast<std::size_t>(replicas), 0);
  Colours colours = by_condition(s, mesh, replicas);
  for (;;) {
    Colours next = refined(colours, groups);
    if (count_of(next) == count_of(colours)) return colours;
    colours = std::move(next);
  }
}

// Per class, the part of the classes that it shares groups with: a union of all classes of every group.
Colours parts(const Colours& colours, const Membership& group, std::size_t class_count) {
  Colours root = all_different(static_cast<std::int64_t>(class_count));
  const auto root_of = [&](std::int32_t c) {
    while (root[static_cast<std::size_t>(c)] != c) c = root[static_cast<std::size_t>(c)];
    return c;
  };
  std::map<std::int64_t, std::int32_t> first;  // colour of each group's first member
  for (std::size_t q = 0; q < colours.size(); ++q) {
    const std::int32_t a = root_of(first.try_emplace(group[q], colours[q]).first->second), b = root_of(colours[q]);
    root[static_cast<std::size_t>(std::max(a, b))] = std::min(a, b);
  }
  Colours roots;
  for (std::size_t c = 0; c < class_count; ++c) roots.push_back(root_of(static_cast<std::int32_t>(c)));
  return numbered(roots);
}

}  // namespace

Folding fold(const Scenario& s, const DeviceMesh& mesh) {
  Folding folding;
  folding.replicas = s.extent == Extent::step ? mesh.gpus() / s.plan.pipeline_parallel : 1;
  const std::array<Membership, kMeetingCount> groups = groups_of(mesh, folding.replicas);
  const Colours colours = classes(s, mesh, groups, folding.replicas);
  for (std::size_t q = 0; q < colours.size(); ++q) {
    const auto colour = static_cast<std::size_t>(colours[q]);  // numbered by first appearance
    if (colour == folding.classes.size()) folding.classes.push_back({static_cast<std::int64_t>(q), 0, {}});
    ++folding.classes[colour].count;
  }
  for (std::size_t m = 0; m < kMeetingCount; ++m) {
    const Colours part = parts(colours, groups[m], folding.classes.size());
    folding.members[m].assign(count_of(part), 0);
    for (std::size_t c = 0; c < part.size(); ++c) {
      folding.classes[c].part[m] = part[c];
      ++folding.members[m][static_cast<std::size_t>(part[c])];
    }
  }
  return folding;
}

}  // namespace trillion
