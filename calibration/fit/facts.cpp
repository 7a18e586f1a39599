#include "calibration/fit/facts.h"

#include <array>

namespace trillion {
namespace {

Chip read_chip(YamlReader& reader) {
  Chip chip;
  chip.sms = reader.integer("sms");
  chip.peak_bf16 = reader.quantity<FlopsPerSecond>("peak_bf16");
  chip.peak_fp8 = reader.quantity<FlopsPerSecond>("peak_fp8", FlopsPerSecond{});
  chip.memory_bandwidth = reader.quantity<BytesPerSecond>("memory_bandwidth");
  chip.nvlink = reader.quantity<BytesPerSecond>("nvlink");
  chip.nic = reader.quantity<BytesPerSecond>("nic");
  chip.provenance = reader.provenance();
  return chip;
}

struct FigureReader {
  YamlReader& stack;

  template <class T>
  void operator()(const char* name, Figure<T>& figure) const {
    auto reader = stack.optional_mapping(name);
    if (!reader) return;
    if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      figure.value = reader->texts("value").value_or(T{});
    } else if constexpr (std::is_same_v<T, std::vector<TorchMemorySetting>>) {
      figure.value = reader->choices<TorchMemorySetting>("value", kTorchMemorySettingNames).value_or(T{});
    } else if constexpr (std::is_same_v<T, std::vector<UnfusedPart>>) {
      figure.value = reader->choices<UnfusedPart>("value", kUnfusedPartNames).value_or(T{});
    } else if constexpr (std::is_same_v<T, Framework>) {
      figure.value = reader->choice<Framework>("value", kFrameworkNames);
    } else if constexpr (std::is_same_v<T, Nvls>) {
      figure.value = reader->choice<Nvls>("value", kNvlsNames);
    } else if constexpr (std::is_same_v<T, AttentionLibrary>) {
      figure.value = reader->choice<AttentionLibrary>("value", kAttentionLibraryNames);
    } else if constexpr (std::is_same_v<T, DType>) {
      figure.value = reader->choice<DType>("value", kDTypeNames);
    } else if constexpr (std::is_same_v<T, double>) {
      figure.value = reader->number("value");
    } else if constexpr (std::is_same_v<T, std::int64_t>) {
      figure.value = reader->integer("value");
    } else {
      figure.value = reader->template quantity<T>("value");
    }
    figure.provenance = reader->provenance();
  }
};

}  // namespace

Facts read_facts(YamlDocument document) {
  Diagnostics diagnostics;
  YamlReader reader = YamlReader::open(std::move(document), diagnostics);
  Facts facts;
  facts.gpu = reader.text("gpu", std::string());
  facts.software = reader.text("software", std::string());
  for (YamlReader& borrow : reader.mappings("borrow")) {
    facts.borrow.push_back(
        {borrow.text("folder"), borrow.texts("ops").value_or(std::vector<std::string>{}), borrow.boolean("same_chip", false)});
  }
  if (auto chip = reader.optional_mapping("chip")) facts.chip = read_chip(*chip);
  if (auto links = reader.optional_mapping("links")) {
    facts.links = AchievedLinks{links->quantity<BytesPerSecond>("nvlink"), links->quantity<BytesPerSecond>("nic"), links->provenance()};
  }
  // Not given, until the file gives it: some figures have a source of their own by default.
  for_each_figure(facts.stack, [](const char*, auto& figure) { figure.provenance.source.clear(); });
  if (auto stack = reader.optional_mapping("stack")) for_each_figure(facts.stack, FigureReader{*stack});
  reader.finish();
  diagnostics.throw_if_any();
  return facts;
}

}  // namespace trillion
