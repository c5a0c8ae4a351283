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

/// Finds the meaning of a name by its bytes; the tables of strings are asked once per name.
struct Resolver: Sendable {
    private(set) var known: [Resolution] = []
    private var map: ByteMap
    /// By place in `known` and number of a label's value.
    private var selected: [UInt64: Int32] = [:]
    private let namesMax: Int
    private(set) var clears: UInt64 = 0

    init(_ settings: DecoderSettings) {
        map = ByteMap(hashMask: settings.hashMask)
        namesMax = settings.namesMax
    }

    /// Called between messages, so that no place in `known` is in use.
    mutating func clearIfFull() {
        guard known.count >= namesMax else { return }
        known.removeAll(keepingCapacity: true)
        selected.removeAll()
        map.removeAll()
        clears += 1
    }

    /// The place in `known` of the name at `node`.
    ///
    /// `measurement` is the Telegraf input that gives the name its meaning, if any; `isOpaque`
    /// says whether a name that nobody knows becomes a series of its own.
    @inline(__always)
    mutating func find(
        _ bytes: Span<UInt8>, _ node: Node, _ tape: borrowing Tape, measurement: Source,
        isOpaque: Bool, _ vocabulary: inout Vocabulary
    ) -> Int {
        let salt = UInt32(measurement.rawValue) << 1 | (isOpaque ? 1 : 0)
        let hash = map.hash(bytes, node.range, salt: salt)
        if let place = map.find(bytes, node.range, salt: salt, hash: hash) {
            return Int(place)
        }
        let text = Text.read(bytes, node, isInflux: tape.isInflux)
        let made = resolve(text, measurement, isOpaque, &vocabulary)
        known.append(made)
        map.add(bytes, node.range, salt: salt, hash: hash, value: Int32(known.count - 1))
        return known.count - 1
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

    /// The place in `known` of the name at `place`, where its label has the value `number`.
    mutating func select(
        _ place: Int, _ node: Node, _ bytes: Span<UInt8>, _ tape: borrowing Tape,
        number: UInt16, value: String, _ vocabulary: Vocabulary
    ) -> Int {
        let key = UInt64(place) << 16 | UInt64(number)
        if let found = selected[key] { return Int(found) }
        let name = Text.read(bytes, node, isInflux: tape.isInflux) ?? ""
        let row = Catalogue.shared.find(name, selected: value)
        known.append(row.map { resolution($0, vocabulary) } ?? .refused(.ignored))
        selected[key] = Int32(known.count - 1)
        return known.count - 1
    }

    func selection(_ place: Int, number: UInt16) -> Int? {
        selected[UInt64(place) << 16 | UInt64(number)].map(Int.init)
    }
}
