// nccl-tests' output (NVIDIA/nccl-tests) as raw rows: every text layout since 2.0 and the JSON of `-J` (schema 1 to 3).
//
// Taken: operation, size, ranks and nodes, GPU, and the out-of-place time (in-place where that is N/A). `size` is the whole
// buffer as the collective's own definition has it, the same as our Collective::bytes. Columns are found by the header line:
//   before 2022-08   size count type [redop] [root] time algbw busbw error, twice
//   since            ... #wrong instead of error; `cputime` with -C; i_min i_max i_p99 i_cv% after each side with -I
// Prefixes of mpirun ("[1,0]<stdout>:") and srun ("0: ") are cut off; several tests in one file are several runs.
// Never taken: the environment ("env" of the JSON), which may hold secrets.
#pragma once

#include <string>

#include "calibration/fit/raw_file.h"

namespace trillion {

bool looks_like_nccl_tests(const std::string& text);

// Throw InputError. A JSON that was cut off gives the results that are whole.
RawFile parse_nccl_tests_text(const std::string& text, const std::string& name);
RawFile parse_nccl_tests_json(const std::string& text, const std::string& name);

}  // namespace trillion
