// A plain CSV of GEMM timings: m,n,k,dtype_a,dtype_out,layout,time_us[,sm_clock_mhz], columns in any order, found by name.
//
//   # gpu: NVIDIA H100          optional comments; also software, source, load (burst, sustained)
//   m,n,k,dtype_a,dtype_out,layout,time_us,sm_clock_mhz
//   4096,7168,2048,bf16,bf16,TN,171.2,1755
//
// layout: forward | input_gradient | weight_gradient, or BLAS' letters: TN forward, NN input gradient, NT weight gradient.
// dtype_a: bf16 (fp16 runs at the same rate and is taken as bf16), fp8 (fp8_e4m3, e4m3), fp8_block, fp32. A weight gradient with
// dtype_out fp32 accumulates.
#pragma once

#include <string>

#include "calibration/fit/raw_file.h"

namespace trillion {

bool looks_like_gemm_csv(const std::string& text);

// Throws InputError with the line and column of what is wrong.
RawFile parse_gemm_csv(const std::string& text, const std::string& name);

}  // namespace trillion
