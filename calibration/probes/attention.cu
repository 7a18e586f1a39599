// attention.jsonl: fused attention, forward and backward (see sdpa.h), each shape in a child process.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <set>
#include <vector>

#include "bench.h"
#include "check.h"
#include "child.h"
#include "filling.h"
#include "sdpa.h"
#include "session.h"

namespace {

using namespace probe;

constexpr const char* kPath = "cudnn-backend";
constexpr double kPatience_s = 60;

struct Point {
  AttentionShape shape;
  Load load = Load::kBurst;
  Row row() const { return shape.row(name(load), kPath); }
};

struct Heads {
  std::int64_t heads, kv_heads, qk_dim, v_dim;
};

// DeepSeek MLA whole and in tensor-parallel shares; Llama and Qwen GQA whole and by 8; MHA; heads of 64.
constexpr Heads kHeads[] = {{128, 128, 192, 128}, {32, 8, 128, 128},  {32, 32, 128, 128}, {64, 8, 128, 128},  {16, 16, 192, 128},
                            {8, 1, 128, 128},     {32, 32, 64, 64},   {96, 96, 128, 128}, {32, 32, 192, 128}, {16, 1, 128, 128},
                            {32, 8, 64, 64},      {12, 12, 128, 128}, {16, 16, 64, 64},   {128, 8, 128, 128}};

// Past this a point costs seconds: 128 heads of 192/128 at 32K keys is 44 forward.
constexpr double kMost_flops = 120e12;

AttentionShape shape_of(const Heads& h, std::int64_t batch, std::int64_t length) {
  AttentionShape s;
  s.batch = batch, s.heads = h.heads, s.kv_heads = h.kv_heads, s.qk_dim = h.qk_dim, s.v_dim = h.v_dim;
  s.queries = s.keys = length;
  return s;
}

// Shapes that no model has, for what a fit does between: heads, sharing, batch and length drawn.
AttentionShape drawn_shape(int i) {
  constexpr std::pair<std::int64_t, std::int64_t> kDims[] = {{128, 128}, {192, 128}, {64, 64}};
  const auto [qk_dim, v_dim] = kDims[i / 20 % 3];
  const std::int64_t kv_heads = std::int64_t{1} << static_cast<int>(5.99 * filling(i, 0));
  const std::int64_t sharing = qk_dim == 192 ? 1 : std::int64_t{1} << (i % 4);
  const std::int64_t length = static_cast<std::int64_t>(512 * std::exp2(5 * filling(i, 1))) / 64 * 64;
  const std::int64_t batch = std::int64_t{1} << static_cast<int>(2.99 * filling(i, 2));
  return shape_of({std::min<std::int64_t>(128, kv_heads * sharing), kv_heads, qk_dim, v_dim}, batch, length);
}

std::vector<Point> points() {
  std::vector<Point> out;
  std::set<std::string> seen;
  const auto add = [&](AttentionShape shape, Load load) {
    for (const bool backward : {false, true}) {
      shape.backward = backward;
      const Point point{shape, load};
      if (shape.flops() <= kMost_flops && seen.insert(point.row().members()).second) out.push_back(point);
    }
  };
  const auto at_length = [&](std::int64_t length) {
    int i = 0;
    for (const Heads& h : kHeads) {
      add(shape_of(h, std::max<std::int64_t>(1, ++i % 3 == 0 ? 8192 / length : 1), length), Load::kBurst);
    }
  };
  for (const std::int64_t length : {4096, 8192, 2048, 1024}) at_length(length);
  for (const Heads& h : kHeads) {
    if (&h - kHeads < 8) add(shape_of(h, 1, 4096), Load::kSustained);
  }
  for (int i = 0; i < 60; ++i) add(drawn_shape(i), Load::kBurst);
  // What context parallelism leaves: queries against another rank's keys, no mask.
  for (const Heads& h : kHeads) {
    for (const auto& [queries, keys] : {std::pair<std::int64_t, std::int64_t>{4096, 4096}, {2048, 8192}, {8192, 2048}}) {
      AttentionShape s = shape_of(h, 1, queries);
      s.keys = keys;
      s.causal = false;
      if (&h - kHeads < 6) add(s, Load::kBurst);
    }
  }
  for (const Heads& h : kHeads) add(shape_of(h, 1, 8192), Load::kSustained);
  at_length(16384);
  for (const Heads& h : kHeads) {
    add(shape_of(h, 1, 32768), Load::kBurst);
    if (h.heads <= 32) add(shape_of(h, 1, 65536), Load::kBurst);
    if (h.heads <= 16) add(shape_of(h, 1, 131072), Load::kBurst);
    add(shape_of(h, 4, 3072), Load::kBurst);
    add(shape_of(h, 2, 6144), Load::kBurst);
  }
  for (int i = 60; i < 240; ++i) {
    add(drawn_shape(i), Load::kBurst);
    if (i % 4 == 0) add(drawn_shape(i), Load::kSustained);
  }
  return out;
}

std::string answer(Bench& bench, const Point& point) {
  const int sets = std::clamp<int>(3 * bench.l2_bytes() / Sdpa::bytes_per_set(point.shape) + 1, 2, 8);
  const Sdpa sdpa(point.shape, sets);
  BenchOptions options;
  options.load = point.load;
  options.rotations = sets;
  options.spend_s = point.load == Load::kBurst ? 0.06 : 0.15;
  return bench.measure([&](cudaStream_t stream, int index) { sdpa.launch(stream, index); }, options).row().members();
}

int serve() {
  const auto list = points();
  std::unique_ptr<Bench> bench;
  return Child::serve([&](long number) {
    if (!bench) bench = std::make_unique<Bench>();
    return answer(*bench, list.at(static_cast<std::size_t>(number)));
  });
}

void body(Session& session) {
  const auto list = points();
  session.expect(static_cast<long>(list.size()));
  Child child(kPatience_s);
  for (std::size_t i = 0; i < list.size(); ++i) {
    session.point(list[i].row(), [&] { return Row::from_members(child.ask(static_cast<long>(i))); });
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--serve") == 0) return serve();
  return probe::run_probe(argc, argv, "attention", body);
}
