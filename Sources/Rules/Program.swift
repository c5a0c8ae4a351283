import Detection
import Fleet
import RollingStatistics
import Telemetry

/// A rule on one scope, as flat numbers: what evaluation reads instead of the rule.
struct CompiledRule {
    /// Index into the book's rules.
    let rule: Int
    /// nil for a rule on devices.
    let group: CohortKind?
    /// Its place in the state table of its scope.
    let local: Int
    let root: Int
    let hold: Int64
    let clearHold: Int64
    let required: UInt16
    let refused: UInt16
    let membersMin: Int
    let membersMax: Int
    let hostPresent: Bool
    let isEvent: Bool
    /// Judged at each tick of the device instead of at steps.
    let isTick: Bool
    let isShadow: Bool
    let blamesSilent: Bool
    let leaves: Range<Int>
    /// Judged at turns instead of at all steps.
    var isPatient = false
}

/// One node of a condition; children lie side by side.
struct CompiledNode {
    enum Kind: UInt8 { case all, any, atLeast, not, members, held, gated, leaf }

    var kind = Kind.leaf
    /// Evaluates every child: one of them counts time.
    var isExhaustive = false
    var ofHosts = false
    var first: Int32 = 0
    var count: Int32 = 0
    var leaf: Int32 = -1
    var least: Int32 = 1
    var most: Int32 = .max
    var fraction: Float = .nan
    var clearFraction: Float = .nan
    var hold: Int64 = 0
    var time: Int32 = -1
    var gate = GateTest()
    /// Of members: what one of them needs, in `Program.memberRejects`; -1 where that is not known.
    var reject: Int32 = -1
}

/// One leaf, with its registers and its places in the pool.
struct CompiledLeaf {
    enum Kind: UInt8 {
        case threshold, state, delta, rate, zscore, flatline, steady, absence, event, count
        case completeness
        case peer, cusum, usual, duration, forecast, seasonal, anomaly
        case mismatch

        /// Of a device, it sees each value, whether or not its rule is judged.
        var isFed: Bool {
            switch self {
            case .delta, .zscore, .steady, .usual, .cusum, .forecast: true
            default: false
            }
        }

        /// It gathers the values of slices of time, and those only while the gates of its rule are open.
        var gathers: Bool { self == .cusum || self == .forecast }
    }

    var kind = Kind.threshold
    var aggregate: Aggregate?
    var isOptional = false
    /// Must be asked each time, because it counts or learns.
    var isExhaustive = false
    /// A state, a counter or a limit is sent rarely and stays true.
    var isSlow = false
    var fractional = false
    var metric = Metric(rawValue: 0)
    /// Register of the metric; -1 without one.
    var register: Int32 = -1
    /// Register of the metric that it is a share of; -1 none, -2 the device's own mean.
    var relative: Int32 = -1
    var bound = Bound()
    var state = StateTest()
    /// Threshold of a delta, share of a steadiness, limit of a z.
    var amount: Float = 0
    var direction = Direction.both
    var window: Int64 = 0
    /// First places in the pool of its scope; -1 where it keeps nothing.
    var time: Int32 = -1
    var number: Int32 = -1
    /// Where it gathers: the end of the slice in work among the times; its sum among the numbers, and
    /// each `sliceStride` on its count and its floor.
    var sliceEnd: Int32 = -1
    var sliceSum: Int32 = -1
    var sliceStride: Int32 = 1
    var absence = AbsenceTest()
    var count = CompiledCount()
    var peer = CompiledPeer()
    /// The gate of its rule, which its peers must pass as well.
    var required: Gates = []
    var cusum = CusumTest()
    var duration = DurationTest()
    var forecast = ForecastTest()
    /// What it asks of peers, in the program's table.
    var peerQuestion: Int32 = -1
    var seasonal = SeasonalTest()
    var anomaly = AnomalyTest()
    /// Its number among the leaves that ask for a season or an anomaly score.
    var season: Int32 = -1
    /// The bit of its mark where no value sets it; -1 without one.
    var mark: Int16 = -1
    /// Its number among the comparisons of labels.
    var comparison: Int32 = -1
    /// The calendar that its hours go by; -1 for UTC.
    var calendar: Int32 = -1
    /// Of a score over several metrics, its places in the program's table of them.
    var metrics: Range<Int32> = 0..<0
}

extension CompiledLeaf {
    /// Where it gathers the values of a subject.
    func slice(of subject: Int, in pool: borrowing Pool) -> Pool.Slice {
        Pool.Slice(
            end: subject * pool.timeStride + Int(sliceEnd),
            sum: subject * pool.numberStride + Int(sliceSum), stride: Int(sliceStride))
    }

    /// For how long it waits by itself before it holds, at least, milliseconds; 0 for not at all.
    fileprivate var patience: Int64 {
        switch kind {
        case .duration: duration.least
        case .cusum: cusum.every
        case .seasonal: seasonal.every
        case .anomaly: anomaly.every
        default: 0
        }
    }

    /// How long each slice of its window is, or the window of one that has none.
    fileprivate var every: Int64 {
        switch kind {
        case .steady: Pool.slice(of: window)
        case .forecast: Forecast.slice(of: forecast)
        case .cusum: cusum.every
        default: window
        }
    }
}

/// One of the metrics that a leaf asks together.
struct LeafMetric {
    let metric: Metric
    let register: Int
    let isSlow: Bool
}

/// A count, with its codes in the program's table: leaves hold nothing that must be counted.
struct CompiledCount {
    var codes: Int32 = -1
    var least = 0
    var window: Int64 = 0
    var distinctJobs = false
}

/// A comparison with peers; up to four cohorts, -1 for none.
struct CompiledPeer {
    var cohorts = SIMD4<Int8>(repeating: -1)
    var z = Float.nan
    var floor: Float = 0
    var frozenOffset = false
    var membersMin = 5
}

/// What a leaf asks of the peers of a device.
struct PeerQuestion {
    let register: Int32
    let required: Gates
    let membersMin: Int
    /// Where the offset of each from the others is kept; -1 where they have none.
    let offset: Int32
    /// How far they lie from their median is asked as well.
    var deviates: Bool

    init(_ leaf: CompiledLeaf) {
        register = leaf.register
        required = leaf.required
        membersMin = leaf.peer.membersMin
        offset = leaf.peer.frozenOffset ? leaf.number : -1
        deviates = !leaf.peer.z.isNaN
    }

    /// The register lies in one block with fifteen others.
    var block: Int32 { register / 16 }

    /// Whether the peers have one answer to both.
    func isSame(as other: PeerQuestion) -> Bool {
        register == other.register && required == other.required
            && membersMin == other.membersMin && offset == other.offset
    }
}

/// What the rows of one metric group are fed to.
struct GroupPlan {
    /// Where its registers lie among those of a device; -1 where no rule reads it.
    var register = -1
    /// Lanes that some leaf must see every value of, and these leaves in `Program.feeds`; those that
    /// want increases come with increases, and those that want a range widen it themselves.
    var feedLanes: UInt16 = 0
    var firstFeed: Int32 = 0
    var feedEnd: Int32 = 0
}

/// All rules, compiled.
struct Program {
    var rules: [CompiledRule] = []
    var nodes: [CompiledNode] = []
    var leaves: [CompiledLeaf] = []
    /// Register group of a metric group; -1 where no rule reads it.
    var registerGroup = [Int](repeating: -1, count: Vocabulary.groupsMax)
    var registerGroups = 0
    /// By metric group: what to do with a row of it.
    private(set) var plans = [GroupPlan](repeating: GroupPlan(), count: Vocabulary.groupsMax)
    /// Leaves that must see every value of their metric, by metric group.
    private(set) var feeds: [FeedEntry] = []
    /// What becomes of rows before anybody looks at one of them.
    private(set) var uses = LaneUses()
    private var feedsOf = [[FeedEntry]](repeating: [], count: Vocabulary.groupsMax)
    /// Leaves that gather, by their gathering and place in it; `width` places for each.
    private(set) var gathered: [FeedEntry] = []
    private var gatheringsOf = [[Gathering]](repeating: [], count: Vocabulary.groupsMax)
    /// Compiled rules in the order of steps: the largest scope first.
    var steps: [Int] = []
    var events: [Int] = []
    /// Numbers and times per device, and per group of each kind.
    var deviceTimes = 0
    var deviceNumbers = 0
    var groupTimes = [Int](repeating: 0, count: CohortKind.allCases.count)
    var groupNumbers = [Int](repeating: 0, count: CohortKind.allCases.count)
    var deviceRules = 0
    var groupRules = [Int](repeating: 0, count: CohortKind.allCases.count)
    private(set) var peerQuestions: [PeerQuestion] = []
    /// Leaves that ask for a season or an anomaly score, each with the root of its rule and the scope it is asked of.
    var seasons: [(root: Int, group: CohortKind?)] = []
    /// By compiled rule: those that may silence it, and those that it may silence.
    private(set) var sources: [[Int]] = []
    private(set) var targets: [[Int]] = []
    private(set) var comparisons: [LabelComparison] = []
    private(set) var calendars: [SiteCalendar] = []
    private var calendarPlaces: [String: Int32] = [:]
    /// What leaves ask that ask several metrics together.
    var leafMetrics: [LeafMetric] = []
    private(set) var needs = Needs()
    /// Codes that counts ask for; empty for any.
    var codeSets: [Set<Int32>] = []
    /// Names of metrics that only rules and messages know.
    var opaqueNames: [Metric: String] = [:]
    /// Some rule asks how often faults or stops came.
    var countsEvents = false
    var marks = Marks()
    /// By leaf; nil where no mark tells that it does not hold.
    private(set) var leafMarks: [Marks.Bits?] = []
    /// By compiled rule, and what they point into.
    var rejects: [Reject] = []
    /// By place of a node that asks members.
    var memberRejects: [Reject] = []
    var clauses: [Marks.Bits] = []
    var heldTimes: [Int32] = []
    /// What each rule, named by its root, keeps in the pools.
    private(set) var takings: [(rule: Int, place: Place)] = []
    /// Words of a set of rules, one bit for each.
    private(set) var words = 1
    /// By rule, and by place of a node that asks members.
    private(set) var admissions: [Admission] = []
    /// Which of them what changes on a device may let through.
    private(set) var reach = Reach()
    private(set) var memberAdmissions: [Admission] = []
    /// By word: rules that are judged at steps, and those of them on devices.
    private(set) var stepMask: [UInt64] = []
    private(set) var deviceMask: [UInt64] = []
    /// By metric group and word: rules to judge at a tick that brings some lane of the group.
    private(set) var tickMask: [UInt64] = []
    /// By metric group and rule: which lanes these are.
    private(set) var tickLanes: [UInt16] = []
    /// The shortest silence that some rule asks for, milliseconds.
    private(set) var silenceMin = Int64.max
    /// Marks of leaves that count faults.
    private(set) var countMarks: [Int16] = []
    /// Leaves that compare with peers.
    private(set) var peerLeaves: [PeerLeaf] = []
    private var rootInWork = 0
    private var groupInWork: CohortKind?
    private var gateInWork: Gates = []
    private var fedWith: Gates = []
    private var fedWithout: Gates = []

    /// Leaves of one metric group that gather side by side; `LaneGathering.width` of them at most.
    private struct Gathering {
        let number: Int
        let time: Int
        var entries: [FeedEntry] = []
    }

    struct FeedEntry {
        let leaf: Int32
        let lane: Int32
        let kind: CompiledLeaf.Kind
        let required: UInt16
        let refused: UInt16
        /// Of its leaf, and its places in the pool of devices.
        let mark: Int16
        let time: Int32
        let number: Int32
        let sliceEnd: Int32
        let sliceSum: Int32
        /// How long each slice of its window is, or the window of one that has none; milliseconds.
        let every: Int64
    }

    init(_ book: RuleBook, _ vocabulary: inout Vocabulary) {
        for (name, calendar) in book.calendars.sorted(by: { $0.key < $1.key }) {
            calendarPlaces[name] = Int32(calendars.count)
            calendars.append(calendar)
        }
        for (index, rule) in book.rules.enumerated() {
            for scope in rule.scopes { compile(rule, index, scope, &vocabulary) }
        }
        for (index, rule) in rules.enumerated() where !rule.isEvent && !rule.isTick {
            steps.append(index)
        }
        steps.sort { left, right in
            let (a, b) = (Program.rank(rules[left].group), Program.rank(rules[right].group))
            return a == b ? left < right : a < b
        }
        link(book)
        findPatient()
        index()
    }

    struct PeerLeaf {
        let leaf: Int
        /// Its rule is judged at turns only.
        let isPatient: Bool
    }

    /// Sets of rules, for evaluation to cut across.
    mutating func index() {
        words = max((rules.count + 63) / 64, 1)
        silenceMin = .max
        admissions = rules.indices.map { Admission(rejects[$0], of: rules[$0]) }
        memberAdmissions = memberRejects.map { Admission($0) }
        reach = Reach(admissions, words: words, clauses: clauses, planes: marks.planes)
        stepMask = [UInt64](repeating: 0, count: words)
        tickMask = [UInt64](repeating: 0, count: Vocabulary.groupsMax * words)
        tickLanes = [UInt16](repeating: 0, count: Vocabulary.groupsMax * rules.count)
        deviceMask = stepMask
        for step in steps {
            let bit = UInt64(1) << UInt64(step % 64)
            stepMask[step / 64] |= bit
            if rules[step].group == nil { deviceMask[step / 64] |= bit }
            if rejects[step].silence > 0 { silenceMin = min(silenceMin, rejects[step].silence) }
        }
        for (rule, compiled) in rules.enumerated() where compiled.isTick {
            for leaf in leaves[compiled.leaves] where leaf.register >= 0 {
                let group = leaf.metric.group
                tickMask[group * words + rule / 64] |= 1 << UInt64(rule % 64)
                tickLanes[group * rules.count + rule] |= 1 << UInt16(leaf.metric.lane)
            }
        }
        feeds.removeAll()
        gathered.removeAll()
        var gatherings: [LaneGathering] = []
        var widenings: [LaneWidening] = []
        var planes: [LanePlane] = []
        var uses: [LaneUse] = []
        for group in plans.indices {
            let (firstFeed, firstPlane) = (feeds.count, planes.count)
            let (firstGathering, firstWidening) = (gatherings.count, widenings.count)
            for gathering in gatheringsOf[group] { gatherings.append(place(gathering)) }
            feeds += feedsOf[group]
            for feed in feedsOf[group] where feed.kind == .steady {
                widenings.append(
                    LaneWidening(
                        lane: Int(feed.lane), size: feed.every, number: Int(feed.number),
                        time: Int(feed.time)))
            }
            let plain = marks.planes[group].filter { !$0.asksStill }
            planes += plain + marks.planes[group].filter(\.asksStill)
            plans[group] = GroupPlan(
                register: registerGroup[group] < 0 ? -1 : registerGroup[group] * 16,
                feedLanes: feedsOf[group].reduce(0) {
                    $1.kind == .delta || $1.kind == .steady ? $0 : $0 | 1 << UInt16($1.lane)
                },
                firstFeed: Int32(firstFeed), feedEnd: Int32(feeds.count))
            uses.append(
                LaneUse(
                    block: registerGroup[group], planes: firstPlane..<planes.count,
                    plain: plain.count, gatherings: firstGathering..<gatherings.count,
                    widenings: firstWidening..<widenings.count, fed: plans[group].feedLanes))
        }
        self.uses = LaneUses(
            uses, planes: planes, gatherings: gatherings, widenings: widenings, masks: tickMask,
            words: words, blocks: registerGroups)
        countMarks = leaves.filter { $0.kind == .count && $0.mark >= 0 }.map(\.mark)
        peerLeaves = rules.flatMap { rule in
            rule.leaves.filter {
                leaves[$0].kind == .peer && (leaves[$0].mark >= 0 || leaves[$0].peer.frozenOffset)
            }.map { PeerLeaf(leaf: $0, isPatient: rule.isPatient) }
        }
    }

    /// Leaves of a gathering into the table that rows are fed by.
    private mutating func place(_ gathering: Gathering) -> LaneGathering {
        var lanes = LaneGathering(number: gathering.number, time: gathering.time)
        for place in 0..<LaneGathering.width {
            // No row is due for a place that is not taken.
            let entry = gathering.entries[min(place, gathering.entries.count - 1)]
            gathered.append(entry)
            guard place < gathering.entries.count else { continue }
            lanes.add(
                place, lane: Int(entry.lane), required: entry.required, refused: entry.refused)
        }
        return lanes
    }

    /// Larger things are judged first: they explain the smaller.
    private static func rank(_ group: CohortKind?) -> Int {
        switch group {
        case .pipeline: 0
        case .cluster: 1
        case .rack: 2
        case .host: 3
        case .job: 4
        case .service: 5
        case .model, nil: 6
        }
    }

    private mutating func link(_ book: RuleBook) {
        sources = rules.map { _ in [] }
        targets = sources
        for source in rules.indices {
            for inhibition in book.rules[rules[source].rule].inhibits {
                for target in rules.indices
                where inhibition.covers(book.rules[rules[target].rule].id) {
                    guard !targets[source].contains(target) else { continue }
                    targets[source].append(target)
                    sources[target].append(source)
                }
            }
        }
    }

    /// Rules that wait for a minute at least, and explain nothing that is judged more often.
    private mutating func findPatient() {
        for index in steps {
            rules[index].isPatient =
                max(rules[index].hold, patience(of: rules[index].root)) >= Program.patienceMin
        }
        while let index = steps.first(where: { index in
            rules[index].isPatient && targets[index].contains { !rules[$0].isPatient }
        }) {
            rules[index].isPatient = false
        }
    }

    /// What waits for so many milliseconds does not mind a turn more.
    private static let patienceMin: Int64 = 60_000

    /// For how long a condition waits by itself before it holds, at least; milliseconds.
    private func patience(of index: Int) -> Int64 {
        let node = nodes[index]
        let children = children(of: node)
        switch node.kind {
        case .held: return max(node.hold, patience(of: Int(node.first)))
        case .all: return children.map { patience(of: $0) }.max() ?? 0
        case .any, .atLeast: return children.map { patience(of: $0) }.min() ?? 0
        case .gated, .members: return patience(of: Int(node.first))
        case .not: return 0
        case .leaf: return leaves[Int(node.leaf)].patience
        }
    }

    private mutating func compile(
        _ rule: Rule, _ index: Int, _ scope: EntityKind, _ vocabulary: inout Vocabulary
    ) {
        let group = CohortKind(scope)
        let local = group.map { groupRules[$0.rawValue] } ?? deviceRules
        if let group { groupRules[group.rawValue] += 1 } else { deviceRules += 1 }
        let firstLeaf = leaves.count
        let root = nodes.count
        rootInWork = root
        groupInWork = group
        gateInWork = rule.gate.required
        fedWith = rule.gate.required
        fedWithout = rule.gate.refused
        nodes.append(CompiledNode())
        place(rule.condition, at: root, group, &vocabulary)
        rejects.append(reject(of: root, inGroup: group != nil))
        let own = leaves[firstLeaf...]
        let isEvent = own.contains { $0.kind == .event }
        let isTick =
            group == nil && !isEvent && !rule.gate.hostPresent
            && own.allSatisfy { Program.isTick($0) }
        rules.append(
            CompiledRule(
                rule: index, group: group, local: local, root: root, hold: rule.hold,
                clearHold: rule.clearHold, required: rule.gate.required.rawValue,
                refused: rule.gate.refused.rawValue, membersMin: rule.gate.membersMin,
                membersMax: rule.gate.membersMax, hostPresent: rule.gate.hostPresent,
                isEvent: isEvent, isTick: isTick, isShadow: rule.mode == .shadow,
                blamesSilent: rule.blamesSilent, leaves: firstLeaf..<leaves.count))
        if isEvent { events.append(rules.count - 1) }
        if own.contains(where: { $0.kind == .count }) { countsEvents = true }
    }

    private static func isTick(_ leaf: CompiledLeaf) -> Bool {
        switch leaf.kind {
        case .threshold: leaf.relative != -2
        case .state, .delta, .rate, .zscore, .flatline, .steady, .usual: true
        default: false
        }
    }
}

extension Program {
    /// Compiles `condition` into node `index`; `group` is the scope it is said of.
    private mutating func place(
        _ condition: Condition, at index: Int, _ group: CohortKind?, _ vocabulary: inout Vocabulary
    ) {
        var node = CompiledNode()
        switch condition {
        case .all(let children):
            node.kind = .all
            placeChildren(children, &node, group, &vocabulary)
        case .any(let children):
            node.kind = .any
            placeChildren(children, &node, group, &vocabulary)
        case .atLeast(let least, let children):
            node.kind = .atLeast
            node.least = Int32(least)
            placeChildren(children, &node, group, &vocabulary)
        case .not(let child):
            node.kind = .not
            placeChildren([child], &node, group, &vocabulary)
        case .held(let hold, let child):
            node.kind = .held
            node.isExhaustive = true
            node.hold = hold
            node.time = takeTimes(1, group)
            placeChildren([child], &node, group, &vocabulary)
        case .gated(let gate, let child):
            node.kind = .gated
            node.gate = gate
            let (with, without) = (fedWith, fedWithout)
            fedWith.formUnion(gate.required)
            fedWithout.formUnion(gate.refused)
            placeChildren([child], &node, group, &vocabulary)
            (fedWith, fedWithout) = (with, without)
        case .members(let members, let child):
            node.kind = .members
            node.least = Int32(clamping: members.min)
            node.most = Int32(clamping: members.max)
            node.fraction = members.fraction.map { Float($0) } ?? .nan
            node.clearFraction = members.clearFraction.map { Float($0) } ?? .nan
            node.ofHosts = members.ofHosts
            placeChildren([child], &node, members.ofHosts ? .host : nil, &vocabulary)
            if !members.ofHosts, members.min > 0 || members.fraction != nil {
                node.reject = Int32(memberRejects.count)
                memberRejects.append(reject(of: Int(node.first), inGroup: false))
            }
        case .leaf(let leaf):
            node.leaf = Int32(leaves.count)
            place(leaf, group, &vocabulary)
            node.isExhaustive = leaves[Int(node.leaf)].isExhaustive
        }
        nodes[index] = node
    }

    private mutating func placeChildren(
        _ children: [Condition], _ node: inout CompiledNode, _ group: CohortKind?,
        _ vocabulary: inout Vocabulary
    ) {
        node.first = Int32(nodes.count)
        node.count = Int32(children.count)
        nodes.append(contentsOf: repeatElement(CompiledNode(), count: children.count))
        for (offset, child) in children.enumerated() {
            place(child, at: Int(node.first) + offset, group, &vocabulary)
            if nodes[Int(node.first) + offset].isExhaustive { node.isExhaustive = true }
        }
    }

    private mutating func takeTimes(_ count: Int, _ group: CohortKind?) -> Int32 {
        let first = group.map { groupTimes[$0.rawValue] } ?? deviceTimes
        if let group { groupTimes[group.rawValue] += count } else { deviceTimes += count }
        note(Place(group: group, isTime: true, first: first, count: count))
        return Int32(first)
    }

    private mutating func takeNumbers(_ count: Int, _ group: CohortKind?) -> Int32 {
        let first = group.map { groupNumbers[$0.rawValue] } ?? deviceNumbers
        if let group { groupNumbers[group.rawValue] += count } else { deviceNumbers += count }
        note(Place(group: group, isTime: false, first: first, count: count))
        return Int32(first)
    }

    /// Takes a place to gather at; leaves of devices do so side by side.
    private mutating func takeSlice(_ leaf: inout CompiledLeaf, _ group: CohortKind?) {
        guard group == nil else {
            leaf.sliceEnd = takeTimes(1, group)
            leaf.sliceSum = takeNumbers(3, group)
            return
        }
        let width = LaneGathering.width
        let metrics = leaf.metric.group
        if gatheringsOf[metrics].last.map({ $0.entries.count == width }) ?? true {
            gatheringsOf[metrics].append(Gathering(number: deviceNumbers, time: deviceTimes))
            deviceNumbers += LaneGathering.numbers
            deviceTimes += width
        }
        guard let gathering = gatheringsOf[metrics].last else { return }
        let place = gathering.entries.count
        leaf.sliceEnd = Int32(gathering.time + place)
        leaf.sliceSum = Int32(gathering.number + place)
        leaf.sliceStride = Int32(width)
        note(Place(group: nil, isTime: true, first: gathering.time + place, count: 1))
        for number in stride(
            from: gathering.number + place, to: gathering.number + 3 * width, by: width)
        {
            note(Place(group: nil, isTime: false, first: number, count: 1))
        }
    }

    private mutating func note(_ place: Place) { takings.append((rootInWork, place)) }

    private mutating func register(_ metric: Metric) -> Int32 {
        if registerGroup[metric.group] < 0 {
            registerGroup[metric.group] = registerGroups
            registerGroups += 1
        }
        return Int32(registerGroup[metric.group] * 16 + metric.lane)
    }

    private mutating func place(
        _ leaf: Leaf, _ group: CohortKind?, _ vocabulary: inout Vocabulary
    ) {
        var compiled = CompiledLeaf()
        compiled.aggregate = leaf.aggregate
        compiled.isOptional = leaf.isOptional
        compiled.calendar = calendarPlaces[leaf.calendar] ?? -1
        if !leaf.metric.isEmpty, let metric = vocabulary.opaque(leaf.metric) {
            compiled.metric = metric
            compiled.register = register(metric)
            let definition = vocabulary[metric]
            opaqueNames[metric] = leaf.metric
            compiled.isSlow = definition.kind != .gauge || metric.group != 0
        }
        switch leaf.test {
        case .threshold(let bound, let relative):
            compiled.bound = bound
            switch relative {
            case .absolute: break
            case .own:
                compiled.relative = -2
                needs.ask(statistics: 1 << UInt16(compiled.metric.group))
            case .metric(let name):
                if let metric = vocabulary.opaque(name) { compiled.relative = register(metric) }
            }
        case .state(let test):
            compiled.kind = .state
            compiled.state = test
        case .delta(let least, let window):
            compiled.kind = .delta
            needs.increases[compiled.metric.group] |= 1 << UInt16(compiled.metric.lane)
            compiled.amount = least
            compiled.window = window
            compiled.time = takeTimes(1, nil)
            compiled.number = takeNumbers(Pool.slices, nil)
        case .rate(let bound, let per):
            compiled.kind = .rate
            compiled.bound = bound
            compiled.amount = per
        case .zscore(let limit, let direction):
            compiled.kind = .zscore
            compiled.amount = limit
            compiled.direction = direction
            needs.zGroups |= 1 << UInt16(compiled.metric.group)
            compiled.number = takeNumbers(1, nil)
        case .flatline(let window, let fractional):
            compiled.kind = .flatline
            compiled.window = window
            compiled.fractional = fractional
        case .steady(let window, let within):
            compiled.kind = .steady
            compiled.window = window
            compiled.amount = within
            compiled.time = takeTimes(2, nil)
            compiled.number = takeNumbers(2 * Pool.slices, nil)
        case .usual(let window):
            compiled.kind = .usual
            compiled.window = window
            compiled.time = takeTimes(1, group)
            compiled.number = takeNumbers(2 * Pool.levels, group)
        case .absence(let test):
            compiled.kind = .absence
            compiled.absence = test
        case .completeness(let below, let window):
            compiled.kind = .completeness
            compiled.amount = below
            compiled.window = window
            compiled.time = takeTimes(2, group)
            compiled.number = takeNumbers(2, group)
        case .event:
            compiled.kind = .event
        case .count(let test):
            compiled.kind = .count
            compiled.count = CompiledCount(
                codes: Int32(codeSets.count), least: test.least, window: test.window,
                distinctJobs: test.distinctJobs)
            codeSets.append(test.codes)
            compiled.window = test.window
            if test.transitions {
                compiled.time = takeTimes(min(test.least, 16) + 1, group)
            }
        case .peer(let test):
            compiled.kind = .peer
            compiled.peer = CompiledPeer(
                z: test.z, floor: test.floor, frozenOffset: test.frozenOffset,
                membersMin: test.membersMin)
            let cohorts = test.cohorts.isEmpty ? [groupInWork ?? .job] : test.cohorts
            for (place, kind) in cohorts.prefix(4).enumerated() {
                compiled.peer.cohorts[place] = Int8(kind.rawValue)
            }
            compiled.required = gateInWork
            compiled.bound = test.ratio
            if test.frozenOffset {
                compiled.time = takeTimes(1, nil)
                compiled.number = takeNumbers(3, nil)
            }
            compiled.peerQuestion = ask(compiled)
        case .cusum(let test):
            compiled.kind = .cusum
            compiled.cusum = test
            compiled.isExhaustive = group != nil
            takeSlice(&compiled, group)
            compiled.number = takeNumbers(Drift.numbers, group)
        case .duration(let test):
            compiled.kind = .duration
            compiled.duration = test
            compiled.isExhaustive = true
            compiled.bound = test.bound
            compiled.time = takeTimes(1, group)
            compiled.number = takeNumbers(Pool.durations, group)
        case .forecast(let test):
            compiled.kind = .forecast
            compiled.forecast = test
            compiled.isExhaustive = group != nil
            compiled.window = test.window
            compiled.required = gateInWork
            takeSlice(&compiled, group)
            compiled.number = takeNumbers(Pool.points, group)
        case .seasonal(let test):
            compiled.kind = .seasonal
            compiled.seasonal = test
            compiled.isExhaustive = true
            compiled.season = Int32(seasons.count)
            seasons.append((rootInWork, group))
        case .anomaly(let test):
            compiled.kind = .anomaly
            compiled.anomaly = test
            compiled.metrics = place(metrics: leaf.metrics, &vocabulary)
            compiled.isExhaustive = true
            compiled.season = Int32(seasons.count)
            seasons.append((rootInWork, group))
        case .mismatch(let test):
            compiled.kind = .mismatch
            compiled.comparison = Int32(comparisons.count)
            comparisons.append(
                LabelComparison(
                    key: test.label, alike: test.alike, cohorts: test.cohorts,
                    membersMin: test.membersMin, agree: test.agree))
        }
        leafMarks.append(mark(&compiled, inGroup: group != nil))
        if group == nil, compiled.kind.isFed { feed(compiled) }
        leaves.append(compiled)
    }

    /// What a leaf asks of peers, asked once by all leaves that ask the same.
    private mutating func ask(_ leaf: CompiledLeaf) -> Int32 {
        let question = PeerQuestion(leaf)
        let place = peerQuestions.firstIndex { $0.isSame(as: question) } ?? peerQuestions.count
        if place == peerQuestions.count { peerQuestions.append(question) }
        if question.deviates { peerQuestions[place].deviates = true }
        return Int32(place)
    }

    /// The mark of a leaf; nil where it may hold whatever is known, or no place is left.
    private mutating func mark(_ leaf: inout CompiledLeaf, inGroup: Bool) -> Marks.Bits? {
        if inGroup {
            guard leaf.register >= 0, let range = leaf.memberRange else { return nil }
            return marks.mark(leaf.metric, low: range.low, high: range.high, isOptional: false)
        }
        switch leaf.kind {
        case .flatline:
            return marks.mark(
                leaf.metric, still: Int32(clamping: leaf.window / 1_000),
                isOptional: leaf.isOptional)
        case .delta, .forecast, .cusum, .count, .peer, .mismatch:
            // One that drops out holds nothing up, whatever its mark.
            guard !leaf.isOptional else { return nil }
            leaf.mark = marks.give(isSet: leaf.kind != .peer && leaf.kind != .mismatch)
            if leaf.kind == .mismatch { comparisons[Int(leaf.comparison)].mark = leaf.mark }
            return leaf.mark < 0 ? nil : Marks.bit(leaf.mark)
        default:
            guard leaf.register >= 0, let range = leaf.range else { return nil }
            return marks.mark(
                leaf.metric, low: range.low, high: range.high, isOptional: leaf.isOptional)
        }
    }

    /// The calendar of a leaf; nil for UTC.
    func calendar(of leaf: CompiledLeaf) -> SiteCalendar? {
        leaf.calendar < 0 ? nil : calendars[Int(leaf.calendar)]
    }

    private mutating func place(
        metrics names: [String], _ vocabulary: inout Vocabulary
    ) -> Range<Int32> {
        let first = Int32(leafMetrics.count)
        for name in names {
            guard let metric = vocabulary.opaque(name) else { continue }
            opaqueNames[metric] = name
            leafMetrics.append(
                LeafMetric(
                    metric: metric, register: Int(register(metric)),
                    isSlow: vocabulary[metric].kind != .gauge || metric.group != 0))
        }
        return first..<Int32(leafMetrics.count)
    }

    /// A leaf that must see each value of its metric, whether or not its rule is judged.
    private mutating func feed(_ leaf: CompiledLeaf) {
        let group = leaf.metric.group
        let entry = FeedEntry(
            leaf: Int32(leaves.count), lane: Int32(leaf.metric.lane), kind: leaf.kind,
            required: leaf.kind.gathers ? fedWith.rawValue : 0,
            refused: leaf.kind.gathers ? fedWithout.rawValue : 0, mark: leaf.mark,
            time: leaf.time, number: leaf.number, sliceEnd: leaf.sliceEnd,
            sliceSum: leaf.sliceSum, every: leaf.every)
        if leaf.kind.gathers {
            let last = gatheringsOf[group].count - 1
            gatheringsOf[group][last].entries.append(entry)
        } else {
            feedsOf[group].append(entry)
        }
    }
}
