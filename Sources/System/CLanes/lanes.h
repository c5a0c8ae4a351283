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
/// Sets a lane of a vector where it lies.
LANES_INLINE void lanes_put(void *vector, int lane, float value) { ((float *)vector)[lane & 15] = value; }

/// Eight Double lanes, likewise; both sides of a comparison with NaN give `b`.
typedef double lanes_double __attribute__((ext_vector_type(8)));
typedef int lanes_places __attribute__((ext_vector_type(8)));
LANES_INLINE lanes_double lanes_larger(lanes_double a, lanes_double b) { return a > b ? a : b; }
LANES_INLINE lanes_double lanes_smaller(lanes_double a, lanes_double b) { return a < b ? a : b; }
/// Whether a lane lies below its `low` or above its `high`.
LANES_INLINE _Bool lanes_leave(lanes_double v, lanes_double low, lanes_double high)
{
    return __builtin_reduce_or((v < low) | (v > high)) != 0;
}
/// Towards zero; every lane must fit.
LANES_INLINE lanes_places lanes_truncate(lanes_double v) { return __builtin_convertvector(v, lanes_places); }

/// Bit i of the result is the sign of lane i.
LANES_INLINE unsigned short lanes_bits(lanes_int mask)
{
    _Bool __attribute__((ext_vector_type(16))) bits =
        __builtin_convertvector(mask, _Bool __attribute__((ext_vector_type(16))));
    unsigned short result;
    __builtin_memcpy(&result, &bits, 2);
    return result;
}
/// Bit i of the result says that lane i of the vector `seen` lies `age` or more before `now`; and in
/// the upper half, `more` or more.
LANES_INLINE unsigned lanes_aged(const void *seen, int now, int age, int more)
{
    const lanes_int times = *(const lanes_stored_int *)seen;
    const lanes_int ages = (lanes_int)((unsigned)now - (lanes_unsigned)times);
    return lanes_bits(ages >= age) | (unsigned)lanes_bits(ages >= more) << 16;
}
/// How long ago the longest unseen of some lanes was seen; 0 where none was seen before `now`.
LANES_INLINE int lanes_oldest(const void *seen, int now, unsigned short lanes)
{
    const lanes_int weights = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
    const lanes_int is_asked = ((lanes_int)(int)lanes & weights) == weights;
    const lanes_int times = *(const lanes_stored_int *)seen;
    const lanes_int ages = (lanes_int)((unsigned)now - (lanes_unsigned)times);
    const lanes_int none = {0};
    return __builtin_reduce_max(is_asked & (ages > none) & ages);
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
    /// How many of them, the first ones, do not ask how long a value was the same.
    int plain_count;
    int now;
    /// Seconds after which a lane that was not seen counts as changed.
    int gap;
    /// Lanes that carry something new; no other changes.
    unsigned short present;
};
/// Marks the lanes of a tick that may be beyond the limits of a plane; `within` those that are not.
/// Returns the lanes of which a mark changed.
LANES_INLINE unsigned short lanes_mark(struct lanes_tick tick, const struct lanes_plane *plane, lanes_int within)
{
    const unsigned short lanes = tick.present & plane->lanes;
    const unsigned short marks = tick.marks[plane->word];
    const unsigned short next = (marks & ~lanes) | (lanes & ~lanes_bits(within));
    tick.marks[plane->word] = next;
    return marks ^ next;
}
/// Remembers a tick. Returns the lanes of which a mark changed.
LANES_INLINE unsigned short lanes_remember(struct lanes_tick tick)
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
    unsigned short changed = 0;
    int i = 0;
    for (; i < tick.plain_count; i++)
        changed |= lanes_mark(tick, planes + i, (value <= planes[i].low) | (value >= planes[i].high));
    for (; i < tick.planes_count; i++)
        changed |= lanes_mark(tick, planes + i,
            (value <= planes[i].low) | (value >= planes[i].high) | (still < planes[i].still));
    return changed;
}
/// Asks for the cache lines of `size` bytes to come; nothing is read, so any address will do.
LANES_INLINE void lanes_ask(const void *address, long size)
{
    for (long place = 0; place < size; place += 64)
        __builtin_prefetch((const char *)address + place, 0, 3);
    // What begins in the middle of a line ends in another.
    __builtin_prefetch((const char *)address + size - 1, 0, 3);
}
/// Eight values, side by side as they lie in memory.
typedef float lanes_eight __attribute__((ext_vector_type(8), aligned(4)));
typedef int lanes_eight_int __attribute__((ext_vector_type(8), aligned(4)));
typedef long lanes_eight_long __attribute__((ext_vector_type(8), aligned(8)));
/// The lanes of a vector that are named, modulo sixteen.
LANES_INLINE lanes_eight lanes_pick(const float *values, lanes_eight_int lanes)
{
    typedef float whole __attribute__((ext_vector_type(8)));
    typedef int places __attribute__((ext_vector_type(8)));
#if defined(__AVX512VL__)
    return __builtin_ia32_vpermi2varps256(*(const lanes_eight *)values, (places)lanes, *(const lanes_eight *)(values + 8));
#elif defined(__AVX2__)
    const whole low = __builtin_ia32_permvarsf256(*(const lanes_eight *)values, (places)lanes);
    const whole high = __builtin_ia32_permvarsf256(*(const lanes_eight *)(values + 8), (places)lanes);
    return (lanes & 8) != 0 ? high : low;
#else
    lanes_eight picked;
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; i++) picked[i] = values[lanes[i] & 15];
    return picked;
#endif
}
/// What up to eight leaves gather of the rows of one group of sixteen lanes; a leaf that is not there
/// asks for no lane.
struct lanes_gathering {
    /// Which lane each looks at, and the bit of that lane.
    int lanes[8], bits[8];
    /// Gates that must be open, and that must not.
    int required[8], refused[8];
    /// Where they stand in the numbers of a device, and in its times.
    int number, time;
} __attribute__((aligned(16)));
/// Adds the values of a row to the sums of those leaves that have a slice of time in work: `numbers`
/// has eight sums, eight counts and eight values below which nothing counts; `ends` when each slice is
/// over. Returns the leaves, one bit for each, whose value begins another slice, and was not added.
LANES_INLINE unsigned lanes_gather(const struct lanes_gathering *what, const float *values, float *numbers,
    const long *ends, int present, int gates, long now)
{
    const lanes_eight value = lanes_pick(values, *(const lanes_eight_int *)what->lanes);
    const lanes_eight_int required = *(const lanes_eight_int *)what->required;
    const lanes_eight_int none = {0};
    const lanes_eight_int wanted = ((*(const lanes_eight_int *)what->bits & present) != none)
        & ((required & gates) == required) & ((*(const lanes_eight_int *)what->refused & gates) == none)
        & ~(value < *(lanes_eight *)(numbers + 16));
    const lanes_eight_int over = __builtin_convertvector(*(const lanes_eight_long *)ends <= now, lanes_eight_int);
    const lanes_eight_int adds = wanted & ~over;
    lanes_eight *sums = (lanes_eight *)numbers, *counts = (lanes_eight *)(numbers + 8);
    *sums = adds ? *sums + value : *sums;
    *counts = adds ? *counts + 1 : *counts;
    _Bool __attribute__((ext_vector_type(8))) due =
        __builtin_convertvector(wanted & over, _Bool __attribute__((ext_vector_type(8))));
    unsigned char bits;
    __builtin_memcpy(&bits, &due, 1);
    return bits;
}
/// What one leaf keeps of a lane: the least and the largest value of each of the last eight slices of
/// time.
struct lanes_widening {
    /// How long a slice is, milliseconds.
    long size;
    /// Where it stands in the numbers of a device, a pair for each slice, and in its times, the index of
    /// the newest one; negative before the first.
    int number, time;
    int lane;
};
/// Widens the slice that a value falls in. Returns whether it could: not for the first value, nor the
/// first after a hole of eight slices, nor one that is older than the newest slice.
LANES_INLINE _Bool lanes_widen(const struct lanes_widening *what, float value, float *numbers, long *slice, long now)
{
    // The index times the size is no more than a time that there was.
    if (*slice < 0) return 0;
    long since = now - *slice * what->size;
    if (since < 0 || since >= 8 * what->size) return 0;
    for (; since >= what->size; since -= what->size) {
        *slice += 1;
        float *begun = numbers + (*slice & 7) * 2;
        begun[0] = begun[1] = __builtin_nanf("");
    }
    float *range = numbers + (*slice & 7) * 2;
    if (!(range[0] <= value)) range[0] = value;
    if (!(range[1] >= value)) range[1] = value;
    return 1;
}
/// One row of a batch, once it was applied: what is judged.
struct lanes_row {
    /// Milliseconds.
    long time;
    unsigned device;
    int z;
    unsigned short group, present, gates;
};
/// What becomes of the rows of one group of sixteen lanes.
struct lanes_use {
    /// Which of the blocks of a device remembers them; negative for none.
    int block;
    int first_plane, planes_count, plain_count;
    int first_gathering, gatherings_count;
    int first_widening, widenings_count;
    /// Lanes that somebody else is fed with.
    unsigned short fed;
};
/// A row that somebody must be fed with: the leaves of a gathering that begin another slice, or where
/// `due` is 0, those that do not gather.
struct lanes_fed {
    unsigned row;
    unsigned short gathering, due;
};
/// Rows to be remembered, and who waits for them; by device, if nothing else is said.
struct lanes_rows {
    /// As `lanes_tick` has it, and `blocks` of them for each device.
    void *state;
    const void *rows;
    /// By row.
    const void *lanes;
    /// By group.
    const void *uses;
    const void *planes;
    /// As `lanes_gathering` and `lanes_widening`, and what the leaves of a device keep.
    const void *gatherings;
    const void *widenings;
    float *numbers;
    long *times;
    long number_stride, time_stride;
    /// Sixteen words for each.
    unsigned short *marks;
    const unsigned short *gates;
    /// `words` for each; and by group, which bits of them count.
    const unsigned long long *ready;
    const unsigned long long *masks;
    long words, blocks, devices;
    /// The rows to remember, and the first that is looked at whatever it is.
    long first, end, due;
    /// The second that times are counted from.
    long epoch;
    int gap;
    /// Where rows are listed that somebody must be fed with, as `lanes_fed`, and how many may be before
    /// there is no room for all that one row may ask for.
    void *fed;
    long fed_max;
    /// Rows to look ahead.
    int prefetch;
};
/// The first row that deserves a look, and the lanes of which a mark changed there; or the end.
struct lanes_found {
    long row;
    /// Rows that were listed.
    long fed;
    unsigned short marked;
};
/// Asks for what a row is remembered in.
LANES_INLINE void lanes_expect_row(const struct lanes_rows *job, const struct lanes_row *row)
{
    const struct lanes_use *use = (const struct lanes_use *)job->uses + (row->group & 15);
    const size_t device = row->device;
    if (use->block < 0) return;
    const char *block = (const char *)job->state + (device * job->blocks + use->block) * 192;
    for (int line = 0; line < 3; line++) __builtin_prefetch(block + line * 64, 0, 3);
    if ((use->gatherings_count | use->widenings_count) == 0) return;
    __builtin_prefetch(job->marks + device * 16, 0, 3);
    // What they keep lies first; to ask for just that would take longer than is won.
    lanes_ask(job->numbers + device * job->number_stride, 192);
    lanes_ask(job->times + device * job->time_stride, 128);
}
/// Remembers rows up to and including the first that is not like the others: it changes a mark or the
/// gates, its device is ready for something, or it fills the list.
LANES_INLINE struct lanes_found lanes_remember_rows(struct lanes_rows job)
{
    const struct lanes_row *rows = (const struct lanes_row *)job.rows;
    struct lanes_fed *listed = (struct lanes_fed *)job.fed;
    struct lanes_found found = {job.first, 0, 0};
    // Rows of one message have one time, and one device.
    long time = job.epoch * 1000;
    int now = 0;
    for (; found.row < job.end; found.row++) {
        const long i = found.row;
        if (i < job.end - job.prefetch) lanes_expect_row(&job, rows + i + job.prefetch);
        const unsigned short present = rows[i].present;
        if (present == 0) continue;
        const size_t device = rows[i].device;
        if (device >= (unsigned long)job.devices) return found;
        if (rows[i].time != time) {
            time = rows[i].time;
            const long second = time / 1000 - job.epoch;
            now = second > 0x7fffffff ? 0x7fffffff : second < -0x7fffffff - 1 ? -0x7fffffff - 1 : (int)second;
        }
        const unsigned group = rows[i].group & 15;
        const struct lanes_use *use = (const struct lanes_use *)job.uses + group;
        if (use->block >= 0) {
            const struct lanes_tick tick = {
                .block = (char *)job.state + (device * job.blocks + use->block) * 192,
                .lanes = (const char *)job.lanes + (size_t)i * 64,
                .planes = (const struct lanes_plane *)job.planes + use->first_plane,
                .marks = job.marks + device * 16,
                .planes_count = use->planes_count,
                .plain_count = use->plain_count,
                .now = now,
                .gap = job.gap,
                .present = present,
            };
            found.marked = lanes_remember(tick);
        }
        _Bool is_fed = (present & use->fed) != 0;
        if (use->gatherings_count | use->widenings_count) {
            const float *values = (const float *)job.lanes + (size_t)i * 16;
            float *numbers = job.numbers + device * job.number_stride;
            long *times = job.times + device * job.time_stride;
            const struct lanes_gathering *gatherings = (const struct lanes_gathering *)job.gatherings;
            const struct lanes_widening *widening = (const struct lanes_widening *)job.widenings + use->first_widening;
#pragma clang loop unroll(disable) vectorize(disable)
            for (int g = use->first_gathering; g < use->first_gathering + use->gatherings_count; g++) {
                const unsigned begun = lanes_gather(gatherings + g, values, numbers + gatherings[g].number,
                    times + gatherings[g].time, present, rows[i].gates, time);
                if (begun)
                    listed[found.fed++] = (struct lanes_fed){(unsigned)i, (unsigned short)g, (unsigned short)begun};
            }
#pragma clang loop unroll(disable) vectorize(disable)
            for (int w = 0; w < use->widenings_count; w++, widening++)
                if (present >> widening->lane & 1)
                    is_fed |= !lanes_widen(widening, values[widening->lane], numbers + widening->number,
                        times + widening->time, time);
        }
        if (is_fed) listed[found.fed++] = (struct lanes_fed){(unsigned)i, 0, 0};
        unsigned long long wanted = found.marked | (job.gates[device] ^ rows[i].gates);
#pragma clang loop unroll(disable) vectorize(disable)
        for (long word = 0; word < job.words; word++)
            wanted |= job.ready[device * job.words + word] & job.masks[group * job.words + word];
        if (wanted != 0 || i >= job.due || found.fed >= job.fed_max) return found;
    }
    return found;
}
/// One row of a batch as it was read.
struct lanes_arrival {
    unsigned device;
    unsigned short group, partition;
    /// Milliseconds.
    long time, offset;
    unsigned short points;
};
/// What is known of the newest tick of one group of one device.
struct lanes_slot {
    long newest;
    /// Where its counters stand; negative for none.
    int counters;
    /// Lanes that had a value then.
    unsigned short present;
    unsigned char in_run;
};
/// What a row is to its slot; where it has none, one of the reasons below.
struct lanes_place {
    int slot;
    /// Lanes that it brings values in, and those of them that had the same value at the same time before.
    unsigned short carried, again;
    /// Lanes that counters fill; how many of these it reads, and how many of them were read before.
    unsigned short counted;
    unsigned char readings, repeats;
    /// Of no account here.
    unsigned char is_newer;
};
enum { lanes_unsorted = -1, lanes_late = -2, lanes_future = -3, lanes_no_device = -4 };
/// Rows to be sorted into runs for the kernel, by group.
struct lanes_sorting {
    const void *rows;
    /// By row; and its places, as `lanes_place`.
    const void *lanes;
    void *places;
    /// Sixteen for each device; negative where it never sent that group.
    const int *slot_of;
    long devices;
    /// By slot: as `lanes_slot`, and the newest values.
    void *slots, *newest;
    /// By group: `room` blocks, their times, and which row brings the values; and how many there are.
    unsigned *blocks;
    int *times;
    unsigned *sources;
    long *counts, room;
    long first, end;
    /// Groups of which a slot may be in a run only once, bit g.
    unsigned once;
    /// Rows to look ahead.
    int prefetch;
};
/// Holds rows against the newest tick of their device and group, and puts them into the run of their
/// group, in order. Returns the first row that has no slot yet, or must wait until the kernel has fed
/// on what is in the run; or the end.
LANES_INLINE long lanes_sort(struct lanes_sorting job)
{
    const struct lanes_arrival *rows = (const struct lanes_arrival *)job.rows;
    struct lanes_place *places = (struct lanes_place *)job.places;
    struct lanes_slot *slots = (struct lanes_slot *)job.slots;
    lanes_stored_float *newest = (lanes_stored_float *)job.newest;
    for (long i = job.first; i < job.end; i++) {
        if (i < job.end - job.prefetch) {
            const struct lanes_arrival *next = rows + i + job.prefetch;
            if (next->device < (unsigned long)job.devices && next->group < 16) {
                const long slot = job.slot_of[(size_t)next->device * 16 + next->group];
                if (slot >= 0) {
                    __builtin_prefetch(slots + slot, 1, 3);
                    __builtin_prefetch(newest + slot, 1, 3);
                }
            }
        }
        // A batch lies beyond the caches: whoever filled it was another one, or long ago.
        __builtin_prefetch((const lanes_stored_float *)job.lanes + i + 16, 1, 3);
        struct lanes_place *place = places + i;
        if (place->slot != lanes_unsorted) continue;
        const unsigned group = rows[i].group;
        const long time = rows[i].time;
        if (group >= 16 || rows[i].device >= (unsigned long)job.devices) {
            place->slot = lanes_no_device;
            continue;
        }
        const int slot = job.slot_of[(size_t)rows[i].device * 16 + group];
        if (slot < 0) return i;
        struct lanes_slot *known = slots + slot;
        const long count = job.counts[group];
        if (count >= job.room || known->in_run) return i;
        if (time < known->newest) {
            place->slot = lanes_late;
            continue;
        }
        const lanes_float value = ((const lanes_stored_float *)job.lanes)[i];
        const unsigned short carried = lanes_bits(value == value);
        unsigned short again = 0;
        if (time == known->newest) {
            again = lanes_bits(value == newest[slot]) & carried & known->present;
            newest[slot] = lanes_over(value, newest[slot]);
            known->present |= carried;
        } else {
            newest[slot] = value;
            known->newest = time;
            known->present = carried;
        }
        known->in_run = job.once >> group & 1;
        place->slot = slot;
        place->carried = carried;
        place->again = again;
        const size_t at = (size_t)group * job.room + count;
        job.blocks[at] = slot;
        job.times[at] = (int)time;
        job.sources[at] = (unsigned)i;
        job.counts[group] = count + 1;
    }
    return job.end;
}
/// What a counter of one row reads.
struct lanes_reading {
    unsigned row;
    unsigned char lane;
    double value;
};
/// The last reading of a counter, NaN before there was one, and its time in milliseconds.
struct lanes_counter {
    double value;
    long time;
};
/// What a counter rose by; or where it fell, what it reads since.
struct lanes_increase {
    int row;
    unsigned char lane, was_reset;
    float amount;
};
/// Readings of counters, whose rows were sorted.
struct lanes_counting {
    /// As `lanes_reading`, in order of rows, the first that was not looked at, and how many there are.
    const void *readings;
    long reading, readings_count;
    /// As `lanes_arrival`, `lanes_place` and `lanes_slot`, and the vectors of the rows.
    const void *rows;
    void *places;
    const void *slots;
    void *lanes;
    /// As `lanes_counter`, sixteen for each slot that has some.
    void *counters;
    /// By group: lanes whose increases are asked for; and where they go, as `lanes_increase`.
    const unsigned short *asked;
    void *increases;
    /// The row to end at.
    long end;
    /// Readings to look ahead.
    long prefetch;
};
/// The first reading that is of another row, or whose slot has no counters yet; or the end. And how
/// many increases there were.
struct lanes_counted {
    long reading, increases;
};
/// Turns counters into increases per second, which go into the lanes of their rows.
LANES_INLINE struct lanes_counted lanes_count(struct lanes_counting job)
{
    const struct lanes_reading *next = (const struct lanes_reading *)job.readings + job.reading;
    const struct lanes_reading *const all = (const struct lanes_reading *)job.readings + job.readings_count;
    struct lanes_increase *const increases = (struct lanes_increase *)job.increases;
    struct lanes_increase *increase = increases;
    while (next < all) {
        const unsigned row = next->row;
        if (row >= job.end) break;
        struct lanes_place *place = (struct lanes_place *)job.places + row;
        // The account of a row that was refused asks for its points alone.
        if (place->slot < 0) {
            next++;
            continue;
        }
        const struct lanes_slot *slot = (const struct lanes_slot *)job.slots + place->slot;
        if (slot->counters < 0) break;
        const struct lanes_arrival *arrival = (const struct lanes_arrival *)job.rows + row;
        const long time = arrival->time;
        const unsigned asked = job.asked[arrival->group & 15];
        float *lanes = (float *)job.lanes + (size_t)row * 16;
        struct lanes_counter *counters = (struct lanes_counter *)job.counters + slot->counters;
        if (job.prefetch < all - next && next[job.prefetch].row < job.end) {
            const struct lanes_place *ahead = (const struct lanes_place *)job.places + next[job.prefetch].row;
            if (ahead->slot >= 0)
                lanes_ask((const struct lanes_counter *)job.counters
                    + ((const struct lanes_slot *)job.slots)[ahead->slot].counters, 256);
        }
        // Counters of one row began at the same time, and a division is slow.
        long since = time;
        double per_millisecond = 0;
        unsigned filled = 0, repeats = 0;
        const struct lanes_reading *first = next;
        for (; next < all && next->row == row; next++) {
            const double read = next->value;
            const unsigned lane = next->lane & 15;
            const struct lanes_counter before = counters[lane];
            // Neither infinite nor NaN.
            const _Bool is_number = read - read == 0;
            // Two values for one time: the last one stands, and the next increase is measured from it.
            if (!is_number || before.value != before.value || before.time >= time) {
                const _Bool is_repeat = before.time == time && before.value == read;
                repeats += is_repeat;
                if (is_number && !is_repeat) counters[lane] = (struct lanes_counter){read, time};
                continue;
            }
            counters[lane] = (struct lanes_counter){read, time};
            if (before.time != since) {
                since = before.time;
                per_millisecond = 1 / (double)(time - since);
            }
            const _Bool was_reset = read < before.value;
            const double amount = was_reset ? read : read - before.value;
            lanes[lane] = (float)(amount * per_millisecond * 1000);
            filled |= 1u << lane;
            if (asked >> lane & 1 && (float)amount > 0)
                *increase++ = (struct lanes_increase){(int)row, (unsigned char)lane, was_reset, (float)amount};
        }
        place->counted = (unsigned short)filled;
        place->readings = (unsigned char)(next - first);
        place->repeats = (unsigned char)repeats;
    }
    return (struct lanes_counted){next - (const struct lanes_reading *)job.readings, increase - increases};
}
/// One batch as the kernel sees it: plain pointers, checked by the caller once.
struct lanes_batch {
    /// Block b is the eight vectors from `state + b * 8`: last, seen (integers), mean, variance,
    /// slow mean, slow variance, CUSUM up, CUSUM down.
    void *state;
    const unsigned *blocks;
    const int *times;
    /// One vector a tick; or where `rows` is given, that one of them.
    const void *values;
    const unsigned *rows;
    /// Sixteen vectors, in the order of `LaneParameters.vectors`.
    const void *parameters;
    /// Four words a tick, in the order of `TickFlags`; NULL where nobody asks.
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

/// Ticks ahead of which a block goes on from the second-level cache into the first.
#define LANES_NEAR 6
/// Asks for the blocks to come, in two stages.
///
/// From memory into the second-level cache tick i asks for the first two lines of the block `ahead`
/// ticks on, the next two of the one three quarters of that on, and so forth, so that every block is
/// asked for in four parts: all eight lines at once would wait behind one page walk, and the few
/// slots for lines on their way with them. The tick's own loads would hold such slots too, and the
/// arithmetic up: so the lines of a block that is nearly due are asked for once more.
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
    if (i + LANES_NEAR >= count) return;
    const char *due = (const char *)state + (size_t)blocks[i + LANES_NEAR] * 512;
#pragma clang loop unroll(full)
    for (int line = 0; line < 8; line++) __builtin_prefetch(due + line * 64, 0, 3);
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
