#pragma once
/// Sixteen Float lanes: the operations that Swift's SIMD types lack, or turn into scalar calls.
/// Each is one line, inlined into Swift by LLVM; the ISA is that of the target that imports it.
typedef float lanes_float __attribute__((ext_vector_type(16)));
typedef int lanes_int __attribute__((ext_vector_type(16)));
#define LANES_INLINE static inline __attribute__((always_inline))

LANES_INLINE lanes_float lanes_sqrt(lanes_float v) { return __builtin_elementwise_sqrt(v); }
LANES_INLINE lanes_float lanes_abs(lanes_float v) { return __builtin_elementwise_abs(v); }
LANES_INLINE lanes_float lanes_max(lanes_float a, lanes_float b) { return a > b ? a : b; }
LANES_INLINE lanes_float lanes_min(lanes_float a, lanes_float b) { return a < b ? a : b; }
/// a*b + c; fused only where the target has it.
LANES_INLINE lanes_float lanes_fma(lanes_float a, lanes_float b, lanes_float c)
{
#ifdef __FMA__
    return __builtin_elementwise_fma(a, b, c);
#else
    return a * b + c;
#endif
}
LANES_INLINE lanes_float lanes_from_int(lanes_int v) { return __builtin_convertvector(v, lanes_float); }
/// Bit i of the result is the sign of lane i.
LANES_INLINE unsigned short lanes_bits(lanes_int mask)
{
    _Bool __attribute__((ext_vector_type(16))) bits =
        __builtin_convertvector(mask, _Bool __attribute__((ext_vector_type(16))));
    unsigned short result;
    __builtin_memcpy(&result, &bits, 2);
    return result;
}
LANES_INLINE void lanes_prefetch(const void *address) { __builtin_prefetch(address, 1); }
