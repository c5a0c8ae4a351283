// Denominators of the kernel benchmarks; see docs/BENCHMARKS.md.
#define _GNU_SOURCE
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/// Two lines of each of four blocks to come, as the kernel under test asks for them.
static inline __attribute__((always_inline)) void ask_for(
    const float *state, const uint32_t *blocks, size_t i, size_t count, size_t ahead)
{
    for (size_t part = 0; part < 4; part++) {
        const size_t tick = i + ahead - part * (ahead / 4);
        if (tick >= count) continue;
        const char *lines = (const char *)(state + (size_t)blocks[tick] * 128) + part * 128;
        __builtin_prefetch(lines, 0, 2);
        __builtin_prefetch(lines + 64, 0, 2);
    }
}

#if defined(__x86_64__)
#include <immintrin.h>
#define CLONES __attribute__((target_clones("avx2", "default")))

#define NAME kernel_avx512
#define MULADD(a, b, c) _mm512_add_ps(c, _mm512_mul_ps(a, b))
#define NEGMULADD(a, b, c) _mm512_sub_ps(c, _mm512_mul_ps(a, b))
#include "kernel.inc"
#undef NAME
#undef MULADD
#undef NEGMULADD

#define NAME kernel_avx512_fused
#define MULADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define NEGMULADD(a, b, c) _mm512_fnmadd_ps(a, b, c)
#include "kernel.inc"

static int has_avx512(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#else
#define CLONES
static int has_avx512(void) { return 0; }
#endif

// Eight lanes: gcc sends wider vectors than the machine has through memory.
typedef float lanes __attribute__((vector_size(32)));
typedef float loose __attribute__((vector_size(32), aligned(4)));
typedef int32_t masks __attribute__((vector_size(32)));
typedef uint32_t counts __attribute__((vector_size(32)));

#define SELECT(mask, a, b) ((lanes)(((masks)(a) & (mask)) | ((masks)(b) & ~(mask))))
#define LARGER(a, b) SELECT((a) > (b), a, b)
#define SMALLER(a, b) SELECT((a) < (b), a, b)
#define ALL(x) ((lanes){} + (x))
#define MAGNITUDE(a) ((lanes)((masks)(a) & 0x7fffffff))

/// Bit l of the result is lane l of `mask`: one byte a lane, and a multiplication that brings their
/// lowest bits together.
static inline __attribute__((always_inline)) uint16_t bits(masks mask)
{
    uint8_t bytes[8];
    uint64_t word;
    for (int l = 0; l < 8; l++) bytes[l] = (uint8_t)(mask[l] & 1);
    memcpy(&word, bytes, 8);
    return (uint16_t)(word * 0x0102040810204080ull >> 56);
}

/// The same in vector extensions, for processors without AVX-512.
CLONES static void kernel_plain(
    float *restrict state, const uint32_t *restrict blocks, const int32_t *restrict times,
    const float *restrict values, size_t count, const float *restrict parameters,
    uint16_t *restrict flags, size_t prefetch)
{
    const lanes zero = ALL(0.0f);
    for (size_t i = 0; i < count; i++) {
        if (prefetch) ask_for(state, blocks, i, count, prefetch);
        memset(flags + 4 * i, 0, 8);
        for (int half = 0; half < 2; half++) {
            lanes *restrict s = (lanes *)(state + (size_t)blocks[i] * 128) + half;
            const loose *p = (const loose *)parameters + half;
            lanes raw;
            memcpy(&raw, values + 16 * i + 8 * half, 32);
            const masks seen = (masks)s[2], time = (masks){} + times[i];
            const lanes mean = s[4], variance = s[6], slow_mean = s[8], slow_variance = s[10];
            const lanes floor = p[4], prior = p[6], decision = p[16], full = decision + decision;

            const masks given = raw == raw, fresh = (mean != mean) & given;
            const lanes value = SMALLER(LARGER(raw, ALL(-0x1p62f)), ALL(0x1p62f));
            // Subtracted without a sign, so that wrapping around is defined.
            const masks step = (masks)((counts)time - (counts)seen);
            const masks behind = (step <= 0) & (step > -3600000);
            const masks active = given & ~behind & ~fresh, used = active | fresh;
            const lanes elapsed = MAGNITUDE(__builtin_convertvector(step, lanes)) * 0.001f;

            const lanes spread = slow_variance + (floor * floor + 1e-12f);
            lanes deviation;
            for (int l = 0; l < 8; l++) deviation[l] = sqrtf(spread[l]);
            const lanes distance = value - slow_mean, z = distance / deviation;
            const masks unusual = MAGNITUDE(z) > p[8];

            const lanes minutes = SMALLER(elapsed, ALL(60.0f)) * (1.0f / 60);
            const lanes e = SMALLER(LARGER(z, ALL(-10.0f)), ALL(10.0f));
            const lanes rise = s[12] + (e - p[14]) * minutes, fall = s[14] - (e + p[14]) * minutes;
            const lanes rise0 = LARGER(rise, zero), fall0 = LARGER(fall, zero);
            const lanes up = SMALLER(rise0, full), down = SMALLER(fall0, full);
            const masks shifted = LARGER(up, down) > decision;

            const lanes limit = p[10] * deviation, least = zero - limit;
            const lanes low = LARGER(distance, least), clipped = SMALLER(low, limit);
            const lanes share = elapsed / (p[2] + elapsed), weight = SMALLER(share, ALL(0.125f));
            const lanes less = weight * p[12], slow = SELECT(unusual, less, weight);
            const lanes slow_step = slow * clipped;
            const lanes new_slow = (1.0f - slow) * (slow_variance + slow_step * clipped);
            const lanes fast = elapsed / (p[0] + elapsed), d = value - mean, fast_step = fast * d;
            const lanes new_variance = (1.0f - fast) * (variance + fast_step * d);
            const lanes new_mean = mean + fast_step, new_slow_mean = slow_mean + slow_step;

#define KEEP(old, new, first) SELECT(fresh, first, SELECT(active, new, old))
            s[0] = SELECT(used, value, s[0]);
            s[2] = SELECT(used, time, seen);
            s[4] = KEEP(mean, new_mean, value);
            s[6] = KEEP(variance, new_variance, zero);
            s[8] = KEEP(slow_mean, new_slow_mean, value);
            s[10] = KEEP(slow_variance, new_slow, prior * prior);
            s[12] = KEEP(s[12], up, zero);
            s[14] = KEEP(s[14], down, zero);
#undef KEEP
            flags[4 * i] |= bits(used) << 8 * half;
            flags[4 * i + 1] |= bits(unusual & active) << 8 * half;
            flags[4 * i + 2] |= bits(shifted & active) << 8 * half;
            flags[4 * i + 3] |= bits(given & behind & ~fresh) << 8 * half;
        }
    }
}

void tocsin_kernel(float *state, const uint32_t *blocks, const int32_t *times, const float *values,
                   size_t count, const float *p, uint16_t *flags, size_t prefetch)
{
#if defined(__x86_64__)
    if (has_avx512()) {
        kernel_avx512(state, blocks, times, values, count, p, flags, prefetch);
        return;
    }
#endif
    kernel_plain(state, blocks, times, values, count, p, flags, prefetch);
}

/// With fused multiply-add where there is AVX-512: what bit-for-bit equality costs.
void tocsin_kernel_fused(float *state, const uint32_t *blocks, const int32_t *times,
                         const float *values, size_t count, const float *p, uint16_t *flags,
                         size_t prefetch)
{
#if defined(__x86_64__)
    if (has_avx512()) {
        kernel_avx512_fused(state, blocks, times, values, count, p, flags, prefetch);
        return;
    }
#endif
    kernel_plain(state, blocks, times, values, count, p, flags, prefetch);
}

void tocsin_kernel_plain(float *state, const uint32_t *blocks, const int32_t *times,
                         const float *values, size_t count, const float *p, uint16_t *flags,
                         size_t prefetch)
{
    kernel_plain(state, blocks, times, values, count, p, flags, prefetch);
}

const char *tocsin_kernel_name(void)
{
    return has_avx512() ? "C, AVX-512 intrinsics" : "C, vector extensions";
}

/// Reads, changes and writes back every number once: what the memory can carry at best.
CLONES void tocsin_stream(float *buffer, size_t count)
{
    for (size_t i = 0; i < count; i++) buffer[i] = buffer[i] * 0.999f + 0.1f;
}

/// Zeroed pages, huge ones where there are, as the kernel under test has them.
void *tocsin_pages(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) return NULL;
    madvise(pages, bytes, MADV_HUGEPAGE);
    return pages;
}

void tocsin_release(void *pages, size_t bytes) { munmap(pages, bytes); }
