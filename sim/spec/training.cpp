#include "sim/spec/training.h"

#include "sim/spec/problems.h"

namespace trillion {

namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 31;

void check_optimizer(const Training& t, Problems& p) {
  const OptimizerState& s = t.optimizer_state;
  p.require(t.optimizer == "adamw", "optimizer", "accepted is adamw, found '" + t.optimizer + "'");
  p.require(s.master_weight_bytes == 0 || s.master_weight_bytes == 2 || s.master_weight_bytes == 4, "optimizer_state.master_weight_bytes",
            "accepted are 0 (no master copy), 2 and 4, found " + std::to_string(s.master_weight_bytes));
  const auto one_two_four = [&](const char* key, std::int64_t bytes) {
    p.require(bytes == 1 || bytes == 2 || bytes == 4, key, "accepted are 1, 2 and 4, found " + std::to_string(bytes));
  };
  one_two_four("optimizer_state.moment_bytes", s.moment_bytes);
  one_two_four("optimizer_state.gradient_bytes", s.gradient_bytes);
  one_two_four("optimizer_state.gradient_reduce_bytes", s.gradient_reduce_bytes);
}

void check_ramp(const Training& t, bool batch, Problems& p) {
  const BatchRamp& ramp = *t.batch_size_schedule;
  const bool from = p.within("batch_size_schedule.from", ramp.from, 1, kMost);
  const bool to = p.within("batch_size_schedule.to", ramp.to, 1, kMost);
  p.within("batch_size_schedule.stairs", ramp.stairs, 1, 1 << 16);
  p.require(ramp.tokens > 0 && ramp.tokens <= 1e18, "batch_size_schedule.tokens",
            "must be between 1 and 1e18, found " + exact_number_text(ramp.tokens));
  if (from && to) {
    p.require(ramp.from <= ramp.to, "batch_size_schedule.from",
              std::to_string(ramp.from) + " is more than batch_size_schedule.to, " + std::to_string(ramp.to));
  }
  if (to && batch) {
    p.require(ramp.to == t.global_batch_size, "batch_size_schedule.to",
              std::to_string(ramp.to) + " is not global_batch_size, " + std::to_string(t.global_batch_size) +
                  ", which is the batch after the ramp");
  }
  if (t.tokens > 0 && ramp.tokens > 0) {
    p.require(
        ramp.tokens <= t.tokens, "batch_size_schedule.tokens",
        quantity_text(ramp.tokens, Dimension::count) + " is more than the run's tokens, " + quantity_text(t.tokens, Dimension::count));
  }
}

}  // namespace

std::vector<std::string> Training::validate() const {
  Problems p;
  p.within("sequence_length", sequence_length, 1, kMost);
  const bool batch = p.within("global_batch_size", global_batch_size, 1, kMost);
  p.require(tokens >= 0 && tokens <= 1e18, "tokens",
            "must be between 0 (no run, one step only) and 1e18, found " + exact_number_text(tokens));
  check_optimizer(*this, p);
  if (batch_size_schedule) check_ramp(*this, batch, p);
  p.require((routing.balance == Balance::measured) == !routing.loads.empty(), "routing.balance",
            routing.loads.empty() ? "'measured' needs routing.loads, a CSV or JSON file of expert loads"
                                  : "routing.loads are only used with balance: measured");
  const Routing& r = routing;
  p.require(!r.capacity_factor || (*r.capacity_factor > 0 && *r.capacity_factor <= 1024), "routing.capacity_factor",
            "must be above 0 and at most 1024, found " + exact_number_text(r.capacity_factor.value_or(0)));
  p.require(!r.pad_to_capacity || r.capacity_factor, "routing.pad_to_capacity", "needs routing.capacity_factor, to which it pads");
  p.within("routing.bias_update_speed", r.bias_update_speed, 0.0, 1.0);
  p.within("routing.popularity_skew", routing.popularity_skew, 0.0, 10.0);
  p.within("routing.domain_skew", routing.domain_skew, 0.0, 10.0);
  p.within("routing.domains", routing.domains, 1, 1024);  // the gate routes some tokens of each, in every layer
  return p.take();
}

}  // namespace trillion
