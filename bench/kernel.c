// Denominators of the kernel benchmarks; see docs/BENCHMARKS.md.
#define _GNU_SOURCE
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define CLONES __attribute__((target_clones("arch=haswell", "default")))

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

static inline float larger(float a, float b) { return a > b ? a : b; }
static inline float smaller(float a, float b) { return a < b ? a : b; }

/// The same in plain C, for processors without AVX-512: the compiler makes the vectors.
CLONES static void kernel_plain(
    float *restrict state, const uint32_t *restrict blocks, const int32_t *restrict times,
    const float *restrict values, size_t count, const float *restrict p,
    uint16_t *restrict flags, size_t prefetch)
{
    for (size_t i = 0; i < count; i++) {
        if (prefetch && i + prefetch < count) {
            const char *next = (const char *)(state + (size_t)blocks[i + prefetch] * 128);
            for (int line = 0; line < 8; line++) __builtin_prefetch(next + 64 * line, 1);
        }
        float *restrict s = state + (size_t)blocks[i] * 128;
        int32_t *restrict seen = (int32_t *)(s + 16);
        const float *restrict v = values + 16 * i;
        int32_t mark[16];
        for (int l = 0; l < 16; l++) {
            const float raw = v[l], value = smaller(larger(raw, -0x1p62f), 0x1p62f);
            const float mean = s[32 + l], slow_mean = s[64 + l], slow_variance = s[80 + l];
            const int32_t step = (int32_t)((uint32_t)times[i] - (uint32_t)seen[l]);
            const int given = raw == raw, fresh = (mean != mean) & given;
            const int behind = (step <= 0) & (step > -3600000);
            const int active = given & !behind & !fresh, used = active | fresh;
            const float elapsed = fabsf((float)step) * 0.001f;
            const float deviation = sqrtf(slow_variance + (p[32 + l] * p[32 + l] + 1e-12f));
            const float distance = value - slow_mean, z = distance / deviation;
            const int unusual = fabsf(z) > p[64 + l];
            const float minutes = smaller(elapsed, 60) * (1.0f / 60);
            const float e = smaller(larger(z, -10), 10);
            const float k = p[112 + l], h = p[128 + l], full = h + h;
            const float up = smaller(larger(s[96 + l] + (e - k) * minutes, 0), full);
            const float down = smaller(larger(s[112 + l] - (e + k) * minutes, 0), full);
            const int shifted = larger(up, down) > h;
            const float limit = p[80 + l] * deviation;
            const float clipped = smaller(larger(distance, -limit), limit);
            const float weight = smaller(elapsed / (p[16 + l] + elapsed), 0.125f);
            const float slow = unusual ? weight * p[96 + l] : weight;
            const float slow_step = slow * clipped;
            const float new_slow = (1 - slow) * (slow_variance + slow_step * clipped);
            const float fast = elapsed / (p[l] + elapsed), d = value - mean, fast_step = fast * d;
            const float new_variance = (1 - fast) * (s[48 + l] + fast_step * d);
            s[l] = used ? value : s[l];
            seen[l] = used ? times[i] : seen[l];
            s[32 + l] = fresh ? value : active ? mean + fast_step : mean;
            s[48 + l] = fresh ? 0 : active ? new_variance : s[48 + l];
            s[64 + l] = fresh ? value : active ? slow_mean + slow_step : slow_mean;
            s[80 + l] = fresh ? p[48 + l] * p[48 + l] : active ? new_slow : slow_variance;
            s[96 + l] = fresh ? 0 : active ? up : s[96 + l];
            s[112 + l] = fresh ? 0 : active ? down : s[112 + l];
            mark[l] = used | (unusual & active) << 1 | (shifted & active) << 2
                | (given & behind & !fresh) << 3;
        }
        for (int flag = 0; flag < 4; flag++) {
            uint16_t bits = 0;
            for (int l = 0; l < 16; l++) bits |= (uint16_t)((mark[l] >> flag & 1) << l);
            flags[4 * i + flag] = bits;
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
    return has_avx512() ? "C, AVX-512 intrinsics" : "C, vectorised by the compiler";
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
