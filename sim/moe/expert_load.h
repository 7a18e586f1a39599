// Which tokens go where, as numbers that a simulator of time needs: how uneven each layer's and micro-batch's load is, and how
// many nodes a token visits. Expert ranks and tokens; no GPUs, no time.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/moe/load_statistics.h"
#include "sim/spec/model.h"
#include "sim/spec/plan.h"
#include "sim/spec/training.h"

namespace trillion {

// The expert-parallel group, as routing sees it.
struct ExpertGroup {
  std::int64_t ranks = 1;
  std::int64_t ranks_per_node = 1;
  std::int64_t tokens_per_rank = 0;  // one micro-batch's tokens on one rank
};

// One micro-batch of one MoE layer. Ratios are to the mean over the group.
struct LayerRouting {
  double tokens_per_expert_max_over_mean = 1;
  double rank_load_max_over_mean = 1;  // token copies received by the busiest rank
  double scale_out_max_over_mean = 1;  // node-to-node payload of the busiest NIC (send or receive)
  double remote_nodes_per_token = 0;   // distinct other nodes that a token is sent to, mean
  double local_ranks_per_token = 0;    // copies that reach a GPU over NVLink (own node's other ranks + fan-out), mean per token
  double nodes_per_token = 0;          // distinct nodes, own one included where it holds a chosen expert, mean
  // What the two maxima are taken from, [rank of the group]; empty where every rank has the mean.
  std::vector<double> rank_load, scale_out;
  double tokens_per_expert_variation = 0;  // coefficient of variation
  // Of the (token, expert) pairs that the gate chose. `served`: rows that experts compute, below 1 where a capacity drops, above where
  // it pads. Ratios are to the mean rank's served rows; in a sample of ExpertLoad, to that of all samples.
  double dropped_share = 0, served = 1;
  double kept_per_token = 0;  // copies for experts on the GPU where they enter a node: over no wire, through the same buffers
};

// What the experts of one layer got: the report's routing.layers.
struct LayerLoad {
  std::int64_t layer = 0;               // number of the draw, or the file's
  LoadStatistics micro_batch;           // one micro-batch of the group, mean over the drawn ones
  LoadStatistics all_data;              // all domains together
  std::vector<LoadStatistics> domains;  // tokens of one domain alone
};

struct ExpertLoad {
  Balance balance = Balance::forced;
  std::vector<LayerRouting> samples;  // drawn (layer, micro-batch) pairs that were kept, at least one for an MoE model
  LayerRouting mean;                  // of all that were drawn
  std::vector<LayerLoad> layers;      // the drawn or measured ones; none where the loads are equal by decree
  // The same gate without the model's node limit; the mean's own where it has none.
  double free_nodes_per_token = 0, free_remote_nodes_per_token = 0;

  // The sample that stands for this layer and micro-batch: a fixed pseudo-random choice, the same for every run with one seed.
  const LayerRouting& at(std::int64_t layer, std::int64_t micro_batch) const;
  std::uint64_t seed = 0;
};

// How much is drawn: so many layers' routers, balanced and tabulated from some thousand tokens per domain, and of each so many
// micro-batches, whose mix of domains is drawn sequence by sequence. The tables' own noise is taken out and the tokens' noise put in
// (moe/load_statistics.h).
//
// ERROR of `mean` against all 58 layers x 120 micro-batches of DeepSeek-V3 at EP64, each with a router and a mix of its own (root mean
// square over 8 seeds), which in turn agree with every single token to 1 % (tests/moe/routing_tables_test.cpp). Layers that no bias evens
// out differ more, so each is drawn.
//                         drawn     busiest rank   busiest NIC   nodes    busiest expert   time on one core
//   loss_free             6 x 64       0.4 %          0.5 %      0.04 %       0.85 %        122 ms     (all: 1.4 s)
//   none                  58 x 2       0.7 %          0.4 %      0.03 %       0.8 %         223 ms     (all: 0.6 s)
//   auxiliary_sequence    58 x 2       0.1 %          0.1 %      0.01 %       0.3 %         210 ms     (all: 0.6 s)
struct RoutingSample {
  std::int64_t layers = 0, micro_batches = 0;
  std::int64_t kept = 0;  // of their routings, for steps to use: evenly spaced in the order of their busiest rank. 0: all
};
RoutingSample usual_sample(const Model& model, Balance balance);

// One thread, the same bytes for one seed. The answer depends on model.moe, training.routing, sequence length, expert placement and
// redundancy, group and seed alone, so a search over plans may keep it.
// `forced`: one sample, experts are equal by decree; the nodes follow from a gate without skew.
//
// REQUIRES: model.moe; balance is not `measured` (see expert_load_measured).
ExpertLoad expert_load(const Model& model, const Plan& plan, const Training& training, const ExpertGroup& group, std::uint64_t seed);
ExpertLoad expert_load(const Model& model, const Plan& plan, const Training& training, const ExpertGroup& group, std::uint64_t seed,
                       const RoutingSample& sample);

// Balance::measured: one sample per layer that occurs, experts without a row got nothing. Expert and rank ratios are the counts' own; where
// tokens meet (nodes per token, NICs) follows from a gate whose popularity reproduces the counts, without domains: counts have none.
// Throws InputError: expert out of range, negative or non-finite count, a layer without tokens, no rows.
// REQUIRES: model.moe, training.routing.loads.
ExpertLoad expert_load_measured(const Model& model, const Plan& plan, const Training& training, const ExpertGroup& group,
                                std::uint64_t seed);

}  // namespace trillion
