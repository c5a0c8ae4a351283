/// What became of one name: everything the hot path needs, and nothing that is counted by reference.
struct Resolution: Sendable {
    enum Disposition: UInt8, Sendable { case known, selected, ignored, unknown }

    var disposition: Disposition
    var source: Source
    var selector = Selector.type
    var meaning: Meaning
    var lane: Lane
    var also: Meaning?
    var alsoLane: Lane
    /// Whether another name of the source gives the same metric with another rank.
    var isContested = false

    /// What the vocabulary says of the metric, copied out of it.
    struct Lane: Sendable {
        var valid: ClosedRange<Double>
        var isCounter: Bool

        static let none = Lane(valid: 0...0, isCounter: false)
    }

    static func refused(_ disposition: Disposition) -> Resolution {
        Resolution(
            disposition: disposition, source: .unknown, meaning: .value(Metric(rawValue: 0)),
            lane: .none, also: nil, alsoLane: .none)
    }
}

/// The part of a resolution that the common case needs: one value, one lane, nothing remembered.
struct PlainMeaning: Sendable {
    let low: Double
    let high: Double
    let scale: Double
    /// Which reading of the labels the metric needs, with a Telegraf record and without.
    let telegrafSalt: UInt32
    let otherSalt: UInt32
    let metric: UInt16
    let rank: UInt8
    let isCounter: Bool
    let hasBlanks: Bool
    let isContested: Bool
    /// Whether there is no more to it than this.
    let isPlain: Bool

    init(_ resolution: Resolution) {
        let meaning = resolution.meaning
        low = resolution.lane.valid.lowerBound
        high = resolution.lane.valid.upperBound
        scale = meaning.scale
        telegrafSalt = resolution.source.salt(meaning.level, isTelegraf: true)
        otherSalt = resolution.source.salt(meaning.level, isTelegraf: false)
        metric = meaning.metric.rawValue
        rank = meaning.rank
        isCounter = resolution.lane.isCounter
        hasBlanks = resolution.source.hasBlanks
        isContested = resolution.isContested
        isPlain =
            resolution.disposition == .known && meaning.combine == .value
            && resolution.also == nil && !meaning.isFirstOnly && meaning.offset == 0
    }
}

extension Source {
    /// The number under which labels read for this source are remembered.
    func salt(_ level: Meaning.Level, isTelegraf: Bool) -> UInt32 {
        salt(level, dialect(isTelegraf: isTelegraf))
    }

    func salt(_ level: Meaning.Level, _ dialect: Attributes.Dialect) -> UInt32 {
        UInt32(rawValue) << 8 | UInt32(level.rawValue) << 4 | UInt32(dialect.rawValue)
    }

    /// Telegraf's own inputs tag as Telegraf does; what it scraped elsewhere keeps its labels.
    func dialect(isTelegraf: Bool) -> Attributes.Dialect {
        guard isTelegraf else { return .prometheus }
        switch self {
        case .nvidiaSMI, .nvidiaMIG, .rocmSMI, .canonical, .unknown: return .telegraf
        default: return .prometheus
        }
    }
}

/// Finds the meaning of a name by its bytes; the tables of strings are asked once per name.
struct Resolver: Sendable {
    private(set) var known: [Resolution] = []
    /// One for each of `known`.
    private(set) var plain: [PlainMeaning] = []
    private var map: ByteMap
    /// By entry of the map: its place in `known`, and the entry that came after it last time.
    private var places: [Int32] = []
    private var followers: [Int32] = []
    private var lastEntry = 0
    /// What a key of the table of keys means, and as what it was looked up.
    struct KeyPlace: Sendable {
        var salt: UInt32
        var place: Int32

        static let none = KeyPlace(salt: .max, place: -1)
    }

    /// By number of the key.
    private(set) var byKey: [KeyPlace] = []
    /// By place in `known` and number of a label's value.
    private var selected: [UInt64: Int32] = [:]
    private let namesMax: Int
    private(set) var clears: UInt64 = 0

    init(_ settings: DecoderSettings) {
        map = ByteMap(hashMask: settings.hashMask)
        namesMax = settings.namesMax
    }

    var isFull: Bool { known.count >= namesMax }

    /// Called between messages, so that no place in `known` is in use.
    ///
    /// - Returns: whether every place became invalid.
    mutating func clearIfFull() -> Bool {
        guard isFull else { return false }
        known.removeAll(keepingCapacity: true)
        plain.removeAll(keepingCapacity: true)
        places.removeAll(keepingCapacity: true)
        followers.removeAll(keepingCapacity: true)
        lastEntry = 0
        byKey.removeAll(keepingCapacity: true)
        selected.removeAll()
        map.removeAll()
        clears += 1
        return true
    }

    /// The place in `known` of a name that was seen before, or nil.
    ///
    /// `measurement` is the Telegraf input that gives the name its meaning, if any; `isOpaque`
    /// says whether a name that nobody knows becomes a series of its own.
    @inline(__always)
    mutating func place(
        _ bytes: Span<UInt8>, _ node: Node, _ measurement: Source, isOpaque: Bool
    ) -> Int? {
        let salt = salt(measurement, isOpaque)
        let key = Int(node.key)
        if key < byKey.count, byKey[key].salt == salt { return Int(byKey[key].place) }
        guard let place = find(bytes, node.range, salt) else { return nil }
        if key != 0 {
            while byKey.count <= key { byKey.append(.none) }
            byKey[key] = KeyPlace(salt: salt, place: Int32(truncatingIfNeeded: place))
        }
        return place
    }

    @inline(__always)
    private mutating func find(
        _ bytes: Span<UInt8>, _ name: Range<Int>, _ salt: UInt32
    ) -> Int? {
        // Producers keep the order of their fields: after a name comes the one that came last time.
        let before = lastEntry
        let guess = before < followers.count ? Int(followers[before]) : 0
        if map.isEntry(guess, bytes, name, salt: salt) {
            lastEntry = guess
            return Int(places[guess])
        }
        let hash = map.hash(bytes, name, salt: salt)
        guard let entry = map.find(bytes, name, salt: salt, hash: hash) else { return nil }
        if before < followers.count { followers[before] = entry }
        lastEntry = Int(entry)
        return Int(places[lastEntry])
    }

    @inline(__always)
    func salt(_ measurement: Source, _ isOpaque: Bool) -> UInt32 {
        UInt32(measurement.rawValue) << 1 | (isOpaque ? 1 : 0)
    }

    /// Gives the name at `node` a place in `known`.
    @inline(never)
    mutating func learn(
        _ bytes: Span<UInt8>, _ node: Node, isInflux: Bool, _ measurement: Source,
        isOpaque: Bool, _ vocabulary: inout Vocabulary
    ) -> Int {
        let salt = salt(measurement, isOpaque)
        let hash = map.hash(bytes, node.range, salt: salt)
        let text = Text.read(bytes, node, isInflux: isInflux)
        add(resolve(text, measurement, isOpaque, &vocabulary))
        map.add(bytes, node.range, salt: salt, hash: hash, value: Int32(places.count))
        places.append(Int32(known.count - 1))
        followers.append(0)
        return known.count - 1
    }

    private mutating func add(_ resolution: Resolution) {
        known.append(resolution)
        plain.append(PlainMeaning(resolution))
    }

    private func resolve(
        _ text: String?, _ measurement: Source, _ isOpaque: Bool, _ vocabulary: inout Vocabulary
    ) -> Resolution {
        guard let text, !text.isEmpty, text.utf8.count <= Resolver.nameBytesMax else {
            return .refused(.unknown)
        }
        if measurement == .unknown, let metric = vocabulary[text],
            metric.rawValue < Vocabulary.canonical.count
        {
            return resolution(Catalogue.Row(source: .canonical, metric: metric), vocabulary)
        }
        switch Catalogue.shared.find(text, measurement: measurement) {
        case .row(let row): return resolution(row, vocabulary)
        case .selected(let source, let label):
            var made = Resolution.refused(.selected)
            made.source = source
            made.selector = label
            return made
        case .ignored where !isOpaque: return .refused(.ignored)
        case .ignored, .unknown:
            guard isOpaque, let metric = vocabulary.opaque(text) else { return .refused(.unknown) }
            return resolution(Catalogue.Row(source: .canonical, metric: metric), vocabulary)
        }
    }

    private static let nameBytesMax = 128

    private func resolution(_ row: Catalogue.Row, _ vocabulary: Vocabulary) -> Resolution {
        Resolution(
            disposition: .known, source: row.source, meaning: row.meaning,
            lane: lane(row.meaning, vocabulary), also: row.also,
            alsoLane: row.also.map { lane($0, vocabulary) } ?? .none,
            isContested: Catalogue.shared.isContested(row.source, row.meaning.metric))
    }

    private func lane(_ meaning: Meaning, _ vocabulary: Vocabulary) -> Resolution.Lane {
        let definition = vocabulary[meaning.metric]
        return Resolution.Lane(valid: definition.valid, isCounter: definition.kind == .counter)
    }

    /// Gives the name at `place` another place, for series whose label has this value.
    @inline(never)
    mutating func learn(
        _ place: Int, selected value: String, number: UInt16, _ bytes: Span<UInt8>, _ node: Node,
        isInflux: Bool, _ vocabulary: Vocabulary
    ) -> Int {
        let name = Text.read(bytes, node, isInflux: isInflux) ?? ""
        let row = Catalogue.shared.find(name, selected: value)
        add(row.map { resolution($0, vocabulary) } ?? .refused(.ignored))
        selected[UInt64(place) << 16 | UInt64(number)] = Int32(known.count - 1)
        return known.count - 1
    }

    /// The place of such series, or nil where they are new.
    mutating func place(_ place: Int, selected number: UInt16) -> Int? {
        selected[UInt64(place) << 16 | UInt64(number)].map(Int.init)
    }
}
