import Telemetry

/// Messages as producers send them: seeded, so that every run reads the same bytes.
///
/// 20,000 ticks of 4,096 devices with 16 metrics and 8 labels each: 516 B a native one on average,
/// 10 MB in all, which no second-level cache holds.
struct Corpus {
    /// All messages, one after the other, with padding that a reader may touch behind the last.
    let bytes: [UInt8]
    /// Where each message lies in `bytes`.
    let ranges: [Range<Int>]
    /// What the denominator must know of the sixteen metrics, in the order of its lanes.
    let lanes: [Lane]

    /// A name of the corpus, and what its number is in the unit of the vocabulary.
    struct Lane {
        let name: String
        var scale = 1.0
        let low: Double
        let high: Double
    }

    static let messages = 20_000
    static let devices: UInt32 = 4_096

    /// What the newest message's clock shows; a decoder's `now` should be later.
    static let end: Int64 = 1_763_700_000_000 + Int64(messages)

    static func native(padding: Int) -> Corpus {
        Corpus(padding: padding, lanes: canonicalLanes, values) { device, time, values in
            let pairs = zip(canonical, values).map { "\"\($0)\":\($1)" }.joined(separator: ",")
            return "{\"v\":1,\"ts\":\(time),\"device\":\"nvidia/\(uuid(device))\","
                + "\"host\":\"gpu-node-\(hex(device / 8, 4))\",\"index\":\(device % 8),"
                + "\"labels\":{\"cluster\":\"us-east-1a\","
                + "\"job\":\"train-llm-\(device % 37)\",\"team\":\"foundation\"},"
                + "\"m\":{\(pairs)}}"
        }
    }

    static func telegraf(padding: Int) -> Corpus {
        Corpus(padding: padding, lanes: lanesOfNvidiaSMI, valuesOfNvidiaSMI) {
            device, time, values in
            let pairs = zip(nvidiaSMI, values).map { "\"\($0)\":\($1)" }.joined(separator: ",")
            return "{\"fields\":{\(pairs)},\"name\":\"nvidia_smi\",\"tags\":{\"arch\":\"Hopper\","
                + "\"host\":\"gpu-node-\(hex(device / 8, 4))\",\"index\":\"\(device % 8)\","
                + "\"name\":\"NVIDIA H200\",\"pstate\":\"P0\",\"uuid\":\"\(uuid(device))\"},"
                + "\"timestamp\":\(time / 1_000)}"
        }
    }

    /// The samples of `telegraf`, value by value, as Telegraf writes them for influx.
    static func influx() -> Corpus {
        Corpus(padding: 0, lanes: lanesOfNvidiaSMI, valuesOfNvidiaSMI) { device, time, values in
            let pairs = zip(nvidiaSMI, values).map { name, value in
                "\(name)=\(value)\(value.contains(".") ? "" : "i")"
            }
            return "nvidia_smi,arch=Hopper,host=gpu-node-\(hex(device / 8, 4)),index=\(device % 8),"
                + "name=NVIDIA\\ H200,pstate=P0,uuid=\(uuid(device)) "
                + "\(pairs.joined(separator: ",")) \(time / 1_000)000000000\n"
        }
    }

    private static let canonicalLanes = canonical.enumerated().map { number, name in
        let valid = Vocabulary.canonical[number].valid
        return Lane(name: name, low: valid.lowerBound, high: valid.upperBound)
    }

    /// Fields that are part of something larger are taken as they are, and so are those that nothing
    /// here watches.
    private static let lanesOfNvidiaSMI = nvidiaSMI.map { name in
        let isPercent = name.hasPrefix("utilization_") || name == "fan_speed"
        let scale = isPercent ? 0.01 : name.hasPrefix("memory_") ? 1_048_576 : 1
        return Lane(name: name, scale: scale, low: 0, high: 1e13)
    }

    /// Group 0 of the vocabulary.
    private static let canonical = [
        "util.busy", "util.sm", "util.tensor", "util.membw", "mem.used", "mem.used_ratio",
        "power.draw", "power.ratio", "temp.core", "temp.mem", "clock.core", "clock.mem",
        "throttle.reasons", "link.bytes", "pcie.bytes", "fan.ratio",
    ]

    private static let nvidiaSMI = [
        "utilization_gpu", "utilization_encoder", "utilization_decoder", "utilization_memory",
        "memory_used", "memory_free", "power_draw", "power_limit", "temperature_gpu",
        "temperature_memory", "clocks_current_sm", "clocks_current_memory",
        "pcie_link_gen_current", "memory_total", "pcie_link_width_current", "fan_speed",
    ]

    private init(
        padding: Int, lanes: [Lane], _ values: (inout SeededGenerator) -> [String],
        _ message: (_ device: UInt32, _ time: Int64, _ values: [String]) -> String
    ) {
        var generator = SeededGenerator(seed: 7)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Corpus.messages * 640)
        var ranges: [Range<Int>] = []
        for number in 0..<Corpus.messages {
            let device = UInt32.random(in: 0..<Corpus.devices, using: &generator)
            let start = bytes.count
            bytes +=
                message(
                    device, 1_763_700_000_000 + Int64(number), values(&generator)
                ).utf8
            ranges.append(start..<bytes.count)
        }
        bytes += [UInt8](repeating: 0, count: padding)
        self.bytes = bytes
        self.ranges = ranges
        self.lanes = lanes
    }

    /// Sixteen plausible numbers: ratios with four digits, bytes, watts with a fraction, MHz.
    private static func values(_ generator: inout SeededGenerator) -> [String] {
        func whole(_ range: ClosedRange<Int>) -> String {
            String(Int.random(in: range, using: &generator))
        }
        func ratio() -> String { "0.\(padded(Int.random(in: 1...9_999, using: &generator), 4))" }
        let power = Int.random(in: 90...700, using: &generator)
        return [
            ratio(), ratio(), ratio(), ratio(), whole(1_000_000_000...143_000_000_000), ratio(),
            "\(power).\(padded(Int.random(in: 0...999, using: &generator), 3))", ratio(),
            whole(30...90), whole(30...95), whole(1_400...1_980), "2619", "0",
            whole(0...900_000_000_000), whole(0...60_000_000_000), ratio(),
        ]
    }

    /// The same in percent, MiB and W, as `nvidia-smi` has them.
    private static func valuesOfNvidiaSMI(_ generator: inout SeededGenerator) -> [String] {
        func whole(_ range: ClosedRange<Int>) -> String {
            String(Int.random(in: range, using: &generator))
        }
        let used = Int.random(in: 500...143_000, using: &generator)
        let power = Int.random(in: 90...700, using: &generator)
        return [
            whole(0...100), whole(0...100), whole(0...100), whole(0...100), String(used),
            String(143_771 - used),
            "\(power).\(padded(Int.random(in: 0...99, using: &generator), 2))",
            "700", whole(30...90), whole(30...95), whole(1_400...1_980), "2619", "5", "143771",
            "16", whole(20...100),
        ]
    }

    private static func padded(_ number: Int, _ width: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }

    private static func hex(_ number: UInt32, _ width: Int) -> String {
        let text = String(number, radix: 16)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }

    private static func uuid(_ device: UInt32) -> String {
        "GPU-\(hex(device &* 2_654_435_761, 8))-1111-2222-3333-\(hex(device, 12))"
    }
}
