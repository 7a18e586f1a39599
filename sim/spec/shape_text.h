// Shapes as JSON lines (../shared/INTERFACE.md, "Shapes"): what `trillion time` is asked and what a raw file's row begins with.
//
//   {"op":"gemm","dtype":"bf16","m":4096,"n":7168,"k":2048,"layout":"forward","sms":112,"load":"sustained"}
//   {"op":"grouped_gemm","dtype":"bf16","m":[1024,1024],"n":4096,"k":7168}
//   {"op":"attention","dtype":"bf16","batch":1,"heads":128,"kv_heads":128,"queries":4096,"keys":4096,"qk_dim":192,"v_dim":128,
//    "causal":true,"direction":"forward"}
//   {"op":"memory_bound","kernel":"rms_norm","read_bytes":58720256,"written_bytes":58720256}
//   {"op":"collective","kind":"all_reduce","bytes":268435456,"ranks":16,"ranks_per_node":8}
//
// Optional: layout (forward), accumulate (false; C += A B in FP32), batch (1), kv_heads (heads), v_dim (qk_dim), causal (true),
// direction (forward), library (fastest; or flash), ranks_per_node (ranks: one node), scale_up_bytes (0), sms (all), load (burst).
//
// A line may carry keys of its own ("name", "time_s"); but an unknown key one slip away from a known one is an error.
#pragma once

#include <cstdint>
#include <string>

#include "sim/spec/json_line.h"
#include "sim/spec/kernel.h"

namespace trillion {

struct ShapeQuery {
  Shape shape;
  std::int64_t sms = 0;  // 0: all of the chip
  Load load = Load::burst;
};

// Throws InputError that points at the wrong key or value.
ShapeQuery read_shape(const JsonLine& line);

// The members of the shape in canonical order, without braces; read_shape is its inverse. The point's identity.
std::string shape_text(const ShapeQuery& query);

}  // namespace trillion
