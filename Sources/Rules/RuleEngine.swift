package import Detection
package import Fleet
import RollingStatistics
package import Telemetry

/// Judges every tick and every step of event time by the rules, and says what fires and clears.
///
/// Rules on devices that ask only their own values are judged at the tick that brings them; all
/// that looks at silence, at peers or at groups is judged at steps of event time, five seconds
/// apart, when the frontier of the watermarks passes them. Both depend on the order of messages
/// and on nothing else: not on where batches end, nor on any clock. Not copyable, because a copy of
/// its state would be a mistake and an expensive one.
package struct RuleEngine: ~Copyable {
    /// Never set: an existential has no place but memory, and neither has what holds one.
    ///
    /// A large struct without one counts as a value to be loaded, and 900 bytes of it are copied for
    /// each call of a method that does not change it.
    private let inPlace: (any Sendable)? = nil
    package internal(set) var book: RuleBook
    var program: Program
    var devicePool: Pool
    var groupPools: [Pool]
    var deviceStates: StateTable
    var groupStates: [StateTable]
    /// The newest value of each metric that some rule reads, by device and register.
    var registers = LaneRegisters()
    /// By device.
    var marks: [Marks.Bits] = []
    /// By device, as they were when `ready` was worked out.
    var gates: [UInt16] = []
    /// By device and word: rules to evaluate as things are, one bit for each.
    var ready: [UInt64] = []
    var readiness: Readiness
    var deviceCount = 0

    /// What was last said of each rule and subject that fires.
    var spoken: [Finding.Key: Finding] = [:]
    /// Edges since the last step; baselines are held and released at steps, wherever batches end.
    var unheld: [Finding] = []
    /// Devices whose baselines a finding holds, until it is over.
    var holding: [Finding.Key: Set<Int>] = [:]
    /// Restored findings whose subject was not heard of again yet.
    var awaited: [Finding] = []
    /// Since when they are awaited, milliseconds of event time.
    var awaitedSince: Int64 = .min
    var edges: [Finding] = []
    var shadowEdges: [Finding] = []
    var history = FaultHistory()
    var eventStates: [EventKey: EventState] = [:]
    var groupEmptySince: [GroupPlace: Int64] = [:]
    /// Of the membership that empty groups were looked for in.
    var emptyVersion: UInt64 = .max
    /// 64 MiB of profiles: all services and jobs of a site fit, the devices of a large fleet do not.
    var seasons = LearnerTable<Season>(entriesMax: 32_768, bytesEach: 2_200)
    /// Those of devices, of working days and days of rest.
    var deviceSeasons: DeviceSeasons
    /// 256 MiB of scores.
    var watches = LearnerTable<AnomalyWatch>(
        entriesMax: 65_536, bytesEach: MemoryLayout<AnomalyWatch>.stride)
    /// As much again for scores over several metrics of one device.
    var deviceWatches = LearnerTable<AnomalyDeviceWatch>(
        entriesMax: 65_536, bytesEach: MemoryLayout<AnomalySeries>.stride + 512)
    var labelModes = LabelModes()
    var lastStep: Int64 = .min

    // Scratch, empty between calls.
    var scratch: [Float] = []
    /// Rows of the batch in work that leaves wait for.
    var fed: [FedRow]
    var offenders: [Int] = []
    var offenderSince: Int64 = .max
    var hostStamps: [Int64] = []
    var stamp: Int64 = 0
    var peers: PeerCache
    var watchedPeers = WatchedPeers()
    var agenda = Agenda()
    /// The rule in work is idle on its subject: that it cannot hold is all that one wants to know.
    var isIdleInWork = false

    /// 2020-01-01: 32 bits of seconds from there last until 2088.
    static let firstSecond: Int64 = 1_577_836_800

    /// The newest value at `place`; NaN where there was none.
    @inline(__always)
    func valueAt(_ place: Int) -> Float { registers[place].value }

    /// Hands on the newest value of each member of a group, at a register of theirs.
    ///
    /// Those that come next are named first, for whoever wants to ask for more of them than that.
    @inline(__always)
    func forEachMember(
        of kind: CohortKind, _ index: Int32, at register: Int, isNear: Bool = false,
        _ detection: borrowing Detection, ahead: (Int) -> Void = { _ in },
        _ body: (Int, (value: Float, seen: Int32, since: Int32)) -> Void
    ) {
        let stride = program.registerGroups &* 16
        let isFar = !isNear && registers.bytes > LaneBlocks.cacheBytes
        for place in detection.cohorts.range(kind, index) {
            if let next = detection.cohorts.memberAhead(of: place) {
                if isFar { registers.prefetch(next &* stride &+ register) }
                ahead(next)
            }
            let device = detection.cohorts.member(at: place)
            body(device, registers[device &* stride &+ register])
        }
    }

    /// The last whole second of registers at `milliseconds`.
    ///
    /// Called: a loop into which it is inlined clamps it anew for each value.
    @inline(never)
    static func second(_ milliseconds: Int64) -> Int32 {
        Int32(clamping: milliseconds / 1_000 - RuleEngine.firstSecond)
    }

    /// When the value at `place` was seen, milliseconds.
    @inline(__always)
    func seenAt(_ place: Int) -> Int64 {
        (Int64(registers[place].seen) + RuleEngine.firstSecond) * 1_000
    }

    /// How many members ahead their state is asked for: a look at one takes a dozen cycles, and what
    /// lies beyond the second-level cache some three hundred.
    static let membersAhead = 24
    /// How often rules are judged that wait for a minute at least, and offsets from peers learned.
    static let turnMilliseconds: Int64 = 15_000
    /// Steps made up for at most after a jump of event time; ten minutes of them.
    static let stepsMax: Int64 = 120
    /// Shadow findings kept for whoever asks; older ones give way.
    static let shadowMax = 10_000

    /// An engine that has seen nothing.
    ///
    /// The vocabulary learns the names of metrics that only rules know, so that decoders made from
    /// it afterwards give them the same number.
    ///
    /// - Parameters:
    ///   - book: what is looked for.
    ///   - vocabulary: learns the names.
    ///   - seasonFile: an open descriptor of an empty file, in which seasons of devices may lie.
    package init(book: RuleBook, vocabulary: inout Vocabulary, seasonFile: Int32? = nil) {
        deviceSeasons = DeviceSeasons(file: seasonFile)
        self.book = book
        let program = Program(book, &vocabulary)
        self.program = program
        readiness = Readiness(rules: program.rules.count)
        peers = PeerCache(questions: program.peerQuestions.count)
        fed = [FedRow](repeating: FedRow(), count: max(256, 2 * program.uses.fedMax))
        devicePool = Pool(timeStride: program.deviceTimes, numberStride: program.deviceNumbers)
        deviceStates = StateTable(stride: program.deviceRules)
        groupPools = CohortKind.allCases.map {
            Pool(
                timeStride: program.groupTimes[$0.rawValue],
                numberStride: program.groupNumbers[$0.rawValue])
        }
        groupStates = CohortKind.allCases.map {
            StateTable(stride: program.groupRules[$0.rawValue])
        }
    }

    /// What its rules ask of `Detection`; for `Detection.serve`.
    package var needs: Needs { program.needs }

    /// All live findings that fire, in order of their keys.
    package var firing: [Finding] {
        let live = spoken.values.filter { book[$0.key.rule]?.mode != .shadow } + awaited
        return live.sorted { ($0.key.rule, $0.key.subject) < ($1.key.rule, $1.key.subject) }
    }

    /// The edges of shadow rules since the last call; at most 10,000 are kept.
    package mutating func takeShadow() -> [Finding] {
        defer { shadowEdges.removeAll() }
        return shadowEdges
    }

    /// Values that found no season because there are too many series with one.
    package var seasonsRefused: UInt64 { seasons.refused &+ deviceSeasons.refused }

    /// Values that found no anomaly score because there are too many series with one.
    package var watchesRefused: UInt64 { watches.refused &+ deviceWatches.refused }

    /// Subjects with an anomaly score, 4 KB for each series; none without a rule that asks.
    package var watchCount: Int { watches.count + deviceWatches.count }

    /// Bytes of state behind all devices and groups.
    package var bytes: Int {
        devicePool.bytes + deviceStates.bytes + registers.bytes + marks.count * 34
            + ready.count * 8 + readiness.bytes + seasons.bytes + watches.bytes
            + deviceWatches.bytes + labelModes.bytes + deviceSeasons.bytes
            + groupPools.reduce(0) { $0 + $1.bytes } + groupStates.reduce(0) { $0 + $1.bytes }
    }

    /// Feeds a batch through detection and judges it.
    ///
    /// - Returns: the edges of live rules, in the order in which they came about.
    package mutating func process(
        _ batch: inout SampleBatch, detection: inout Detection, directory: inout Directory
    ) -> [Finding] {
        var cursor = detection.begin(&batch, directory: &directory)
        grow(detection)
        resumeAwaited(&detection, directory)
        repeat {
            let rows = detection.apply(&batch, from: &cursor, directory: &directory)
            judge(rows, of: batch, &cursor, detection, directory)
            if cursor.row == batch.rows.count {
                takeFaults(of: batch, upTo: nil, &cursor, detection, directory)
            }
            step(&detection, directory)
        } while cursor.row < batch.rows.count
        // Events without any tick move no time, and must not gather for ever.
        if unheld.count > RuleEngine.shadowMax { settleHolds(&detection, directory) }
        return takeEdges()
    }

    /// Moves partitions forward to where the caller knows them to be, and judges the steps passed.
    ///
    /// A partition that is read to its end while others went on has no news of its own; the caller
    /// gives it their time, and what it carried becomes absent.
    package mutating func advance(
        watermarks: [(partition: Partition, time: Instant)], detection: inout Detection,
        directory: inout Directory
    ) -> [Finding] {
        detection.refresh(&directory)
        grow(detection)
        detection.advance(watermarks: watermarks)
        step(&detection, directory)
        return takeEdges()
    }

    mutating func takeEdges() -> [Finding] {
        defer { edges.removeAll(keepingCapacity: true) }
        return edges
    }

    /// Nothing is learned from devices while something fires on them.
    mutating func hold(
        _ finding: Finding, _ detection: inout Detection, _ directory: Directory
    ) {
        switch finding.edge {
        case .fired, .changed:
            for id in finding.devices {
                guard let device = directory.index(of: id).map({ Int($0.value) }),
                    holding[finding.key, default: []].insert(device).inserted
                else { continue }
                detection.hold(device)
            }
        case .cleared, .ruleRemoved:
            for device in holding.removeValue(forKey: finding.key) ?? [] {
                detection.release(device)
            }
        }
    }

    mutating func grow(_ detection: borrowing Detection) {
        let count = detection.devices.count
        if count > deviceCount {
            let more = count - deviceCount
            registers.grow(to: count * program.registerGroups * 16)
            marks.append(contentsOf: repeatElement(program.marks.initial, count: more))
            gates.append(contentsOf: detection.devices[deviceCount...].map(\.gates.rawValue))
            ready.append(contentsOf: repeatElement(0, count: more * program.words))
            readiness.grow(devices: count, words: program.words)
            devicePool.grow(to: count)
            deviceStates.grow(to: count)
            for device in deviceCount..<count { admit(device) }
            deviceCount = count
        }
        for kind in CohortKind.allCases {
            let groups = detection.cohorts.count(kind)
            groupPools[kind.rawValue].grow(to: groups)
            groupStates[kind.rawValue].grow(to: groups)
            readiness.grow(kind, to: groups * groupStates[kind.rawValue].stride)
        }
    }
}

extension Cohorts {
    /// The device at a place in the range of a group.
    @inline(__always)
    func member(at place: Int) -> Int { Int(lists.devices[place].value) }

    /// The device so many places further on that its state may be asked for now, of the same group or
    /// of the one behind, which is the next more often than not; nil at the end.
    @inline(__always)
    func memberAhead(of place: Int) -> Int? {
        let next = place &+ RuleEngine.membersAhead
        return next < lists.devices.count ? member(at: next) : nil
    }
}

/// A place in time and in the stream, for what is said there.
///
/// Made for each subject that is looked at, and so without anything that must be counted.
struct Moment {
    let time: Int64
    /// Of the partition, among those of `Detection`; -1 for none.
    let clock: Int32
    let offset: Int64
}

/// One group of one kind.
struct GroupPlace: Hashable, Comparable {
    let kind: Int
    let index: Int32

    static func < (left: GroupPlace, right: GroupPlace) -> Bool {
        (left.kind, left.index) < (right.kind, right.index)
    }
}
