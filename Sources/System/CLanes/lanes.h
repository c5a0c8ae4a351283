#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <stddef.h>
#include <sys/mman.h>
/// Sixteen Float lanes: the operations that Swift's SIMD types lack, or turn into scalar calls.
/// Each is one line, inlined into Swift by LLVM; the ISA is that of the target that imports it.
///
/// There is no fused multiply-add here on purpose: without it every ISA gives the same bits.
typedef float lanes_float __attribute__((ext_vector_type(16)));
typedef int lanes_int __attribute__((ext_vector_type(16)));
#define LANES_INLINE static inline __attribute__((always_inline))

LANES_INLINE lanes_float lanes_sqrt(lanes_float v) { return __builtin_elementwise_sqrt(v); }
LANES_INLINE lanes_float lanes_abs(lanes_float v) { return __builtin_elementwise_abs(v); }
LANES_INLINE lanes_float lanes_max(lanes_float a, lanes_float b) { return a > b ? a : b; }
LANES_INLINE lanes_float lanes_min(lanes_float a, lanes_float b) { return a < b ? a : b; }
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

/// Zeroed pages, huge ones where the kernel has them; NULL when there is no memory.
LANES_INLINE void *lanes_map(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return NULL;
    madvise(pages, bytes, MADV_HUGEPAGE);
    return pages;
}
/// Moves page tables, not bytes: growing a gigabyte costs what growing a page costs.
LANES_INLINE void *lanes_remap(void *pages, size_t old_bytes, size_t bytes)
{
    void *moved = mremap(pages, old_bytes, bytes, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED) return NULL;
    madvise(moved, bytes, MADV_HUGEPAGE);
    return moved;
}
LANES_INLINE void lanes_unmap(void *pages, size_t bytes) { munmap(pages, bytes); }
