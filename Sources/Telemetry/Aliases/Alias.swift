/// Whose name a metric goes by; decides the vendor and where a device's identity is looked for.
enum Source: UInt8, CaseIterable, Sendable {
    case unknown, canonical, dcgm, nvidiaSMI, nvidiaMIG, rocmSMI, amd, tpu, gaudi, neuron
    case hardware, fluentBit, scrape

    /// The first half of a device's id; where it is nil the labels say it.
    var vendor: String? {
        switch self {
        case .dcgm, .nvidiaSMI, .nvidiaMIG: "nvidia"
        case .rocmSMI, .amd: "amd"
        case .tpu: "google"
        case .gaudi: "intel"
        case .neuron: "aws"
        case .unknown, .canonical, .hardware, .fluentBit, .scrape: nil
        }
    }

    /// `kind` of the device where no label says it.
    var kind: String {
        switch self {
        case .dcgm, .nvidiaSMI, .nvidiaMIG, .rocmSMI, .amd, .fluentBit: "gpu"
        case .tpu: "tpu"
        case .gaudi, .neuron: "npu"
        case .unknown, .canonical, .hardware, .scrape: ""
        }
    }

    /// Whether DCGM's blanks may stand where a number was not to be had.
    var hasBlanks: Bool { self == .dcgm }
}

/// What one name of a source means in the vocabulary.
struct Meaning: Sendable {
    enum Combine: UInt8, Sendable {
        /// The value is the metric.
        case value
        /// The metric is the sum of its parts.
        case sum
        /// The metric is a set of flags, each raised by one part that is not zero.
        case flags
        /// The metric is part 0 divided by part 1.
        case ratio
        /// The metric is the value divided by the largest that the device has shown: for sources
        /// that report a link's speed and not what it could be.
        case peak
        /// The parts count up; the metric is the sum of their increases per second.
        case rate
        /// The metric is the smallest of its parts.
        case least
        /// The metric is the mean of its parts.
        case mean
        /// A gauge that keeps the last fault code; a change of it is a fault.
        case stickyFault
        /// The faults of the code in the labels within the last minutes; an increase is a fault.
        case faultCount
    }

    /// What in a machine the metric belongs to.
    enum Level: UInt8, Sendable {
        /// The whole board: a MIG instance reports its parent's.
        case board
        /// The MIG instance where there is one, the board otherwise.
        case instance
        /// The host, whichever device is named.
        case host
    }

    var metric: Metric
    var combine: Combine
    var part: UInt16 = 0
    /// `value · scale + offset` is in the unit of the vocabulary.
    var scale: Double = 1
    var offset: Double = 0
    /// Of two names for one metric in one stream, the higher rank is believed.
    var rank: UInt8 = 1
    var flags: UInt16 = 0
    var level = Level.board
    /// Of several series that differ in an index label only the first is taken.
    var isFirstOnly = false

    static func value(
        _ metric: Metric, _ scale: Double = 1, offset: Double = 0, rank: UInt8 = 1,
        level: Level = .board, isFirstOnly: Bool = false
    ) -> Meaning {
        Meaning(
            metric: metric, combine: .value, scale: scale, offset: offset, rank: rank,
            level: level, isFirstOnly: isFirstOnly)
    }

    static func sum(
        _ metric: Metric, part: UInt16, _ scale: Double = 1, level: Level = .board
    ) -> Meaning {
        Meaning(metric: metric, combine: .sum, part: part, scale: scale, level: level)
    }

    static func flag(_ bits: UInt16) -> Meaning {
        Meaning(
            metric: .throttleReasons, combine: .flags,
            part: UInt16(truncatingIfNeeded: bits.trailingZeroBitCount), flags: bits)
    }

    static func ratio(_ metric: Metric, part: UInt16) -> Meaning {
        Meaning(metric: metric, combine: .ratio, part: part)
    }

    static func peak(_ metric: Metric) -> Meaning { Meaning(metric: metric, combine: .peak) }

    static func rate(_ metric: Metric, part: UInt16, _ scale: Double = 1) -> Meaning {
        Meaning(metric: metric, combine: .rate, part: part, scale: scale)
    }

    static func least(_ metric: Metric, _ scale: Double = 1, offset: Double = 0) -> Meaning {
        Meaning(metric: metric, combine: .least, scale: scale, offset: offset)
    }

    static func mean(_ metric: Metric) -> Meaning { Meaning(metric: metric, combine: .mean) }

    static let stickyFault = Meaning(metric: .faultCode, combine: .stickyFault)
    static let faultCount = Meaning(metric: .faultCode, combine: .faultCount)
}

/// Factors into the base units of the vocabulary.
enum Unit {
    static let percent = 0.01
    static let mebibytes = 1_048_576.0
    static let kilobytes = 1_000.0
    static let milli = 1e-3
    static let micro = 1e-6
    static let nano = 1e-9
}

/// One row of an alias table: every spelling of a name, and what it means.
struct Alias: Sendable {
    let names: [String]
    let meaning: Meaning
    let also: Meaning?
    let selection: Selection?

    /// A label and the value of it that a row is about.
    struct Selection: Sendable {
        let label: Selector
        let values: [String]
    }

    init(_ names: String..., means meaning: Meaning, also: Meaning? = nil) {
        self.init(names: names, meaning, also, nil)
    }

    /// A row for those series alone whose `label` has one of `values`.
    init(
        _ names: String..., where label: Selector, is values: String..., means meaning: Meaning,
        also: Meaning? = nil
    ) {
        self.init(names: names, meaning, also, Selection(label: label, values: values))
    }

    private init(names: [String], _ meaning: Meaning, _ also: Meaning?, _ selection: Selection?) {
        self.names = names
        self.meaning = meaning
        self.also = also
        self.selection = selection
    }
}

/// The labels that say which of several quantities under one name a series is.
enum Selector: Int, CaseIterable, Sendable {
    case clockType, type, errorType, eventType, memoryLocation, direction

    /// Labels that select by it.
    var labels: [String] {
        switch self {
        case .clockType: ["clock_type"]
        case .type: ["type"]
        case .errorType: ["error_type"]
        case .eventType: ["event_type"]
        case .memoryLocation: ["memory_location"]
        case .direction: ["direction", "network_io_direction"]
        }
    }
}
