// Sections of the page, each from a step made by hand.
#include "sim/report/page_details.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/example_estimate.h"

namespace trillion::page_details_test {
namespace {

using testing::HasSubstr;
using testing::Not;

const TextStyle kAscii{44, false, false};
const TextStyle kPage{};

TEST(PageDetails, PhasesAreOneBarWithALegend) {
  const std::string text = phases_section(example::step(), kAscii);  // 40 columns of bar for 20 s
  EXPECT_THAT(text, HasSubstr("  ffbbbbw############################...oo\n"));
  EXPECT_THAT(text, HasSubstr("# forward + backward"));
  EXPECT_THAT(text, HasSubstr("14.0 s   70.0 %"));
  EXPECT_THAT(text, Not(HasSubstr("other")));  // zero
}

TEST(PageDetails, ExposedCommunicationIsAShareOfTheStep) {
  EXPECT_THAT(exposed_section(example::step(), kPage), HasSubstr("expert all-to-all         800 ms    4.0 %"));
  EXPECT_THAT(exposed_section(StepResult{}, kPage), HasSubstr("none"));
}

TEST(PageDetails, AnExchangeSaysWhatTheNetworkMakesOfIt) {
  ExchangeFlows flows;
  flows.groups = 32;
  flows.dispatch = {Seconds{2e-3}, Seconds{2e-3}, Seconds{2e-3}};
  flows.combine = {Seconds{4e-3}, Seconds{3e-3}, Seconds{3.4e-3}};
  const std::string text = exchange_section(flows, kPage);
  EXPECT_THAT(text, HasSubstr("flows, 32 groups"));
  EXPECT_THAT(text, HasSubstr("the busiest wire sets the pace"));
  EXPECT_THAT(text, HasSubstr("-15.0 %: the network evens it out"));
}

TEST(PageDetails, MemorySaysWhetherAndByHowMuchItFits) {
  EXPECT_THAT(memory_section(example::step(), 63.0 * kGiB, kPage), HasSubstr("63.0 usable: fits, 0.0 GiB free"));
  EXPECT_THAT(memory_section(example::step(), 60.0 * kGiB, kPage), HasSubstr("60.0 usable: DOES NOT FIT, 3.0 GiB too much"));
}

TEST(PageDetails, MemoryHasOneRowPerRank) {
  EXPECT_THAT(memory_section(example::step(), 80.0 * kGiB, kPage),
              HasSubstr("  rank  parameters  gradients  optimizer  activations  in flight  buffers  overhead  peak  free\n"
                        "     0         4.0        8.0       16.0         30.0         17      2.0       3.0  63.0  17.0\n"
                        "     1         4.0        8.0       16.0         25.0         17      2.0       3.0  58.0  22.0\n"));
}

TEST(PageDetails, EvidenceAddsUpByOriginAndMarksExtrapolation) {
  const std::string text = evidence_section(example::scenario(), example::step(), kPage);
  EXPECT_THAT(text, HasSubstr("measured 60.0 %, paper 30.0 %, vendor 0.0 %, assumed 10.0 %"));
  EXPECT_THAT(text, HasSubstr("combine *"));
  EXPECT_THAT(text, HasSubstr("* asked beyond the range"));
}

TEST(PageDetails, EvidenceSumsUpWhatItDoesNotList) {
  StepResult step = example::step();
  step.origins.assign(20, {"kernel", {Origin::measured, "trace"}, 0.05, false});
  EXPECT_THAT(evidence_section(example::scenario(), step, kPage), HasSubstr("and 6 more, together 30.0 %"));
}

TEST(PageDetails, DenseModelsHaveNoRouting) {
  Model dense = example::model();
  dense.moe.reset();
  EXPECT_EQ(routing_section(dense, {}, kPage), "");
  EXPECT_THAT(routing_section(example::model(), example::step().routing, kPage), HasSubstr("1.08 x the mean rank's tokens"));
}

TEST(PageDetails, RoutingSaysHowUnevenAndWhatTheLimitSaves) {
  RoutingResult routing = example::step().routing;
  const std::string text = routing_section(example::model(), routing, kPage);
  EXPECT_THAT(text, HasSubstr("1.90 x the mean expert's tokens in a micro-batch, coefficient of variation"));
  EXPECT_THAT(text, HasSubstr("1.04 x over all data, up to 9.1 x in one domain alone"));
  EXPECT_THAT(text, HasSubstr("it would visit 5.30 nodes; 94.5 KiB between nodes"));
  EXPECT_THAT(text, Not(HasSubstr("dropped")));
  routing.dropped_share = 0.125;
  routing.served_rows = 0.875;
  EXPECT_THAT(routing_section(example::model(), routing, kPage), HasSubstr("12.5 % of the (token, expert) pairs are dropped"));
  routing.limited = false;
  EXPECT_THAT(routing_section(example::model(), routing, kPage), Not(HasSubstr("without node limit")));
}

}  // namespace
}  // namespace trillion::page_details_test
