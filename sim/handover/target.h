// Frameworks that a plan can be handed over to.
#pragma once

#include <array>
#include <string_view>

namespace trillion {

enum class Target {
  megatron,         // NVIDIA/Megatron-LM: flags of pretrain_gpt.py
  megatron_bridge,  // NVIDIA-NeMo/Megatron-Bridge: a recipe function and dotted overrides
  torchtitan,       // pytorch/torchtitan: a Python function that returns Trainer.Config, and --section.option flags
  torchtitan_toml,  // the same up to v0.2.2, which read TOML files
  deepspeed,        // deepspeedai/DeepSpeed: ds_config.json
};
inline constexpr std::array<std::string_view, 5> kTargetNames = {"megatron", "megatron-bridge", "torchtitan", "torchtitan-toml",
                                                                 "deepspeed"};

}  // namespace trillion
