import Detection
import Fleet

/// A comparison of one label of a device with what most of its peers carry.
struct LabelComparison {
    let key: LabelKey
    /// Peers are those of a cohort that carry the same of these.
    let alike: [LabelKey]
    /// In order of preference.
    let cohorts: [CohortKind]
    let membersMin: Int
    /// The share of the peers that must carry the same before one that does not is told.
    let agree: Float
    /// The bit of a device that may differ; -1 without one.
    var mark: Int16 = -1

    /// While a finding stands, so much less agreement is enough to keep it.
    static let slack: Float = 0.8
    /// Labels that no two devices share: there is nothing to compare.
    static let refused: Set<LabelKey> = [.slot, .rank]
}

/// What the labels of devices say beside those of their peers.
///
/// Labels change by the day, so they are looked at once a minute, and what was found is a byte for
/// each device and condition.
struct LabelModes: Sendable {
    enum Verdict: UInt8 {
        /// Too few peers carry the label, or they do not agree.
        case unknown
        /// It carries what most do, or no label, or stands in none of the cohorts.
        case same
        /// It differs from peers who agree less than it takes, and more than it takes to stay.
        case differsStill
        case differs
    }

    /// What is said of a device that differs.
    struct Difference: Equatable {
        let own: String
        let mode: String
        let carriers: Int
        let peers: Int
        let kind: CohortKind
        let cohort: Int32
    }

    /// Differences that are remembered in words; further ones are found and not described.
    static let describedMax = 4_096
    /// Different devices or values in one cohort; what comes after counts as different from all.
    fileprivate static let kindsMax = 64
    fileprivate static let valuesMax = 64

    private var verdicts: [[UInt8]] = []
    private var differences: [[Int: Difference]] = []
    private(set) var lookedAt: Int64 = .min
    private var seenChanges: UInt64 = 0

    /// Whether anything changed since the last look that a verdict depends on.
    ///
    /// Counts as a look where nothing did.
    mutating func isNew(at now: Int64, _ detection: borrowing Detection) -> Bool {
        let changes = detection.rosterChanges &+ detection.cohorts.version
        guard lookedAt != .min, changes == seenChanges else {
            seenChanges = changes
            return true
        }
        lookedAt = now
        return false
    }

    func verdict(_ slot: Int, _ device: Int) -> Verdict {
        guard slot < verdicts.count, device < verdicts[slot].count else { return .unknown }
        return Verdict(rawValue: verdicts[slot][device]) ?? .unknown
    }

    func difference(_ slot: Int, _ device: Int) -> Difference? {
        slot < differences.count ? differences[slot][device] : nil
    }

    var bytes: Int { verdicts.reduce(0) { $0 + $1.count } }

    mutating func look(
        _ comparisons: [LabelComparison], at now: Int64, _ detection: borrowing Detection,
        _ directory: Directory
    ) {
        lookedAt = now
        let count = min(detection.devices.count, directory.count)
        let carried = CarriedLabels(
            Set(comparisons.flatMap { $0.alike + [$0.key] }), of: count, directory)
        verdicts = comparisons.map { _ in [UInt8](repeating: 0, count: count) }
        differences = comparisons.map { _ in [:] }
        for slot in comparisons.indices {
            var isDecided = [Bool](repeating: false, count: count)
            alone(comparisons[slot], slot, &isDecided, detection, carried)
            for kind in comparisons[slot].cohorts {
                for index in 0..<Int32(detection.cohorts.count(kind)) {
                    compare(comparisons[slot], slot, kind, index, &isDecided, detection, carried)
                }
            }
        }
    }

    /// Devices that carry no label, or stand in none of the cohorts, differ from nobody.
    private mutating func alone(
        _ comparison: LabelComparison, _ slot: Int, _ isDecided: inout [Bool],
        _ detection: borrowing Detection, _ carried: CarriedLabels
    ) {
        for device in isDecided.indices {
            let isAlone = comparison.cohorts.allSatisfy { detection.devices[device][$0] < 0 }
            guard isAlone || carried[comparison.key, device] == CarriedLabels.none else { continue }
            isDecided[device] = true
            verdicts[slot][device] = Verdict.same.rawValue
        }
    }

    /// Devices of one make, and how many carry what.
    fileprivate struct Make {
        /// A device of it.
        let example: Int
        var values: [(value: Int32, count: Int)] = []
        var count = 0
    }

    private mutating func compare(
        _ comparison: LabelComparison, _ slot: Int, _ kind: CohortKind, _ cohort: Int32,
        _ isDecided: inout [Bool], _ detection: borrowing Detection, _ carried: CarriedLabels
    ) {
        let members = detection.cohorts.members(kind, cohort)
        guard members.count >= comparison.membersMin else { return }
        var makes: [Make] = []
        var makeOf = [Int](repeating: -1, count: members.count)
        for (place, member) in members.enumerated() {
            let device = Int(member.value)
            guard device < isDecided.count, !detection.devices[device].isRetired else { continue }
            let value = carried[comparison.key, device]
            guard value != CarriedLabels.none,
                let make = makes.place(of: device, comparison.alike, carried)
            else { continue }
            makeOf[place] = make
            makes[make].add(value)
        }
        for (place, member) in members.enumerated() where makeOf[place] >= 0 {
            let device = Int(member.value)
            let make = makes[makeOf[place]]
            guard !isDecided[device], make.count >= comparison.membersMin,
                let mode = make.values.max(by: { $0.count < $1.count })
            else { continue }
            isDecided[device] = true
            let own = carried[comparison.key, device]
            let verdict = comparison.verdict(own, mode, of: make.count)
            verdicts[slot][device] = verdict.rawValue
            guard verdict == .differs || verdict == .differsStill,
                differences[slot].count < LabelModes.describedMax
            else { continue }
            differences[slot][device] = Difference(
                own: carried.text(own), mode: carried.text(mode.value), carriers: mode.count,
                peers: make.count, kind: kind, cohort: cohort)
        }
    }
}

extension [LabelModes.Make] {
    /// The make of a device, which may be the first one of it; nil where there are too many.
    fileprivate mutating func place(
        of device: Int, _ alike: [LabelKey], _ carried: CarriedLabels
    ) -> Int? {
        let found = firstIndex { make in
            alike.allSatisfy { carried[$0, make.example] == carried[$0, device] }
        }
        if let found { return found }
        guard count < LabelModes.kindsMax else { return nil }
        append(LabelModes.Make(example: device))
        return count - 1
    }
}

/// What devices carry of some labels, as numbers: two that carry the same text have the same one.
///
/// The labels of each device lie by themselves, and texts are slow to compare: they are read once,
/// whoever asks for them.
private struct CarriedLabels {
    /// The number of a label that a device does not carry.
    static let none: Int32 = 0

    private var texts = [""]
    /// By key and device; none for a key that nobody asks for.
    private var numbers: [[Int32]]

    init(_ keys: Set<LabelKey>, of count: Int, _ directory: Directory) {
        numbers = LabelKey.allCases.map {
            [Int32](repeating: CarriedLabels.none, count: keys.contains($0) ? count : 0)
        }
        var known = ["": CarriedLabels.none]
        for device in 0..<count {
            let labels = directory.devices[device].labels
            for key in keys {
                // Most of the time it is what the device before carries.
                let last = numbers[key.rawValue][max(device - 1, 0)]
                let text = labels[key]
                numbers[key.rawValue][device] =
                    texts[Int(last)] == text ? last : number(of: text, &known)
            }
        }
    }

    private mutating func number(of text: String, _ known: inout [String: Int32]) -> Int32 {
        if let number = known[text] { return number }
        let number = Int32(texts.count)
        texts.append(text)
        known[text] = number
        return number
    }

    subscript(key: LabelKey, device: Int) -> Int32 { numbers[key.rawValue][device] }

    func text(_ number: Int32) -> String { texts[Int(number)] }
}

extension LabelModes.Make {
    fileprivate mutating func add(_ value: Int32) {
        count += 1
        if let found = values.firstIndex(where: { $0.value == value }) {
            values[found].count += 1
        } else if values.count < LabelModes.valuesMax {
            values.append((value, 1))
        }
    }
}

extension LabelComparison {
    /// What `own` is worth beside the value that most of `peers` carry.
    fileprivate func verdict(
        _ own: Int32, _ mode: (value: Int32, count: Int), of peers: Int
    ) -> LabelModes.Verdict {
        // More than half, whatever is asked: of two that are as many, neither is wrong.
        let share = Float(mode.count) / Float(peers)
        guard mode.count * 2 > peers, share >= agree * LabelComparison.slack else {
            return .unknown
        }
        if own == mode.value { return .same }
        // A share of whole devices, rounded by no more than a thousandth.
        return share >= agree - 0.001 ? .differs : .differsStill
    }
}
