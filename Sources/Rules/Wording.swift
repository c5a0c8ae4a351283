import Detection
import Fleet
import Telemetry

extension Finding.Evidence {
    /// The value as a person reads it: `345 W`, `0.494`, `-12 %`, `27.9 GiB`.
    ///
    /// Empty for an event and for a label, whose name says it.
    package var text: String {
        unit == Finding.Evidence.eventUnit || unit == Finding.Evidence.labelUnit
            ? "" : Wording.quantity(value, unit)
    }

    /// All of it: `power.ratio 0.31 (limit above 0.6)`.
    package var phrase: String {
        name + (text.isEmpty ? "" : " \(text)") + (against.isEmpty ? "" : " (\(against))")
    }

    /// The unit of a code that an event brought.
    static let eventUnit = "event"

    /// The unit of a label, whose value stands in the name; the number is the share of the peers
    /// that carry another.
    static let labelUnit = "label"
}

/// How numbers and names read at night.
enum Wording {
    /// `GPU 4 on gpu-node-0017`.
    static func name(of device: Device) -> String {
        let vendor = device.id.prefix { $0 != "/" }
        let kind: String
        switch vendor {
        case "nvidia", "amd": kind = "GPU"
        case "tpu", "google": kind = "TPU chip"
        case "neuron", "aws": kind = "NeuronCore"
        case "gaudi", "intel": kind = "Gaudi"
        default: kind = "device"
        }
        let slot = device.labels[.slot]
        let host = device.labels[.host]
        let which = slot.isEmpty ? String(device.id.drop { $0 != "/" }.dropFirst()) : slot
        return host.isEmpty ? "\(kind) \(which)" : "\(kind) \(which) on \(host)"
    }

    static func subject(_ entity: Entity, _ device: String) -> String {
        entity.kind == .device ? device : "\(entity.kind.rawValue) \(entity.name)"
    }

    /// The first four, and how many more.
    static func list(_ names: [String]) -> String {
        let shown = names.prefix(4).joined(separator: ", ")
        return names.count > 4 ? "\(shown) and \(names.count - 4) more" : shown
    }

    /// `72 s`, `4 min`, `2 h 5 min`, `3 days`.
    static func duration(_ milliseconds: Int64) -> String {
        let seconds = milliseconds / 1_000
        if seconds < 120, seconds % 60 != 0 || seconds == 0 { return "\(seconds) s" }
        let minutes = seconds / 60
        if minutes < 120, minutes % 60 != 0 { return "\(minutes) min" }
        let hours = minutes / 60
        if hours >= 48 { return hours % 24 == 0 ? "\(hours / 24) days" : "\(hours) h" }
        return minutes % 60 == 0 ? "\(hours) h" : "\(hours) h \(minutes % 60) min"
    }

    /// `11:24:40 UTC`.
    static func time(_ milliseconds: Int64) -> String {
        Instant(milliseconds: milliseconds).timeOfDay + " UTC"
    }

    /// Three digits that count, and no exponent up to a trillion; a whole number is told whole.
    static func number(_ value: Double) -> String {
        value.isFinite ? readable(value) : "no number"
    }

    /// A number with its unit, in the size that people use.
    static func quantity(_ value: Double, _ unit: String) -> String {
        guard value.isFinite else { return "no number" }
        switch unit {
        case "change": return "\(value > 0 ? "+" : "")\(percent(value))"
        case "bitmask": return bits(value)
        case "B": return sized(value, 1_024, ["B", "KiB", "MiB", "GiB", "TiB"])
        case "B/s": return sized(value, 1_000, ["B/s", "kB/s", "MB/s", "GB/s", "TB/s"])
        case "", "ratio", "count", "state", "code", "rows": return number(value)
        default: return "\(number(value)) \(unit)"
        }
    }

    /// The first number of a finding inside its sentence, where a share reads better in percent.
    static func value(_ evidence: Finding.Evidence) -> String {
        evidence.unit == "ratio" && evidence.value.isFinite
            ? percent(evidence.value) : evidence.text
    }

    static func percent(_ share: Double) -> String {
        let hundred = share * 100
        return number(abs(hundred) >= 10 ? hundred.rounded() : hundred) + " %"
    }

    private static func sized(_ value: Double, _ step: Double, _ units: [String]) -> String {
        var size = value
        var place = 0
        while abs(size) >= step * 0.9995, place < units.count - 1 {
            size /= step
            place += 1
        }
        return "\(number(size)) \(units[place])"
    }

    /// Bits of throttle.reasons as NVML numbers them.
    private static let reasons: [(bit: Int64, name: String)] = [
        (0x1, "idle"), (0x2, "application clocks"), (0x4, "power cap"),
        (0x8, "hardware slowdown"), (0x10, "sync boost"), (0x20, "software thermal"),
        (0x40, "hardware thermal"), (0x80, "power brake"), (0x100, "display clocks"),
    ]

    private static func bits(_ value: Double) -> String {
        let set = Int64(max(0, min(value, 16_777_216)))
        let names = reasons.filter { set & $0.bit != 0 }.map(\.name)
        let text = "0x" + String(set, radix: 16)
        return names.isEmpty ? text : "\(names.joined(separator: " + ")) (\(text))"
    }

    /// `per minute`.
    static func per(_ seconds: Float) -> String {
        switch seconds {
        case 60: "per minute"
        case 3_600: "per hour"
        default: "per second"
        }
    }

    /// What a value was held against.
    static func limit(_ leaf: CompiledLeaf, unit: String) -> String {
        switch leaf.kind {
        case .threshold, .rate, .duration: limit(leaf, unit, of: nil)
        // The bits that are set are told by name.
        case .state: unit == "bitmask" ? "" : state(leaf.state)
        case .peer:
            leaf.peer.z.isNaN
                ? bound(leaf.bound) { number($0) } + " of its peers"
                : "beyond \(number(Double(leaf.peer.z))) deviations of its peers"
        case .zscore: "beyond \(number(Double(leaf.amount))) deviations of its own baseline"
        case .flatline: "the same value for \(duration(leaf.window))"
        case .steady: "steady within \(percent(Double(leaf.amount)))"
        case .usual: "below what is usual"
        case .forecast: "limit \(quantity(Double(leaf.forecast.limit), unit))"
        case .cusum:
            "against its own past, summed beyond "
                + quantity(Double(leaf.cusum.deadband), leaf.cusum.isRelative ? "change" : unit)
        case .delta, .absence, .completeness, .event, .count, .seasonal, .anomaly, .mismatch: ""
        }
    }

    /// A limit, and what it is a share of.
    static func limit(_ leaf: CompiledLeaf, _ unit: String, of base: Float?) -> String {
        guard leaf.relative != -1 else { return bound(leaf.bound) { quantity($0, unit) } }
        let whole = base.map { " \(quantity(Double($0), unit))" } ?? ""
        let name = leaf.relative == -2 ? "its own hour's" : "its most,"
        return "\(bound(leaf.bound) { number($0) }) of \(name)\(whole)"
    }

    private static func bound(_ bound: Bound, _ words: (Double) -> String) -> String {
        let (above, below) = (Double(bound.above), Double(bound.below))
        if !above.isNaN, !below.isNaN { return "between \(words(above)) and \(words(below))" }
        return above.isNaN ? "limit below \(words(below))" : "limit above \(words(above))"
    }

    private static func state(_ state: StateTest) -> String {
        if !state.equals.isNaN { return "" }
        var parts: [String] = []
        if state.anyOf != 0 { parts.append("any of 0x\(String(state.anyOf, radix: 16))") }
        if state.allOf != 0 { parts.append("all of 0x\(String(state.allOf, radix: 16))") }
        if state.noneOf != 0 { parts.append("none of 0x\(String(state.noneOf, radix: 16))") }
        return parts.joined(separator: ", ")
    }

    /// `rises 1.2 °C a minute, at 87 °C in 6 min`.
    static func course(
        _ test: ForecastTest, _ unit: String, _ line: (slope: Float, level: Float, fit: Float)?
    ) -> String {
        let limit = quantity(Double(test.limit), unit)
        guard let line, line.slope != 0 else { return "limit \(limit)" }
        // What changes too slowly to be read by the minute is told by the hour.
        let isSlow = abs(line.slope) * 3_600 < abs(test.limit) * 0.5
        let slope = Double(abs(line.slope) * (isSlow ? 3_600 : 60))
        let left = (test.limit - line.level) / line.slope
        let verb = line.slope > 0 ? "rises" : "falls"
        let rate = "\(verb) \(quantity(slope, unit)) \(isSlow ? "an hour" : "a minute")"
        guard left >= 0, left < 1e9 else { return "\(rate), limit \(limit)" }
        return "\(rate), at \(limit) in \(duration(Int64((left / 60).rounded(.up)) * 60_000))"
    }

    /// Why a series is unlike itself: `never so with a mean of 0.41 over 48 samples, …`.
    static func reasons(_ alert: AnomalyAlert, _ unit: String) -> String {
        alert.parts.map { $0.words { quantity($0, unit) } }.joined(separator: "; ")
    }

    /// `61 % of the evidence`.
    static func share(_ share: Double) -> String {
        "\(percent(max(share, 0.01))) of the evidence"
    }

    /// `usual 0.41 at this hour, 6.2 deviations below`.
    static func usual(_ season: SeasonReading, _ unit: String) -> String {
        let side = season.z < 0 ? "below" : "above"
        let day = season.isHoliday ? " of a holiday, as of a Sunday" : ""
        return "usual \(quantity(Double(season.usual), unit)) at this hour\(day), "
            + "\(number(Double(abs(season.z)))) deviations \(side)"
    }
}
