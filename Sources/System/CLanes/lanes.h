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
/// One batch as the kernel sees it: plain pointers, checked by the caller once. Vectors hide behind
/// `void`, because Swift imports a pointer to one as opaque.
struct lanes_batch {
    /// Block b is the eight vectors from `state + b * 8`: last, seen (integers), mean, variance,
    /// slow mean, slow variance, CUSUM up, CUSUM down.
    void *state;
    const unsigned *blocks;
    const int *times;
    /// One vector a tick.
    const void *values;
    /// Sixteen vectors, in the order of `LaneParameters.vectors`.
    const void *parameters;
    /// Four words a tick, in the order of `TickFlags`.
    unsigned short *flags;
    long count;
    /// Ticks to look ahead, a multiple of four; 0 where the state fits the cache.
    long prefetch;
};

/// 4 or 3 where the processor and the system run x86-64-v4 or v3, 1 elsewhere.
LANES_INLINE int lanes_isa(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("x86-64-v4") ? 4 : __builtin_cpu_supports("x86-64-v3") ? 3 : 1;
#else
    return 1;
#endif
}

/// Asks for a quarter of the lines of each of four blocks to come, into the second-level cache.
///
/// Tick i asks for the first two lines of the block `ahead` ticks on, the next two of the one three
/// quarters of that on, and so forth, so that every block is asked for in four parts. All eight at
/// once would wait behind one page walk, and the few slots for lines on their way with them.
LANES_INLINE void lanes_prefetch(const void *state, const unsigned *blocks, long i, long count, long ahead)
{
    const long quarter = ahead >> 2;
    const int all = i + ahead < count;
#pragma clang loop unroll(full)
    for (int part = 0; part < 4; part++) {
        const long tick = i + ahead - part * quarter;
        if (!all && tick >= count) continue;
        const char *lines = (const char *)state + (size_t)blocks[tick] * 512 + part * 128;
        __builtin_prefetch(lines, 0, 2);
        __builtin_prefetch(lines + 64, 0, 2);
    }
}

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
