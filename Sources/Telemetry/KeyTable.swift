import Bytes

/// The keys of objects as they were met before, and which came after which.
///
/// Producers keep the order of their keys. So the key that is expected is compared with what stands
/// there, in one step; only what is unexpected is searched for its end and looked up.
struct KeyTable: Sendable {
    /// What a key says of its value, in any of the formats.
    enum Role: UInt8, Sendable {
        case none
        case version, time, metrics, events, labels, tags, fields, name, value, metric, kind, gauge
        case counter, list, device, host, index, vendor, model
    }

    struct Entry: Sendable {
        /// The key, its closing quote and the colon.
        var literal: Literal
        var role: Role
        /// The key that came after it last time; 0 is none.
        var follower: UInt16 = 0
    }

    /// The first one stands for the beginning of a message, and is no key.
    private(set) var entries: [Entry] = []
    private var map: ByteMap
    private let keys = Keys()

    /// A site has hundreds of names; what does not fit is read as well, and a little slower.
    private static let countMax = 2_048

    init(hashMask: UInt64) {
        map = ByteMap(hashMask: hashMask)
        let nothing: [UInt8] = []
        entries.append(Entry(literal: Literal(nothing.span, 0..<0), role: .none))
    }

    /// The number of the key that stands at `range`, behind the key numbered `last`; 0 is none.
    @inline(never)
    mutating func learn(_ bytes: Span<UInt8>, _ range: Range<Int>, after last: UInt16) -> UInt16 {
        // Not only the key but what makes it one is compared.
        let literal = range.lowerBound..<range.upperBound + 2
        guard literal.count <= Literal.lengthMax, literal.upperBound <= bytes.count,
            bytes[range.upperBound] == Byte.quote, bytes[range.upperBound + 1] == Byte.colon
        else { return 0 }
        let hash = map.hash(bytes, range, salt: 0)
        var found = map.find(bytes, range, salt: 0, hash: hash).map {
            UInt16(truncatingIfNeeded: $0)
        }
        if found == nil, entries.count < Self.countMax {
            found = UInt16(entries.count)
            map.add(bytes, range, salt: 0, hash: hash, value: Int32(entries.count))
            entries.append(
                Entry(literal: Literal(bytes, literal), role: role(bytes, range)))
        }
        guard let found else { return 0 }
        entries[Int(last)].follower = found
        return found
    }

    func role(_ bytes: Span<UInt8>, _ key: Range<Int>) -> Role {
        switch key.count {
        case 1:
            if bytes.spells(key, keys.version) { return .version }
            if bytes.spells(key, keys.metrics) { return .metrics }
            if bytes.spells(key, keys.events) { return .events }
        case 2: if bytes.spells(key, keys.time) { return .time }
        case 4:
            if bytes.spells(key, keys.name) { return .name }
            if bytes.spells(key, keys.tags) { return .tags }
            if bytes.spells(key, keys.kind) { return .kind }
            if bytes.spells(key, keys.host) { return .host }
        case 5:
            if bytes.spells(key, keys.value) { return .value }
            if bytes.spells(key, keys.gauge) { return .gauge }
            if bytes.spells(key, keys.index) { return .index }
            if bytes.spells(key, keys.model) { return .model }
        case 6:
            if bytes.spells(key, keys.labels) { return .labels }
            if bytes.spells(key, keys.fields) { return .fields }
            if bytes.spells(key, keys.metric) { return .metric }
            if bytes.spells(key, keys.device) { return .device }
            if bytes.spells(key, keys.vendor) { return .vendor }
        case 7:
            if bytes.spells(key, keys.counter) { return .counter }
            if bytes.spells(key, keys.list) { return .list }
        case 9: if bytes.spells(key, keys.timestamp) { return .time }
        default: break
        }
        return .none
    }
}
