#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
/// Sixteen Float lanes: the operations that Swift's SIMD types lack, or turn into scalar calls.
/// Each is one line, inlined into Swift by LLVM; the ISA is that of the target that imports it.
///
/// There is no fused multiply-add here on purpose: without it every ISA gives the same bits.
typedef float lanes_float __attribute__((ext_vector_type(16)));
typedef int lanes_int __attribute__((ext_vector_type(16)));
typedef unsigned lanes_unsigned __attribute__((ext_vector_type(16)));
/// As they lie in memory: Swift aligns no type to more than 16 bytes.
typedef lanes_float lanes_stored_float __attribute__((aligned(16)));
typedef lanes_int lanes_stored_int __attribute__((aligned(16)));
#define LANES_INLINE static inline __attribute__((always_inline))

LANES_INLINE lanes_float lanes_sqrt(lanes_float v) { return __builtin_elementwise_sqrt(v); }
LANES_INLINE lanes_float lanes_abs(lanes_float v) { return __builtin_elementwise_abs(v); }
LANES_INLINE lanes_float lanes_max(lanes_float a, lanes_float b) { return a > b ? a : b; }
LANES_INLINE lanes_float lanes_min(lanes_float a, lanes_float b) { return a < b ? a : b; }
LANES_INLINE lanes_float lanes_from_int(lanes_int v) { return __builtin_convertvector(v, lanes_float); }
/// The lanes of `newer`, and those of `older` where that has no number.
LANES_INLINE lanes_float lanes_over(lanes_float newer, lanes_float older) { return newer == newer ? newer : older; }
/// `lanes` with another value in one of them, without a way through memory.
LANES_INLINE lanes_float lanes_with(lanes_float lanes, int lane, float value)
{
    const lanes_int numbers = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return numbers == lane ? (lanes_float)value : lanes;
}
/// Bit i of the result is the sign of lane i.
LANES_INLINE unsigned short lanes_bits(lanes_int mask)
{
    _Bool __attribute__((ext_vector_type(16))) bits =
        __builtin_convertvector(mask, _Bool __attribute__((ext_vector_type(16))));
    unsigned short result;
    __builtin_memcpy(&result, &bits, 2);
    return result;
}
/// Bit i of the result says that lane i of the vector `seen` lies `age` or more before `now`.
LANES_INLINE unsigned short lanes_aged(const void *seen, int now, int age)
{
    const lanes_int times = *(const lanes_stored_int *)seen;
    return lanes_bits((lanes_int)((unsigned)now - (lanes_unsigned)times) >= age);
}
/// One limit on each of sixteen lanes: a value between `low` and `high`, exclusive, that has been
/// the same for `still` seconds may break it. NaN where there is no such limit.
struct lanes_plane {
    lanes_stored_float low, high;
    lanes_stored_int still;
    /// Lanes that have a limit here, and which word of the marks it fills.
    unsigned short lanes, word;
};
/// One tick of sixteen lanes, and where it is remembered. Vectors hide behind `void`, because Swift
/// imports a pointer to one as opaque.
struct lanes_tick {
    /// Three vectors: the newest values, the seconds at which they were seen, and the seconds since
    /// which each has been the same.
    void *block;
    /// One vector.
    const void *lanes;
    /// As `lanes_plane`, and the sixteen words of marks that they fill.
    const void *planes;
    unsigned short *marks;
    int planes_count;
    int now;
    /// Seconds after which a lane that was not seen counts as changed.
    int gap;
    /// Lanes that carry something new; no other changes.
    unsigned short present;
};
/// Remembers a tick. Returns other than 0 where a mark changed.
LANES_INLINE int lanes_remember(struct lanes_tick tick)
{
    const lanes_int weights = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
    const lanes_int is_new = ((lanes_int)(int)tick.present & weights) == weights;
    const lanes_float value = *(const lanes_stored_float *)tick.lanes;
    lanes_stored_float *values = (lanes_stored_float *)tick.block;
    lanes_stored_int *times = (lanes_stored_int *)tick.block;
    const lanes_int before = times[1];
    // What was never seen lies further back than an int reaches.
    const lanes_int age = (lanes_int)((unsigned)tick.now - (lanes_unsigned)before);
    const lanes_int is_same = (values[0] == value) & (age <= tick.gap);
    const lanes_int start = is_same ? times[2] : (lanes_int)tick.now;
    values[0] = is_new ? value : values[0];
    times[1] = is_new ? (lanes_int)tick.now : before;
    times[2] = is_new ? start : times[2];

    const lanes_int still = (lanes_int)((unsigned)tick.now - (lanes_unsigned)start);
    const struct lanes_plane *planes = (const struct lanes_plane *)tick.planes;
    int changed = 0;
    for (int i = 0; i < tick.planes_count; i++) {
        const lanes_int is_within =
            (value <= planes[i].low) | (value >= planes[i].high) | (still < planes[i].still);
        const unsigned short lanes = tick.present & planes[i].lanes;
        const unsigned short marks = tick.marks[planes[i].word];
        const unsigned short next = (marks & ~lanes) | (lanes & ~lanes_bits(is_within));
        changed |= marks ^ next;
        tick.marks[planes[i].word] = next;
    }
    return changed;
}
/// One batch as the kernel sees it: plain pointers, checked by the caller once.
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

/// Asks for the cache lines of `size` bytes to come; nothing is read, so any address will do.
LANES_INLINE void lanes_ask(const void *address, long size)
{
    for (long place = 0; place < size; place += 64)
        __builtin_prefetch((const char *)address + place, 0, 3);
    // What begins in the middle of a line ends in another.
    __builtin_prefetch((const char *)address + size - 1, 0, 3);
}

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

/// Bytes of the disk that are left to others: the ledger lies beside this file, and comes first.
#define LANES_DISK_LEFT (64ull << 20)
/// Zeroed pages at the end of a file, with room on the disk behind them; NULL when there is none,
/// and the file is then as it was.
LANES_INLINE void *lanes_map_file(int file, size_t bytes, long *offset)
{
    struct stat status;
    if (fstat(file, &status) != 0) return NULL;
    *offset = status.st_size;
    struct statvfs disk;
    void *pages = MAP_FAILED;
    if (posix_fallocate(file, *offset, (off_t)bytes) == 0 && fstatvfs(file, &disk) == 0
        && disk.f_bavail * disk.f_frsize >= LANES_DISK_LEFT)
        pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, *offset);
    if (pages != MAP_FAILED) return pages;
    (void)!ftruncate(file, *offset);
    return NULL;
}
/// Gives the room on the disk back; the file keeps its size.
LANES_INLINE void lanes_unmap_file(int file, void *pages, size_t bytes, long offset)
{
    munmap(pages, bytes);
    (void)!fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, (off_t)bytes);
}
