// What the run does: sequence length, batches, tokens, optimizer, and how evenly tokens meet experts.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/spec/expert_counts.h"
#include "sim/spec/origin.h"

namespace trillion {

// Bytes per element of what the optimizer and the gradients hold.
struct OptimizerState {
  std::int64_t master_weight_bytes = 4;
  std::int64_t moment_bytes = 4;           // each of Adam's two moments; DeepSeek-V3 keeps BF16: 2
  std::int64_t gradient_bytes = 4;         // accumulated over micro-batches
  std::int64_t gradient_reduce_bytes = 4;  // on the wire
};

// The batch grows from `from` to `to` sequences over the first `tokens` tokens, in `steps` equal-token stairs.
struct BatchRamp {
  std::int64_t from = 0, to = 0;
  double tokens = 0;
  std::int64_t stairs = 8;
};

// How tokens meet experts in the simulated steps.
enum class Balance { forced, loss_free, auxiliary_sequence, auxiliary_batch, none, measured };
inline constexpr std::array<std::string_view, 6> kBalanceNames = {"forced",          "loss_free", "auxiliary_sequence",
                                                                  "auxiliary_batch", "none",      "measured"};

inline constexpr double kBiasUpdateSpeed = 0.001;  // gamma: DeepSeek-V3 report section 4.2 (first 14.3T tokens); Wang et al. Table 3

// Skew of the router before any balancing; the figures and their sources are in moe/gate.h.
struct Routing {
  Balance balance = Balance::loss_free;
  double popularity_skew = 0.6;  // standard deviation of the experts' log-popularity over the whole data
  double domain_skew = 1.1;      // ... of its drift from domain to domain
  std::int64_t domains = 16;
  double bias_update_speed = kBiasUpdateSpeed;  // of loss_free, a step of the bias; 0: frozen where it stands
  // An expert takes at most so many times its even share of a rank's tokens (moe/capacity.h); empty: all, nothing is dropped.
  std::optional<double> capacity_factor;
  bool pad_to_capacity = false;    // every expert gets exactly that many, empty rows where tokens are few
  std::vector<ExpertCount> loads;  // of Balance::measured, else empty
  Provenance provenance{Origin::assumed, "default of training.routing"};
};

struct Training {
  std::int64_t sequence_length = 0;    // tokens
  std::int64_t global_batch_size = 0;  // sequences, in the steady state
  double tokens = 0;                   // of the whole run
  std::string optimizer = "adamw";
  OptimizerState optimizer_state;
  std::optional<BatchRamp> batch_size_schedule;
  Routing routing;

  std::vector<std::string> validate() const;
};

}  // namespace trillion
