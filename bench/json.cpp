// simdjson On-Demand as the denominator of the JSON benchmarks; see docs/BENCHMARKS.md.
//
// It does the work that ours does, as somebody who knows the library would write it: find the time,
// turn what identifies the device into its index, convert every number, scale and check it, and put
// each metric of a known name into its lane of a row. It trusts the 64-bit hash of the labels where
// ours compares their bytes, and it keeps neither an account of the values nor when a device spoke.
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

/// From the hash of the labels to the index of the device, handed out in order.
struct Devices {
    std::vector<uint64_t> keys = std::vector<uint64_t>(1 << 14, 0);
    std::vector<uint32_t> places = std::vector<uint32_t>(1 << 14, 0);
    uint32_t count = 0;

    uint32_t find(uint64_t key)
    {
        key |= 1;  // 0 is a free slot
        size_t at = key >> 50;
        while (keys[at] != key) {
            if (keys[at] == 0) {
                if (count == keys.size() / 2) return UINT32_MAX;
                keys[at] = key;
                return places[at] = count++;
            }
            at = (at + 1) & (keys.size() - 1);
        }
        return places[at];
    }
};

struct Lane {
    double scale, low, high;
};

struct Reader {
    ondemand::parser parser;
    Names names;
    std::vector<Lane> lanes;
    Devices devices;
};

}  // namespace

extern "C" {

struct tocsin_tick {
    uint64_t time;
    uint32_t device, mask;
    float lanes[16];
};

/// `lanes` are the name, factor, lowest and highest value of lanes 0, 1, …, one per line.
void *tocsin_json_new(const char *lanes)
{
    auto *reader = new Reader;
    std::memset(reader->names.slots, -1, sizeof reader->names.slots);
    std::istringstream words(lanes);
    std::string name;
    for (Lane lane; words >> name >> lane.scale >> lane.low >> lane.high;) {
        reader->names.add(name);
        reader->lanes.push_back(lane);
    }
    if (reader->lanes.size() > 16 || reader->parser.allocate(1 << 16)) {
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
    for (float &lane : tick->lanes) lane = __builtin_nanf("");
    uint32_t mask = 0;
    uint64_t identity = 1;
    for (auto field : root) {
        // As it stands in the message: none of these names needs an escape.
        ondemand::raw_json_string key;
        if (field.key().get(key)) return 3;
        if (key == "ts" || key == "timestamp") {
            if (field.value().get_uint64().get(tick->time)) return 4;
        } else if (key == "v") {
            uint64_t version;
            if (field.value().get_uint64().get(version) || version != 1) return 11;
        } else if (key == "device" || key == "host" || key == "index") {
            // A text or a number: either way its bytes.
            identity = mix(identity, field.value().raw_json_token());
        } else if (key == "labels" || key == "tags") {
            ondemand::object labels;
            if (field.value().get_object().get(labels)) return 6;
            // As one run of bytes, which is what our decoder takes them for.
            std::string_view run;
            if (labels.raw_json().get(run)) return 7;
            identity = mix(identity, run);
        } else if (key == "m" || key == "fields") {
            ondemand::object metrics;
            if (field.value().get_object().get(metrics)) return 8;
            for (auto metric : metrics) {
                std::string_view name;
                double value;
                if (metric.unescaped_key().get(name)) return 9;
                if (metric.value().get_double().get(value)) return 10;
                const int place = reader->names.find(name);
                if (place < 0) continue;
                const Lane &lane = reader->lanes[size_t(place)];
                value *= lane.scale;
                if (!(value >= lane.low && value <= lane.high)) continue;
                tick->lanes[place] = float(value);
                mask |= 1u << place;
            }
        }
    }
    tick->device = reader->devices.find(identity);
    tick->mask = mask;
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
