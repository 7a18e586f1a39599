// Which tokens go where, as numbers that a simulator of time needs: how uneven each layer's and micro-batch's load is, and how
// many nodes a token visits. Expert ranks and tokens; no GPUs, no time.
#pragma once

#include <cstdint>
#include <vector>

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
};

struct ExpertLoad {
  Balance balance = Balance::forced;
  std::vector<LayerRouting> samples;  // drawn (layer, micro-batch) pairs, at least one for an MoE model
  LayerRouting mean;

  // The sample that stands for this layer and micro-batch: a fixed pseudo-random choice, the same for every run with one seed.
  const LayerRouting& at(std::int64_t layer, std::int64_t micro_batch) const;
  std::uint64_t seed = 0;
};

// SAMPLING. 4 layers' routers are drawn and balanced; each is tabulated from 2048 tokens per domain and gives 12 micro-batches, whose mix
// of domains is drawn sequence by sequence. The tables' own noise is taken out and the tokens' noise put in (moe/dispatch.h). Error of
// `mean` for DeepSeek-V3 at EP64 (one standard deviation over 16 seeds): tokens per expert 1.7 %, rank load 0.8 %, scale-out 0.4 %; a
// single micro-batch's rank load varies by 5 %. One thread, the same bytes for one seed. About 60 ms; the answer depends on model.moe,
// training.routing, sequence length, expert placement, group and seed alone, so a search over plans may keep it.
// `forced`: one sample, the ratios are 1, the nodes follow from a gate without skew.
//
// REQUIRES: model.moe; balance is not `measured` (see expert_load_measured).
ExpertLoad expert_load(const Model& model, const Plan& plan, const Training& training, const ExpertGroup& group, std::uint64_t seed);

// Balance::measured: one sample per layer that occurs, experts without a row got nothing. Expert and rank ratios are the counts' own; where
// tokens meet (nodes per token, NICs) follows from a gate whose popularity reproduces the counts, without domains: counts have none.
// Throws InputError: expert out of range, negative or non-finite count, a layer without tokens, no rows. REQUIRES: model.moe.
ExpertLoad expert_load_measured(const std::vector<ExpertCount>& loads, const Model& model, const Plan& plan, const ExpertGroup& group,
                                std::uint64_t seed);

}  // namespace trillion
