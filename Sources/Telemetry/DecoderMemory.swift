import Bytes
import Fleet

/// What a decoder must know of earlier messages to read the next one.
///
/// Sources that send one value per message leave it to the reader to put sums and quotients
/// together; sticky gauges mean something only when they change. All of it is small, keyed by
/// device, bounded, and part of a checkpoint: a restart must not forget which fault was shown.
struct DecoderMemory: Sendable {
    /// What a remembered number is for.
    enum Use: UInt64, Sendable {
        case sticky, faultCount, peak, increments, rank, rate
    }

    struct Scalar: Sendable, Equatable {
        var value: Double
        var time: Int64
    }

    struct Part: Sendable, Equatable {
        var id: UInt16
        var value: Double
        var time: Int64
        var hasArrived: Bool
        /// How many rounds went by without it.
        var missed: UInt8
    }

    struct Combination: Sendable, Equatable {
        var parts: [Part] = []
        /// Whether a whole round was seen, so that it is known which parts there are.
        var isSettled = false
    }

    private(set) var scalars = ScalarTable()
    private(set) var combinations: [UInt64: Combination] = [:]
    /// Numbers not remembered because the bound was reached.
    private(set) var refused: UInt64 = 0
    private let entriesMax: Int

    private var undoScalars: [(UInt64, Scalar?)] = []
    private var undoCombinations: [(UInt64, Combination?)] = []
    private var keepsUndo = false

    init(entriesMax: Int) { self.entriesMax = entriesMax }

    /// Starts a message; `canFail` says that it may yet be taken back after values were applied.
    mutating func begin(canFail: Bool) {
        keepsUndo = canFail
        if !undoScalars.isEmpty { undoScalars.removeAll(keepingCapacity: true) }
        if !undoCombinations.isEmpty { undoCombinations.removeAll(keepingCapacity: true) }
    }

    /// Forgets what the current message taught.
    mutating func rollBack() {
        while let (key, old) = undoScalars.popLast() { scalars[key] = old }
        while let (key, old) = undoCombinations.popLast() { combinations[key] = old }
    }

    private static func key(
        _ device: DeviceIndex, _ metric: Metric, _ use: Use, _ part: Int
    ) -> UInt64 {
        UInt64(device.value) << 32 | UInt64(metric.rawValue & 0xFF) << 24 | use.rawValue << 20
            | UInt64(truncatingIfNeeded: part) & 0xF_FFFF
    }

    mutating func scalar(
        _ device: DeviceIndex, _ metric: Metric, _ use: Use, _ part: Int = 0
    ) -> Scalar? {
        scalars[DecoderMemory.key(device, metric, use, part)]
    }

    /// The largest number that a device has shown, 0 before the first.
    @inline(__always)
    func peak(_ device: DeviceIndex, _ metric: Metric) -> Double {
        scalars[DecoderMemory.key(device, metric, .peak, 0)]?.value ?? 0
    }

    /// Asks for what a device's next message will compare with.
    func expect(_ device: DeviceIndex) { scalars.expect(device) }

    @inline(never)
    mutating func remember(
        _ value: Double, at time: Instant, _ device: DeviceIndex, _ metric: Metric, _ use: Use,
        _ part: Int = 0
    ) {
        let key = DecoderMemory.key(device, metric, use, part)
        if keepsUndo { undoScalars.append((key, scalars[key])) }
        guard scalars.count < entriesMax || scalars[key] != nil else {
            refused &+= 1
            return
        }
        scalars[key] = Scalar(value: value, time: time.milliseconds)
    }

    /// Notes one part and says whether it was the last one of its round.
    ///
    /// A round ends when a part comes again. Which parts belong to it is known from the rounds
    /// before, so the first one gives nothing; a part that stays away for three rounds is dropped.
    /// Half a sum is never given: it would look like a fault.
    ///
    /// - Returns: the parts of the finished round, or an empty list.
    mutating func arrive(
        _ part: UInt16, _ value: Double, at time: Instant, _ device: DeviceIndex, _ metric: Metric
    ) -> [Part] {
        let key = DecoderMemory.key(device, metric, .sticky, 0)
        if keepsUndo { undoCombinations.append((key, combinations[key])) }
        guard combinations.count < entriesMax || combinations[key] != nil else {
            refused &+= 1
            return []
        }
        return combinations[key, default: Combination()].arrive(part, value, time.milliseconds)
    }
}

extension DecoderMemory.Combination {
    /// More parts than 18 links in two directions and four kinds of error have.
    static let partsMax = 160
    private static let roundsMissedMax: UInt8 = 3

    fileprivate mutating func arrive(
        _ id: UInt16, _ value: Double, _ time: Int64
    ) -> [DecoderMemory.Part] {
        if let index = parts.firstIndex(where: { $0.id == id }) {
            // Late or sent twice: the round it belonged to is over.
            guard time > parts[index].time else { return [] }
            if parts[index].hasArrived { endRound() }
        } else if parts.count >= Self.partsMax {
            return []
        }
        if let index = parts.firstIndex(where: { $0.id == id }) {
            parts[index].value = value
            parts[index].time = time
            parts[index].hasArrived = true
            parts[index].missed = 0
        } else {
            parts.append(
                DecoderMemory.Part(id: id, value: value, time: time, hasArrived: true, missed: 0))
        }
        return isSettled && parts.allSatisfy(\.hasArrived) ? parts : []
    }

    private mutating func endRound() {
        isSettled = true
        for index in parts.indices {
            if !parts[index].hasArrived { parts[index].missed += 1 }
            parts[index].hasArrived = false
        }
        parts.removeAll { $0.missed >= Self.roundsMissedMax }
    }
}

/// Numbers by key: open addressing, because the dictionary's own hash costs ten times the look.
///
/// The keys are made of device and metric numbers and not of bytes from outside, so that a plain
/// multiplication spreads the devices. What is remembered of one device lies side by side, because it
/// is asked for together.
struct ScalarTable: Sendable {
    private struct Entry: Sendable {
        var key: UInt64
        var value: DecoderMemory.Scalar

        static let free = Entry(key: .max, value: DecoderMemory.Scalar(value: 0, time: 0))
    }

    private var entries = Array(repeating: Entry.free, count: 1 << bitsMin)
    /// Of a product, those above the ones that number the entries.
    private var shift = 64 - UInt64(bitsMin)
    private(set) var count = 0
    private static var bitsMin: Int { 4 }
    /// No key: the metric of one has eight bits and its use four, of which 15 is none.
    private static var free: UInt64 { .max }

    var all: [(key: UInt64, value: DecoderMemory.Scalar)] {
        entries.filter { $0.key != Self.free }.map { ($0.key, $0.value) }
    }

    subscript(key: UInt64) -> DecoderMemory.Scalar? {
        get {
            let entry = entries[place(of: key)]
            return entry.key == key ? entry.value : nil
        }
        set {
            let place = place(of: key)
            guard let newValue else { return remove(place, key) }
            let isNew = entries[place].key != key
            entries[place] = Entry(key: key, value: newValue)
            guard isNew else { return }
            count += 1
            if count * 2 > entries.count { grow() }
        }
    }

    mutating func removeAll() { self = ScalarTable() }

    /// Where what is known of a device begins.
    ///
    /// The uppermost bits of multiples of the golden ratio lie evenly apart for devices that are numbered
    /// one after the other, so that one look nearly always finds what is asked for.
    @inline(__always)
    private func place(of device: UInt32) -> Int {
        Int(truncatingIfNeeded: (UInt64(device) &* 0x9E37_79B9_7F4A_7C15) &>> shift)
    }

    /// Asks for the numbers of a device to come nearer.
    func expect(_ device: DeviceIndex) {
        guard count > 0 else { return }
        let place = place(of: device.value)
        entries.span.extracting(place..<min(place &+ 4, entries.count)).ask()
    }

    /// Where `key` stands, or where it would.
    private func place(of key: UInt64) -> Int {
        let mask = entries.count &- 1
        let device = place(of: UInt32(truncatingIfNeeded: key &>> 32))
        // Parts of one metric, of which there may be many, are spread like devices.
        let part = Int(truncatingIfNeeded: (key & 0xF_FFFF) &* 0x2545_F491)
        var place = (device &+ part &+ Int(truncatingIfNeeded: key &>> 24) & 3) & mask
        while entries[place].key != key, entries[place].key != Self.free {
            place = (place &+ 1) & mask
        }
        return place
    }

    private mutating func grow() {
        let old = all
        entries = Array(repeating: .free, count: entries.count * 2)
        shift -= 1
        for (key, value) in old { entries[place(of: key)] = Entry(key: key, value: value) }
    }

    /// Only a message that is taken back removes what it added; what stood behind moves up.
    private mutating func remove(_ place: Int, _ key: UInt64) {
        guard entries[place].key == key else { return }
        entries[place] = .free
        count -= 1
        let mask = entries.count - 1
        var next = (place + 1) & mask
        while entries[next].key != Self.free {
            let moved = entries[next]
            entries[next] = .free
            entries[self.place(of: moved.key)] = moved
            next = (next + 1) & mask
        }
    }
}

/// One remembered number in a form that a checkpoint can hold.
package struct RememberedValue: Codable, Equatable, Sendable {
    /// Device, metric and purpose in one number; stable within a release.
    package let key: UInt64
    /// -1 for a number of its own, otherwise the part of a combination.
    package let part: Int32
    package let value: Double
    package let time: Int64
    /// Of a part: whether it has arrived (1), whether its combination is settled (2), and how many
    /// rounds it missed (from 4).
    package let state: UInt16
}

extension DecoderMemory {
    /// Everything remembered, in one order whatever the history.
    var values: [RememberedValue] {
        var all = scalars.all.map { key, scalar in
            RememberedValue(key: key, part: -1, value: scalar.value, time: scalar.time, state: 0)
        }
        for (key, combination) in combinations {
            for part in combination.parts {
                let state =
                    (part.hasArrived ? 1 : 0) | (combination.isSettled ? 2 : 0)
                    | UInt16(part.missed) << 2
                all.append(
                    RememberedValue(
                        key: key, part: Int32(part.id), value: part.value, time: part.time,
                        state: state))
            }
        }
        return all.sorted { ($0.key, $0.part) < ($1.key, $1.part) }
    }

    mutating func restore(_ values: [RememberedValue]) {
        scalars.removeAll()
        combinations.removeAll()
        for value in values where scalars.count + combinations.count < entriesMax {
            guard value.part >= 0 else {
                scalars[value.key] = Scalar(value: value.value, time: value.time)
                continue
            }
            combinations[value.key, default: Combination()].isSettled = value.state & 2 != 0
            combinations[value.key]?.parts.append(
                Part(
                    id: UInt16(clamping: value.part), value: value.value, time: value.time,
                    hasArrived: value.state & 1 != 0,
                    missed: UInt8(truncatingIfNeeded: value.state >> 2)))
        }
    }
}
