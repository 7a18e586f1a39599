// The lower half of the page: one function per section, each a heading and what stands below it; empty where there is nothing
// to say. Internal to the report room; report/page.h puts them together.
#pragma once

#include <string>
#include <string_view>

#include "sim/estimate/estimate.h"
#include "sim/estimate/exchange_flows.h"
#include "sim/report/text_style.h"

namespace trillion {

// Columns that every section indents its lines by, and that the label of a line takes.
inline constexpr int kPageIndent = 2;
inline constexpr int kPageLabel = 22;

// "\nMEMORY  per pipeline rank\n"
std::string page_heading(std::string_view title, std::string_view remark, const TextStyle& style);

// "  Time                  19.92 s\n", wrapped under the text.
std::string page_line(std::string_view label, std::string_view text, const TextStyle& style);

// Text without a label, wrapped.
std::string page_paragraph(const std::string& text, const TextStyle& style);

// " · " or " | "
std::string page_separator(const TextStyle& style);

std::string phases_section(const StepResult& step, const TextStyle& style);
std::string exposed_section(const StepResult& step, const TextStyle& style);
std::string compute_section(const StepResult& step, const TextStyle& style);
std::string memory_section(const StepResult& step, Bytes usable, const TextStyle& style);
std::string groups_section(const StepResult& step, const TextStyle& style);
std::string traffic_section(const StepResult& step, const TextStyle& style);
std::string routing_section(const Model& model, const RoutingResult& routing, const TextStyle& style);
std::string exchange_section(const ExchangeFlows& flows, const TextStyle& style);
std::string evidence_section(const Scenario& scenario, const StepResult& step, const TextStyle& style);

}  // namespace trillion
