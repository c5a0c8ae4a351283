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
    private static let kindsMax = 64
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
        verdicts = comparisons.map { _ in
            [UInt8](repeating: 0, count: min(detection.devices.count, directory.count))
        }
        differences = comparisons.map { _ in [:] }
        for slot in comparisons.indices {
            var isDecided = [Bool](repeating: false, count: verdicts[slot].count)
            alone(comparisons[slot], slot, &isDecided, detection, directory)
            for kind in comparisons[slot].cohorts {
                for index in 0..<Int32(detection.cohorts.count(kind)) {
                    compare(
                        comparisons[slot], slot, kind, index, &isDecided, detection, directory)
                }
            }
        }
    }

    /// Devices that carry no label, or stand in none of the cohorts, differ from nobody.
    private mutating func alone(
        _ comparison: LabelComparison, _ slot: Int, _ isDecided: inout [Bool],
        _ detection: borrowing Detection, _ directory: Directory
    ) {
        for device in isDecided.indices {
            let isAlone = comparison.cohorts.allSatisfy { detection.devices[device][$0] < 0 }
            guard isAlone || directory.devices[device].labels[comparison.key].isEmpty else {
                continue
            }
            isDecided[device] = true
            verdicts[slot][device] = Verdict.same.rawValue
        }
    }

    /// Devices of one make, and how many carry what.
    fileprivate struct Make {
        let labels: [String]
        var values: [(value: String, count: Int)] = []
        var count = 0
    }

    private mutating func compare(
        _ comparison: LabelComparison, _ slot: Int, _ kind: CohortKind, _ cohort: Int32,
        _ isDecided: inout [Bool], _ detection: borrowing Detection, _ directory: Directory
    ) {
        let members = detection.cohorts.members(kind, cohort)
        guard members.count >= comparison.membersMin else { return }
        var makes: [Make] = []
        var makeOf = [Int](repeating: -1, count: members.count)
        for (place, member) in members.enumerated() {
            let device = Int(member.value)
            guard device < isDecided.count, !detection.devices[device].isRetired else { continue }
            let labels = directory.devices[device].labels
            let value = labels[comparison.key]
            guard !value.isEmpty else { continue }
            let make = comparison.alike.map { labels[$0] }
            guard let found = LabelModes.place(of: make, in: &makes) else { continue }
            makeOf[place] = found
            makes[found].add(value)
        }
        for (place, member) in members.enumerated() where makeOf[place] >= 0 {
            let device = Int(member.value)
            let make = makes[makeOf[place]]
            guard !isDecided[device], make.count >= comparison.membersMin,
                let mode = make.values.max(by: { $0.count < $1.count })
            else { continue }
            isDecided[device] = true
            let own = directory.devices[device].labels[comparison.key]
            let verdict = comparison.verdict(own, mode, of: make.count)
            verdicts[slot][device] = verdict.rawValue
            guard verdict == .differs || verdict == .differsStill,
                differences[slot].count < LabelModes.describedMax
            else { continue }
            differences[slot][device] = Difference(
                own: own, mode: mode.value, carriers: mode.count, peers: make.count, kind: kind,
                cohort: cohort)
        }
    }

    private static func place(of labels: [String], in makes: inout [Make]) -> Int? {
        if let found = makes.firstIndex(where: { $0.labels == labels }) { return found }
        guard makes.count < kindsMax else { return nil }
        makes.append(Make(labels: labels))
        return makes.count - 1
    }
}

extension LabelModes.Make {
    fileprivate mutating func add(_ value: String) {
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
        _ own: String, _ mode: (value: String, count: Int), of peers: Int
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
