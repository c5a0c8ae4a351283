import Detection

/// What learns a series for weeks: worth keeping while its subject is away.
protocol Learner: Sendable {
    /// When a value last came, milliseconds.
    var fedAt: Int64 { get }
    /// Series that it holds; the bound on memory counts them.
    var series: Int { get }
}

extension Learner {
    var series: Int { 1 }
}

extension Season: Learner {}
extension AnomalyWatch: Learner {}
extension AnomalyDeviceWatch: Learner {
    /// The metrics, and what they leave unexplained.
    var series: Int { metrics + 1 }
}

/// The learners of all leaves that ask for one, made at the first value.
///
/// A learner takes weeks, so a service that scales to nothing at night finds its own again: what is
/// forgotten is parked by name, until room is needed.
struct LearnerTable<Kept: Learner> {
    struct Key: Hashable {
        let leaf: Int32
        let subject: Int32
    }

    private struct Parked {
        let name: String
        let group: Int
        let leaf: Int32
        let learner: Kept
    }

    private let entriesMax: Int
    private let bytesEach: Int
    private var used = 0
    private var learners: [Key: Kept] = [:]
    private var parked: [Parked] = []
    /// Values that found no learner because the table is full.
    private(set) var refused: UInt64 = 0

    /// - Parameters:
    ///   - entriesMax: series that are kept at most; learners that need more stay unknown.
    ///   - bytesEach: of one, for the account of memory.
    init(entriesMax: Int, bytesEach: Int) {
        self.entriesMax = entriesMax
        self.bytesEach = bytesEach
    }

    var count: Int { learners.count + parked.count }
    var bytes: Int { used * bytesEach }

    subscript(leaf leaf: Int32, subject: Int) -> Kept? {
        learners[Key(leaf: leaf, subject: Int32(truncatingIfNeeded: subject))]
    }

    /// Feeds the learner of a subject; `make` and `name` are asked once, when there is none.
    ///
    /// `series` is what the learner will count for. Where there is no room none is made: values that
    /// are refused come at every step.
    ///
    /// - Returns: what `feed` says; nil where there is no room for another.
    mutating func update<Answer>(
        _ leaf: Int32, _ subject: Int, group: Int, series: Int = 1, name: () -> String,
        make: () -> Kept, feed: (inout Kept) -> Answer
    ) -> Answer? {
        let key = Key(leaf: leaf, subject: Int32(truncatingIfNeeded: subject))
        if let place = learners.index(forKey: key) { return feed(&learners.values[place]) }
        guard var found = unpark(leaf, group, name) ?? fresh(series, make) else {
            refused &+= 1
            return nil
        }
        defer { learners[key] = found }
        return feed(&found)
    }

    private mutating func fresh(_ series: Int, _ make: () -> Kept) -> Kept? {
        while used + series > entriesMax {
            let oldest = parked.indices.min {
                parked[$0].learner.fedAt < parked[$1].learner.fedAt
            }
            guard let oldest else { return nil }
            used -= parked.remove(at: oldest).learner.series
        }
        let made = make()
        used += made.series
        return made
    }

    private mutating func unpark(_ leaf: Int32, _ group: Int, _ name: () -> String) -> Kept? {
        guard !parked.isEmpty else { return nil }
        let name = name()
        let found = parked.firstIndex {
            $0.leaf == leaf && $0.group == group && $0.name == name
        }
        return found.map { parked.remove(at: $0).learner }
    }

    /// The group gives its index back; its learners wait for its return.
    mutating func park(_ subject: Int, leaves: [Int32], group: Int, name: String) {
        for leaf in leaves {
            let key = Key(leaf: leaf, subject: Int32(truncatingIfNeeded: subject))
            guard let learner = learners.removeValue(forKey: key) else { continue }
            parked.append(Parked(name: name, group: group, leaf: leaf, learner: learner))
        }
    }

    /// Takes over the learners of a leaf whose definition did not change.
    mutating func copy(from old: borrowing LearnerTable, leaf: Int32, to next: Int32) {
        for (key, learner) in old.learners where key.leaf == leaf {
            learners[Key(leaf: next, subject: key.subject)] = learner
            used += learner.series
        }
        for item in old.parked where item.leaf == leaf {
            parked.append(
                Parked(name: item.name, group: item.group, leaf: next, learner: item.learner))
            used += item.learner.series
        }
    }
}
