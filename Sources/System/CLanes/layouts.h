#pragma once
#include "lanes.h"
/// Text in vectors: what a message is compared with, and what becomes of the digits in it.
typedef unsigned char lanes_text __attribute__((ext_vector_type(16)));
/// The same wherever it lies.
typedef lanes_text lanes_loose_text __attribute__((aligned(1)));
typedef unsigned short lanes_short __attribute__((ext_vector_type(32)));
typedef double lanes_double __attribute__((ext_vector_type(8)));
/// As they lie in memory.
typedef lanes_double lanes_stored_double __attribute__((aligned(8)));

/// What hardly ever is so; what comes of it may be kept in memory meanwhile.
#define LANES_RARE(condition) __builtin_expect(!!(condition), 0)
/// Bytes at the end of a text that are read in a copy: 64, and the sixteen before a number's end.
enum { lanes_tail = 80 };
/// What follows the literal of a step.
enum {
    /// A number of the form that is expected, and the step behind it is the next in memory, so that
    /// nothing waits for reading where that is.
    lanes_step_straight,
    /// A number of the form that is expected.
    lanes_step_number,
    /// A number of any form.
    lanes_step_open,
    /// More literal bytes.
    lanes_step_more,
    /// Labels, whose end somebody else must find.
    lanes_step_labels,
    /// The end of the message.
    lanes_step_end,
    /// Something that must be looked at.
    lanes_step_question,
};
/// What stands behind the literal of a step, of all that the owner knows of.
enum { lanes_slot_value };
/// One step through a message: 32 bytes as they are expected, a literal and often a number in the
/// form that it had before.
struct lanes_step {
    /// Text fits if no byte is below the least, and none above it by more than it may be: by 0 for a
    /// byte that is given, 9 for a digit, 255 for any.
    lanes_text least[2], above[2];
    /// By digit, of sixteen: which of the sixteen bytes before the number's end it is, or 255. Those
    /// before a dot go over it.
    lanes_text source;
    double divisor;
    /// Of a time with more than fifteen digits: what the first are worth, which stand as they are. No
    /// step that is straight has one.
    long base;
    /// Bytes of the literal and of the number that is expected.
    int advance;
    /// The first of the steps that may follow, and the next that may stand here instead: distances in
    /// bytes from the first of all, or -1. In place of a child an end has its number.
    int child, sibling;
    /// What follows, as above; what stands there at all, which is for the owner; the literal's bytes.
    unsigned char kind, slot, length;
};
_Static_assert(sizeof(struct lanes_step) == 112, "less than two lines of the cache");

/// Bit i says that byte i of two times 32 is the same.
LANES_INLINE unsigned lanes_same(const void *one, const void *other)
{
    typedef unsigned char bytes __attribute__((ext_vector_type(32), aligned(1)));
    _Bool __attribute__((ext_vector_type(32))) bits = __builtin_convertvector(
        *(const bytes *)one == *(const bytes *)other, _Bool __attribute__((ext_vector_type(32))));
    unsigned result;
    __builtin_memcpy(&result, &bits, 4);
    return result;
}
/// Whether those bytes of a text that count, 255 each, are those of a key, in which the others are 0.
LANES_INLINE int lanes_is_key(lanes_text low, lanes_text high, lanes_text key_low, lanes_text key_high,
    lanes_text low_counts, lanes_text high_counts)
{
    _Bool __attribute__((ext_vector_type(16))) bits = __builtin_convertvector(
        ((low & low_counts) == key_low) & ((high & high_counts) == key_high), _Bool __attribute__((ext_vector_type(16))));
    unsigned short result;
    __builtin_memcpy(&result, &bits, 2);
    return result == 0xFFFF;
}
/// Whether a text begins with the literal of a step.
LANES_INLINE int lanes_begins(const void *text, const struct lanes_step *step)
{
    return (~lanes_same(text, step->least) & ((1u << step->length) - 1)) == 0;
}
/// Whether 32 bytes of text fit a step.
LANES_INLINE int lanes_fits(const void *text, const struct lanes_step *step)
{
    typedef unsigned char bytes __attribute__((ext_vector_type(32), aligned(1)));
    const bytes over = __builtin_elementwise_sub_sat(
        *(const bytes *)text - *(const bytes *)step->least, *(const bytes *)step->above);
    return __builtin_reduce_or(over) == 0;
}
/// Bit i says that byte i is no digit.
LANES_INLINE unsigned lanes_others(const void *text)
{
    const lanes_text digits = *(const lanes_loose_text *)text - (lanes_text)'0';
    _Bool __attribute__((ext_vector_type(16))) bits =
        __builtin_convertvector(digits > (lanes_text)9, _Bool __attribute__((ext_vector_type(16))));
    unsigned short result;
    __builtin_memcpy(&result, &bits, 2);
    return result;
}
/// Bytes one place on.
LANES_INLINE lanes_text lanes_over_dot(lanes_text text)
{
    const lanes_text none = 0;
    return __builtin_shufflevector(none, text, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30);
}
/// The digits of a number that ends at `end`, the last one last, in the lower halves of the bytes; what
/// is in the upper ones of those that are none is not said.
LANES_INLINE lanes_text lanes_picked(const void *end, lanes_text source)
{
    const lanes_text text = *(const lanes_loose_text *)((const char *)end - 16);
#if defined(__SSSE3__)
    typedef char bytes __attribute__((vector_size(16)));
    return (lanes_text)__builtin_ia32_pshufb128((bytes)text, (bytes)source);
#else
    // Each is where it is wanted, or one place ahead.
    const lanes_text places = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return (text & (lanes_text)(source == places)) | (lanes_over_dot(text) & (lanes_text)(source == places - 1));
#endif
}
/// The same of a number of up to fifteen bytes without sign or exponent, wherever it ends, and the
/// power of ten to divide it by. Answers its width, or 0 where another thing stands there.
LANES_INLINE long lanes_number(const void *text, void *digits, double *divisor)
{
    // From place k on, k masks of a digit at the end of sixteen.
    static const unsigned char tops[33] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 0};
    static const double powers[16] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
        1e12, 1e13, 1e14, 1e15};
    const unsigned char *byte = (const unsigned char *)text;
    const unsigned others = lanes_others(text);
    const long whole = __builtin_ctz(others | 0x10000);
    if (LANES_RARE(whole == 0 || whole > 15 || (whole > 1 && byte[0] == '0'))) return 0;
    long width = whole, part = whole, power = 0;
    if (byte[whole] == '.') {
        width = __builtin_ctz((others & (others - 1)) | 0x10000);
        power = part = width - whole - 1;
        if (LANES_RARE(part == 0 || width > 15)) return 0;
    }
    if (LANES_RARE((byte[width] | 0x20) == 'e')) return 0;
    const lanes_text fraction = *(const lanes_loose_text *)(tops + part);
    const lanes_text ahead = *(const lanes_loose_text *)(tops + width) & ~*(const lanes_loose_text *)(tops + part + 1);
    const lanes_text bytes = *(const lanes_loose_text *)(byte + width - 16);
    *(lanes_text *)digits = (bytes & fraction) | lanes_over_dot(bytes & ahead);
    *divisor = powers[power];
    return width;
}
/// Where a passage through a message stands.
struct lanes_walk {
    /// In the text, the bytes to the next step, and the numbers so far.
    long position, step, ordinal;
    /// What the first digits of a time were worth that was met.
    long base;
    /// Where labels begin that were met; of an end, its number.
    long found;
    /// Where labels that are likely would begin, and how many bytes they have; 0 where none are known.
    long labels_start, labels_count;
    /// Whether they were met.
    long has_labels;
    /// The first of the steps at which a number of another form stood than was expected, where, and how
    /// wide it is; 0 where there was none.
    long missed, missed_position, missed_width;
};
/// Whether 32 bytes or more are the same; the last ones overlap those before them.
LANES_INLINE int lanes_equal(const void *one, const void *other, long count)
{
    typedef unsigned char bytes __attribute__((ext_vector_type(32), aligned(1)));
    const long last = count - 32;
    bytes difference = *(const bytes *)((const char *)one + last) ^ *(const bytes *)((const char *)other + last);
    for (long place = 0; place < last; place += 32)
        difference |= *(const bytes *)((const char *)one + place) ^ *(const bytes *)((const char *)other + place);
    return __builtin_reduce_or(difference) == 0;
}
/// Goes on until something else than a number or labels that are likely stands there. Answers what that
/// is as `lanes_step_…`; where the next step does not fit, a question. Puts aside, by number, sixteen
/// digits and what they are to be divided by.
///
/// Nothing checks that the `count` bytes of text go on: before them sixteen bytes must be readable,
/// unless the first number ends behind as many, and behind them 64 zeros. Where there is room for a
/// `tail`, the last `lanes_tail` bytes are read there, so that the zeros are needed behind it alone, and
/// no byte outside the text is read. No literal may hold a zero, and all of the likely labels lie within
/// the text.
LANES_INLINE int lanes_follow(struct lanes_walk *walk, const struct lanes_step *first, const void *all_text,
    long count, void *tail, void *all_digits, double *divisors, const void *labels)
{
    const char *text = (const char *)all_text;
    if (tail) __builtin_memcpy(tail, text + count - lanes_tail, lanes_tail);
    // From here on less than 64 bytes are left: a literal, a number and what is compared beyond.
    const char *limit = tail ? text + count - 64 : (const char *)-1;
    const char *steps = (const char *)first;
    const char *place = text + walk->position;
    lanes_text *digits = (lanes_text *)all_digits + walk->ordinal;
    double *divisor = divisors + walk->ordinal;
    long next = walk->step;
    int answer = lanes_step_question;
    for (;;) {
        if (LANES_RARE(place > limit)) {
            const char *copied = (const char *)tail + lanes_tail - count;
            place += copied - text;
            text = copied;
            limit = (const char *)-1;
        }
        const struct lanes_step *step = (const struct lanes_step *)(steps + next);
        const char *end = place + step->advance;
        if (LANES_RARE(!lanes_fits(place, step))) {
            // Perhaps a number of another form. What is seldom read again is not kept for it.
            __asm__("" ::: "memory");
            if (step->kind > lanes_step_number || step->slot != lanes_slot_value || !lanes_begins(place, step)) break;
            // The same literal, and the form of messages that go on apart.
            const struct lanes_step *other = (const struct lanes_step *)(steps + step->sibling);
            if (step->sibling >= 0 && other->length == step->length && other->kind <= lanes_step_number
                && lanes_fits(place, other)) {
                next = step->sibling;
                continue;
            }
            end = place + step->length;
            const long width = lanes_number(end, digits, divisor);
            if (width == 0) break;
            if (walk->missed_width == 0) {
                walk->missed = next;
                walk->missed_position = end - text;
                walk->missed_width = width;
            }
            place = end + width;
            next = step->child;
            digits++;
            divisor++;
            continue;
        }
        // Each is more likely than the next, and none so rare that it might wait for memory.
        if (__builtin_expect_with_probability(step->kind == lanes_step_straight, 1, 0.7)) {
            *digits++ = lanes_picked(end, step->source);
            *divisor++ = step->divisor;
            place = end;
            next += sizeof *step;
            continue;
        }
        if (step->kind == lanes_step_number) {
            *digits = lanes_picked(end, step->source);
            *divisor = step->divisor;
            walk->base |= step->base;
            place = end;
        } else if (__builtin_expect(step->kind == lanes_step_open, 1)) {
            const long width = lanes_number(end, digits, divisor);
            if (width == 0) break;
            place = end + width;
        } else if (step->kind == lanes_step_more) {
            place = end;
            next = step->child;
            continue;
        } else if (step->kind == lanes_step_labels && walk->labels_count > 0
            && end - text == walk->labels_start && lanes_equal(end, labels, walk->labels_count)) {
            place = end + walk->labels_count;
            next = step->child;
            walk->labels_count = 0;
            walk->has_labels = 1;
            continue;
        } else {
            const int is_end = step->kind == lanes_step_end;
            const long position = end - text;
            if (is_end && position != count) break;
            walk->found = is_end ? step->child : position;
            answer = step->kind;
            break;
        }
        next = step->child;
        digits++;
        divisor++;
    }
    walk->position = place - text;
    walk->ordinal = divisor - divisors;
    walk->step = next;
    return answer;
}
/// Of 32 numbers the first, third, … times `factor` and the one behind it.
LANES_INLINE lanes_int lanes_paired(lanes_short numbers, short factor)
{
#if defined(__AVX512BW__)
    typedef short whole __attribute__((vector_size(64)));
    const whole factors = (whole)(lanes_int)(factor | 1 << 16);
    return (lanes_int)__builtin_ia32_pmaddwd512((whole)numbers, factors);
#elif defined(__AVX2__)
    typedef short half __attribute__((vector_size(32)));
    typedef int ints __attribute__((ext_vector_type(8)));
    const half factors = (half)(ints)(factor | 1 << 16);
    union { lanes_short all; half parts[2]; } these = {numbers};
    union { half parts[2]; lanes_int all; } result;
    for (int i = 0; i < 2; i++) result.parts[i] = (half)__builtin_ia32_pmaddwd256(these.parts[i], factors);
    return result.all;
#elif defined(__SSE2__)
    typedef short quarter __attribute__((vector_size(16)));
    typedef int ints __attribute__((ext_vector_type(4)));
    const quarter factors = (quarter)(ints)(factor | 1 << 16);
    union { lanes_short all; quarter parts[4]; } these = {numbers};
    union { quarter parts[4]; lanes_int all; } result;
    for (int i = 0; i < 4; i++) result.parts[i] = (quarter)__builtin_ia32_pmaddwd128(these.parts[i], factors);
    return result.all;
#else
    return ((lanes_int)numbers & 0xFFFF) * factor + (lanes_int)((lanes_unsigned)numbers >> 16);
#endif
}
/// What was put aside of a message, and what it becomes.
struct lanes_conversion {
    const void *digits;
    const double *divisors;
    /// For every eight numbers three vectors: their scales, the lowest values and the highest.
    const void *targets;
    /// By number: where its lane is.
    const unsigned short *places;
    /// Numbers, a multiple of eight; those that are too many go where nobody looks.
    long count;
    double *values;
    /// Rows of lanes, and one more for the numbers that have none.
    long rows;
    float *lanes;
};
/// Divides each number into `values`, scales it, and puts it into its lane; other lanes are NaN. 0 where one is out of its
/// range; a divisor that is no number makes none that is.
///
/// Fifteen digits and a power of ten are exact in a double, so that the division rounds once.
LANES_INLINE int lanes_convert(const struct lanes_conversion *all)
{
    typedef float floats __attribute__((ext_vector_type(8)));
    typedef int ints __attribute__((ext_vector_type(8)));
    typedef long longs __attribute__((ext_vector_type(8)));
    typedef lanes_short loose_short __attribute__((aligned(16)));
    const loose_short *text = (const loose_short *)all->digits;
    const lanes_stored_double *target = (const lanes_stored_double *)all->targets;
    longs wrong = 0;
#pragma clang loop unroll(disable)
    for (long row = 0; row <= all->rows; row++) ((lanes_stored_float *)all->lanes)[row] = (lanes_float)__builtin_nanf("");
#pragma clang loop unroll(disable)
    for (long i = 0; i < all->count; i += 8, target += 3, text += 2) {
        // Two digits: the lower byte times ten and the upper one, in the upper byte of a product.
        const lanes_int one = lanes_paired((text[0] & 0x0F0F) * (unsigned short)2561 >> 8, 100);
        const lanes_int two = lanes_paired((text[1] & 0x0F0F) * (unsigned short)2561 >> 8, 100);
        // Four times four digits of each number; side by side, that two eights come out of their sums.
        const lanes_short packed = __builtin_shufflevector((lanes_short)one, (lanes_short)two, 0, 2, 4, 6, 32, 34,
            36, 38, 8, 10, 12, 14, 40, 42, 44, 46, 16, 18, 20, 22, 48, 50, 52, 54, 24, 26, 28, 30, 56, 58, 60, 62);
        const lanes_int eights = lanes_paired(packed, 10000);
        const ints head = __builtin_shufflevector(eights, eights, 0, 4, 8, 12, 2, 6, 10, 14);
        const ints tail = __builtin_shufflevector(eights, eights, 1, 5, 9, 13, 3, 7, 11, 15);
        const lanes_double divisor = *(const lanes_stored_double *)(all->divisors + i);
        const lanes_double value = (__builtin_convertvector(head, lanes_double) * 1e8
            + __builtin_convertvector(tail, lanes_double)) / divisor;
        *(lanes_stored_double *)(all->values + i) = value;
        const lanes_double scaled = value * target[0];
        wrong |= (scaled < target[1]) | (scaled > target[2]);
        floats lane = __builtin_convertvector(scaled, floats);
        // All at once: otherwise each is converted by itself, on its way into its lane.
        __asm__("" : "+m"(lane));
        for (int k = 0; k < 8; k++) all->lanes[all->places[i + k]] = lane[k];
    }
    return __builtin_reduce_or(wrong) == 0;
}
