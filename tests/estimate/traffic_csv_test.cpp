// One line a transfer, as it was drawn and timed.
#include "sim/estimate/traffic_csv.h"

#include <gtest/gtest.h>

namespace trillion::traffic_csv_test {
namespace {

TEST(TrafficCsv, ALineForEveryTransfer) {
  ExchangeFlows flows;
  flows.transfers = {{true, true, 0, 8, Bytes{1000.4}, Seconds{12.34e-6}, Seconds{20e-6}},
                     {false, false, 8, 11, Bytes{2000}, Seconds{1e-6}, Seconds{1e-6}}};
  EXPECT_EQ(traffic_csv(flows),
            "direction,wire,from,to,bytes,alone_us,together_us\n"
            "dispatch,nic,0,8,1000,12.3,20.0\n"
            "combine,nvlink,8,11,2000,1.0,1.0\n");
}

}  // namespace
}  // namespace trillion::traffic_csv_test
