#include "sim/handover/megatron_cut.h"

#include <numeric>

#include "sim/handover/megatron_words.h"

namespace trillion {
namespace {

constexpr const char* kPipeline = "--pipeline-model-parallel-size";
constexpr const char* kLayout = "--pipeline-model-parallel-layout";
constexpr const char* kChunks = "--num-virtual-stages-per-pipeline-rank";
constexpr const char* kChunkLayers = "--num-layers-per-virtual-pipeline-stage";
constexpr const char* kFirst = "--decoder-first-pipeline-num-layers";
constexpr const char* kLast = "--decoder-last-pipeline-num-layers";

std::string of(std::int64_t value, const char* what) { return std::to_string(value) + " " + what; }

class Cut {
 public:
  Cut(FlagReader& flags, const Model& model, MegatronPlan& to) : flags_(flags), model_(model), to_(to) {
    ranks_ = flags_.integer_or(kPipeline, 1);
    chunks_ = flags_.integer(kChunks);
    chunk_layers_ = flags_.integer(kChunkLayers);
    first_ = flags_.integer(kFirst, 0);
    last_ = flags_.integer(kLast, 0);
    embedding_ = flags_.has("--account-for-embedding-in-pipeline-split") ? 1 : 0;
    loss_ = flags_.has("--account-for-loss-in-pipeline-split") ? 1 : 0;
  }

  void read() {
    Plan& p = to_.plan;
    constexpr std::int64_t kMost = 1 << 14;
    if (ranks_ > kMost || chunks_.value_or(1) > kMost) return flags_.problem(kPipeline, "more pipeline stages than any machine has");
    p.pipeline_parallel = ranks_;
    p.layers_per_stage = flags_.find(kLayout) != nullptr ? by_layout() : by_rank();
    p.virtual_pipeline_stages = std::max<std::int64_t>(1, static_cast<std::int64_t>(p.layers_per_stage->size()) / ranks_);
    p.schedule = p.virtual_pipeline_stages > 1 ? ScheduleKind::interleaved_1f1b : ScheduleKind::one_f_one_b;
  }

 private:
  using Layers = std::vector<std::int64_t>;

  Layers unsaid() const { return Layers(static_cast<std::size_t>(ranks_), 0); }  // a problem was found; nobody looks at it

  Layers by_layout() {
    for (const char* other : {kChunks, kChunkLayers, kFirst, kLast}) {
      if (flags_.find(other) != nullptr) flags_.problem(other, std::string(other) + " beside " + kLayout + ", which says it all");
    }
    const auto text = flags_.text(kLayout);
    if (!text) return unsaid();
    std::string why;
    const auto cut = cut_of_megatron_layout(*text, why);
    if (!cut) {
      flags_.problem(kLayout, why);
      return unsaid();
    }
    const auto stages = static_cast<std::int64_t>(cut->layers_per_stage.size());
    const std::int64_t layers = std::accumulate(cut->layers_per_stage.begin(), cut->layers_per_stage.end(), std::int64_t{0});
    if (stages % ranks_ != 0) flags_.problem(kLayout, of(stages, "stages do not divide over ") + of(ranks_, "pipeline ranks"));
    if (layers != model_.num_hidden_layers) {
      flags_.problem(kLayout,
                     of(layers, "decoder layers in the layout, but the scenario's model has ") + std::to_string(model_.num_hidden_layers));
    }
    if (cut->mtp_layers != model_.num_nextn_predict_layers) {
      flags_.problem(kLayout,
                     of(cut->mtp_layers, "multi-token-prediction layers in the layout, but the scenario's model has ") +
                         std::to_string(model_.num_nextn_predict_layers),
                     "--set model.num_nextn_predict_layers=" + std::to_string(cut->mtp_layers));
    }
    if (!cut->ends_in_place) {
      to_.notes.push_back(std::string(kLayout) + ": embedding is taken to the first stage, multi-token prediction and loss to the last");
    }
    return cut->layers_per_stage;
  }

  // Layers of each pipeline rank; embedding and loss count as layers where the flags say so.
  Layers ranks_layers() {
    Layers layers(static_cast<std::size_t>(ranks_), 0);
    if (!first_ && !last_) {
      const std::int64_t all = model_.num_hidden_layers + embedding_ + loss_;
      if (all % ranks_ != 0) flags_.problem(kPipeline, of(all, "layers do not divide over ") + of(ranks_, "pipeline ranks"), kLayout);
      for (std::int64_t& n : layers) n = all / ranks_;
      return layers;
    }
    if (embedding_ + loss_ > 0) {
      flags_.problem(first_ ? kFirst : kLast, "uneven stages beside --account-for-..., which Megatron-LM refuses");
    }
    const std::int64_t left = model_.num_hidden_layers - first_.value_or(0) - last_.value_or(0);
    const std::int64_t between = ranks_ - (first_ ? 1 : 0) - (last_ ? 1 : 0);
    if (left < 0 || (between > 0 ? left % between != 0 : left != 0)) {
      flags_.problem(first_ ? kFirst : kLast, of(left, "layers are left for ") + of(between, "pipeline ranks"), kLayout);
      return layers;
    }
    for (std::int64_t& n : layers) n = between > 0 ? left / between : 0;
    if (first_) layers.front() = *first_;
    if (last_) layers.back() = *last_;
    return layers;
  }

  std::int64_t chunks(const Layers& ranks) {
    if (chunks_ && chunk_layers_) flags_.problem(kChunkLayers, std::string(kChunkLayers) + " beside " + kChunks + ": one of the two");
    if (chunks_) return *chunks_;
    if (!chunk_layers_) return 1;
    if (*chunk_layers_ <= ranks.front() && ranks.front() % *chunk_layers_ == 0) return ranks.front() / *chunk_layers_;
    flags_.problem(kChunkLayers, "chunks of " + of(*chunk_layers_, "layers do not divide the ") + of(ranks.front(), "of a pipeline rank"));
    return 1;
  }

  Layers by_rank() {
    const Layers ranks = ranks_layers();
    const std::int64_t chunks_of_rank = chunks(ranks);
    if (chunks_of_rank > 1 && ranks_ == 1) {
      flags_.problem(chunks_ ? kChunks : kChunkLayers, "chunks need a pipeline");
      return unsaid();
    }
    Layers stages;
    for (std::int64_t chunk = 0; chunk < chunks_of_rank; ++chunk) {
      for (const std::int64_t layers : ranks) {
        if (chunk == 0 && layers % chunks_of_rank != 0) {
          flags_.problem(chunks_ ? kChunks : kChunkLayers,
                         of(layers, "layers of a pipeline rank do not divide into ") + of(chunks_of_rank, "chunks"));
        }
        stages.push_back(layers / chunks_of_rank);
      }
    }
    stages.front() -= embedding_;
    stages.back() -= loss_;
    if (stages.front() < 0 || stages.back() < 0) flags_.problem(kPipeline, "a stage has less than no layer");
    return stages;
  }

  FlagReader& flags_;
  const Model& model_;
  MegatronPlan& to_;
  std::int64_t ranks_ = 1;
  std::optional<std::int64_t> chunks_, chunk_layers_, first_, last_;
  std::int64_t embedding_ = 0, loss_ = 0;
};

}  // namespace

void read_megatron_stages(FlagReader& flags, const Model& model, MegatronPlan& to) { Cut(flags, model, to).read(); }

}  // namespace trillion
