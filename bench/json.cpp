// simdjson On-Demand as the denominator of the JSON benchmarks; see docs/BENCHMARKS.md.
//
// It does what a decoder must at least do: find the time, hash the labels into one key, and put
// each metric of a known name into its lane. It neither keeps devices nor checks ranges.
#include <simdjson.h>

#include <cstdint>
#include <cstring>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

using namespace simdjson;

namespace {

uint64_t mix(uint64_t key, std::string_view text)
{
    const char *p = text.data();
    size_t rest = text.size();
    uint64_t word = 0;
    for (; rest >= 8; p += 8, rest -= 8) {
        std::memcpy(&word, p, 8);
        key = (key ^ word) * 0x9E3779B97F4A7C15ull;
        key ^= key >> 32;
    }
    word = 0;
    std::memcpy(&word, p, rest);
    key = (key ^ word ^ text.size()) * 0x9E3779B97F4A7C15ull;
    return key ^ (key >> 32);
}

/// A table of metric names, open addressed: one hash and nearly always one comparison.
struct Names {
    std::vector<std::string> text;
    int8_t slots[1024];

    static unsigned home(std::string_view name)
    {
        const auto *p = reinterpret_cast<const unsigned char *>(name.data());
        const size_t n = name.size();
        return unsigned(n * 31 + p[0] * 7 + p[n - 1] * 13 + p[n / 2] * 3 + p[n - (n > 1)] * 101) & 1023;
    }
    void add(const std::string &name)
    {
        unsigned at = home(name);
        while (slots[at] >= 0) at = (at + 1) & 1023;
        slots[at] = int8_t(text.size());
        text.push_back(name);
    }
    int find(std::string_view name) const
    {
        if (name.empty()) return -1;
        for (unsigned at = home(name); slots[at] >= 0; at = (at + 1) & 1023)
            if (text[size_t(slots[at])] == name) return slots[at];
        return -1;
    }
};

struct Reader {
    ondemand::parser parser;
    Names names;
};

}  // namespace

extern "C" {

struct tocsin_tick {
    uint64_t time, key;
    uint32_t mask;
    float lanes[16];
};

/// `names` are those of lanes 0, 1, …, one per line.
void *tocsin_json_new(const char *names)
{
    auto *reader = new Reader;
    std::memset(reader->names.slots, -1, sizeof reader->names.slots);
    std::istringstream lines(names);
    for (std::string line; std::getline(lines, line);) reader->names.add(line);
    if (reader->parser.allocate(1 << 16)) {
        delete reader;
        return nullptr;
    }
    return reader;
}

/// Reads a native or a Telegraf tick; `text` has simdjson's padding behind it. 0 when it is good.
int tocsin_json_tick(void *opaque, const char *text, size_t size, tocsin_tick *tick)
{
    auto *reader = static_cast<Reader *>(opaque);
    ondemand::document document;
    if (reader->parser.iterate(text, size, size + SIMDJSON_PADDING).get(document)) return 1;
    ondemand::object root;
    if (document.get_object().get(root)) return 2;
    tick->mask = 0;
    tick->key = 1;
    for (auto field : root) {
        std::string_view key;
        if (field.unescaped_key().get(key)) return 3;
        if (key == "ts" || key == "timestamp") {
            if (field.value().get_uint64().get(tick->time)) return 4;
        } else if (key == "device" || key == "host") {
            std::string_view value;
            if (field.value().get_string().get(value)) return 5;
            tick->key = mix(tick->key, value);
        } else if (key == "labels" || key == "tags") {
            ondemand::object labels;
            if (field.value().get_object().get(labels)) return 6;
            for (auto label : labels) {
                std::string_view value;
                if (label.value().get_string().get(value)) return 7;
                tick->key = mix(tick->key, value);
            }
        } else if (key == "m" || key == "fields") {
            ondemand::object metrics;
            if (field.value().get_object().get(metrics)) return 8;
            for (auto metric : metrics) {
                std::string_view name;
                double value;
                if (metric.unescaped_key().get(name)) return 9;
                if (metric.value().get_double().get(value)) return 10;
                const int lane = reader->names.find(name);
                if (lane < 0) continue;
                tick->lanes[lane] = float(value);
                tick->mask |= 1u << lane;
            }
        }
    }
    return 0;
}

#define TEXT(x) #x
#define TEXT_OF(x) TEXT(x)
const char *tocsin_json_version() { return TEXT_OF(SIMDJSON_VERSION); }
/// What the compiler chose for the walk over the values, and the library for finding them.
const char *tocsin_json_isa()
{
    static const std::string name = std::string(TEXT_OF(SIMDJSON_BUILTIN_IMPLEMENTATION)) + ", "
        + get_active_implementation()->name();
    return name.c_str();
}
int tocsin_json_padding() { return int(SIMDJSON_PADDING); }

}  // extern "C"
