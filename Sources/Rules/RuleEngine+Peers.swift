import Detection
import Fleet
import RollingStatistics
import Telemetry

/// Cohorts whose members some leaf compares, each with the devices that are judged within it.
struct WatchedPeers {
    struct Cohort {
        let leaf: Int
        let kind: CohortKind
        let index: Int32
        /// Looked at at turns only.
        let isPatient: Bool
        /// Those that find no cohort that their rule would rather have.
        var judged: [Int32] = []
        /// Some value lay far enough from another for its device to be marked.
        var isMarked = false
        /// Some of them have no offset from the others yet, and the leaf wants one.
        var isLearning: Bool
    }

    var cohorts: [Cohort] = []
    /// Of the membership that `cohorts` were found in.
    var version: UInt64 = .max
}

// Peers: most of the time the whole cohort lies closer together than any limit.
extension RuleEngine {
    /// Marks devices that may lie too far from their peers.
    ///
    /// The width of a cohort is a bound on how far any member lies from the median, and costs one
    /// look at each; where that is not enough the median and the deviation are found, and who lies
    /// beyond the limit by them is marked.
    mutating func watchPeers(
        _ now: Int64, isTurn: Bool, _ detection: borrowing Detection
    ) {
        guard !program.peerLeaves.isEmpty else { return }
        if watchedPeers.version != detection.cohorts.version { findPeers(detection) }
        // Longer than any value is taken for a present one.
        let oldest = RuleEngine.second(now - 901_000)
        var last = (kind: CohortKind.host, index: Int32(-1), question: -1)
        var width = (low: Float.nan, high: Float.nan)
        for place in watchedPeers.cohorts.indices
        where isTurn || !watchedPeers.cohorts[place].isPatient {
            // A leaf is 370 bytes: looked at in place, copied only where there is more to do.
            let number = watchedPeers.cohorts[place].leaf
            let kind = watchedPeers.cohorts[place].kind
            let index = watchedPeers.cohorts[place].index
            if isTurn, watchedPeers.cohorts[place].isLearning {
                learnOffsets(place, program.leaves[number], now, detection)
            }
            guard program.leaves[number].mark >= 0 else { continue }
            let question = Int(program.leaves[number].peerQuestion)
            let isSame = (kind, index) == (last.kind, last.index)
            if !isSame || question != last.question {
                // What another question of the same members lies beside was asked for already.
                let isNear =
                    isSame
                    && program.peerQuestions[question].block
                        == program.peerQuestions[last.question].block
                width = self.width(number, kind, index, isNear, since: oldest, detection)
                last = (kind, index, question)
            }
            let isWide = program.leaves[number].mayDiffer(width.low, width.high)
            if isWide || watchedPeers.cohorts[place].isMarked {
                markPeers(place, program.leaves[number], isWide: isWide, now, detection)
            }
        }
    }

    private mutating func markPeers(
        _ place: Int, _ leaf: CompiledLeaf, isWide: Bool, _ now: Int64,
        _ detection: borrowing Detection
    ) {
        let (kind, cohort) = (watchedPeers.cohorts[place].kind, watchedPeers.cohorts[place].index)
        let peers =
            isWide
            ? agreement(leaf, kind, cohort, now, detection, offsets: leaf.peer.frozenOffset) : nil
        var isMarked = false
        for device in watchedPeers.cohorts[place].judged {
            if let peers, mayDiffer(leaf, Int(device), cohort, peers) {
                setMark(leaf.mark, Int(device))
                isMarked = true
            } else if watchedPeers.cohorts[place].isMarked {
                clearMark(leaf.mark, Int(device))
            }
        }
        watchedPeers.cohorts[place].isMarked = isMarked
    }

    /// Whether the newest value of a device, however old, is as far from its peers as it takes.
    private func mayDiffer(
        _ leaf: CompiledLeaf, _ device: Int, _ cohort: Int32, _ peers: Peers
    ) -> Bool {
        var value = valueAt(device * program.registerGroups * 16 + Int(leaf.register))
        if leaf.peer.frozenOffset {
            guard let offset = knownOffset(leaf, device, cohort) else { return true }
            value -= offset
        }
        guard leaf.peer.z.isNaN else {
            let z = peers.score(value, floor: leaf.peer.floor)
            return leaf.peer.z < 0 ? z < leaf.peer.z : z > leaf.peer.z
        }
        return peers.median > 0 && leaf.bound.holds(value / peers.median, isFiring: false)
    }

    private mutating func findPeers(_ detection: borrowing Detection) {
        watchedPeers.version = detection.cohorts.version
        watchedPeers.cohorts.removeAll(keepingCapacity: true)
        for peers in program.peerLeaves {
            let leaf = program.leaves[peers.leaf]
            var places: [Int: Int] = [:]
            for device in 0..<deviceCount {
                clearMark(leaf.mark, device)
                guard let (kind, cohort) = cohort(of: leaf, device, detection) else { continue }
                let key = Int(cohort) * CohortKind.allCases.count + kind.rawValue
                let place = places[key] ?? watchedPeers.cohorts.count
                if place == watchedPeers.cohorts.count {
                    places[key] = place
                    watchedPeers.cohorts.append(
                        WatchedPeers.Cohort(
                            leaf: peers.leaf, kind: kind, index: cohort,
                            isPatient: peers.isPatient, isLearning: leaf.peer.frozenOffset))
                }
                watchedPeers.cohorts[place].judged.append(Int32(device))
            }
        }
        // What the members of one have is near when another leaf asks for it, or known already.
        func order(_ cohort: WatchedPeers.Cohort) -> (Int, Int32, Int32, Int) {
            let question = program.leaves[cohort.leaf].peerQuestion
            return (cohort.kind.rawValue, cohort.index, question, cohort.leaf)
        }
        watchedPeers.cohorts.sort { order($0) < order($1) }
    }

    /// The least and the largest value of those that a leaf takes for peers.
    @inline(never)
    private func width(
        _ number: Int, _ kind: CohortKind, _ cohort: Int32, _ isNear: Bool,
        since oldest: Int32, _ detection: borrowing Detection
    ) -> (low: Float, high: Float) {
        var low = Float.infinity
        var high = -Float.infinity
        let required = program.leaves[number].required.rawValue
        let open = gates.span
        let hasOffset = program.leaves[number].peer.frozenOffset
        let register = Int(program.leaves[number].register)
        let kept = Int(program.leaves[number].number)
        forEachMember(of: kind, cohort, at: register, isNear: isNear, detection) { next in
            if hasOffset { devicePool.prefetch(next, number: kept) }
        } _: { device, newest in
            guard open[device] & required == required, newest.seen >= oldest else { return }
            var value = newest.value
            if hasOffset { value -= knownOffset(program.leaves[number], device, cohort) ?? .nan }
            // Not a number is less than nothing.
            low = value < low ? value : low
            high = value > high ? value : high
        }
        return (low, high)
    }
}

// How far a device always lies from its peers.
extension RuleEngine {
    /// Takes one more comparison into the offsets of a cohort that are still learned.
    ///
    /// An offset is the mean of the first half hour among the peers, then frozen, because one that
    /// moves absorbs the drift that is looked for. Nothing is learned from a device in an incident.
    private mutating func learnOffsets(
        _ place: Int, _ leaf: CompiledLeaf, _ now: Int64, _ detection: borrowing Detection
    ) {
        let (kind, cohort) = (watchedPeers.cohorts[place].kind, watchedPeers.cohorts[place].index)
        let peers = agreement(leaf, kind, cohort, now, detection, offsets: false)
        var isLearning = false
        let judged = watchedPeers.cohorts[place].judged
        for position in judged.indices {
            if position &+ RuleEngine.membersAhead < judged.count {
                devicePool.prefetch(
                    Int(judged[position &+ RuleEngine.membersAhead]), number: Int(leaf.number),
                    time: Int(leaf.time))
            }
            let device = Int(judged[position])
            guard !isLearned(leaf, device, cohort, now) else { continue }
            isLearning = true
            let register = device * program.registerGroups * 16 + Int(leaf.register)
            guard let peers, gates[device] & leaf.required.rawValue == leaf.required.rawValue,
                !detection.isHeld(device),
                isPresent(leaf.isSlow, device, registers[register].seen, now, detection)
            else { continue }
            learnOffset(leaf, valueAt(register) - peers.median, device, cohort, now)
        }
        watchedPeers.cohorts[place].isLearning = isLearning
    }

    private mutating func learnOffset(
        _ leaf: CompiledLeaf, _ distance: Float, _ device: Int, _ cohort: Int32, _ now: Int64
    ) {
        guard !distance.isNaN else { return }
        let time = device * devicePool.timeStride + Int(leaf.time)
        let number = device * devicePool.numberStride + Int(leaf.number)
        if devicePool.times[time] == .min || devicePool.numbers[number + 2] != Float(cohort) {
            devicePool.times[time] = now
            devicePool.numbers[number] = 0
            devicePool.numbers[number + 1] = 0
            devicePool.numbers[number + 2] = Float(cohort)
        }
        devicePool.numbers[number] += distance
        devicePool.numbers[number + 1] += 1
    }

    /// Whether the offset of a device stands.
    ///
    /// Compared at less than half of the turns, as when a backlog is read whose partitions are apart
    /// in time, it goes on learning: a few comparisons are worth no offset.
    func isLearned(_ leaf: CompiledLeaf, _ device: Int, _ cohort: Int32, _ now: Int64) -> Bool {
        let began = devicePool.times[device * devicePool.timeStride + Int(leaf.time)]
        return began != .min && now - began >= 1_800_000
            && knownOffset(leaf, device, cohort) != nil
    }

    /// The offset of a device from its peers where others may rely on it.
    func knownOffset(_ leaf: borrowing CompiledLeaf, _ device: Int, _ cohort: Int32) -> Float? {
        let number = device * devicePool.numberStride + Int(leaf.number)
        let count = devicePool.numbers[number + 1]
        guard count >= Self.comparisonsMin, devicePool.numbers[number + 2] == Float(cohort) else {
            return nil
        }
        return devicePool.numbers[number] / count
    }

    /// Half of the turns of the half hour in which an offset is learned.
    private static let comparisonsMin = Float(1_800_000 / RuleEngine.turnMilliseconds / 2)
}

// Who is compared with whom, and what they agree on.
extension RuleEngine {
    mutating func peer(
        _ leaf: CompiledLeaf, _ value: Float, _ device: Int, _ now: Int64, _ isFiring: Bool,
        _ detection: borrowing Detection
    ) -> Truth {
        let place = device * program.registerGroups * 16 + Int(leaf.register)
        guard isPresent(leaf.isSlow, device, registers[place].seen, now, detection),
            let (kind, cohort) = cohort(of: leaf, device, detection)
        else { return .unknown }
        var own = value
        if leaf.peer.frozenOffset {
            guard isLearned(leaf, device, cohort, now),
                let offset = knownOffset(leaf, device, cohort)
            else { return .unknown }
            own -= offset
        }
        guard
            let peers = agreement(
                leaf, kind, cohort, now, detection, offsets: leaf.peer.frozenOffset)
        else { return .unknown }
        if leaf.peer.z.isNaN {
            guard peers.median > 0 else { return .unknown }
            return Truth(leaf.bound.holds(own / peers.median, isFiring: isFiring))
        }
        let z = peers.score(own, floor: leaf.peer.floor)
        let limit = isFiring ? leaf.peer.z * 0.8 : leaf.peer.z
        return Truth(limit < 0 ? z < limit : z > limit)
    }

    /// The value that the peers of a device have now.
    mutating func peerMedian(
        _ leaf: CompiledLeaf, _ device: Int, _ now: Int64, _ detection: borrowing Detection
    ) -> Float? {
        guard let (kind, cohort) = cohort(of: leaf, device, detection) else { return nil }
        return agreement(leaf, kind, cohort, now, detection, offsets: false)?.median
    }

    func cohort(
        of leaf: CompiledLeaf, _ device: Int, _ detection: borrowing Detection
    ) -> (CohortKind, Int32)? {
        for place in 0..<4 where leaf.peer.cohorts[place] >= 0 {
            guard let kind = CohortKind(rawValue: Int(leaf.peer.cohorts[place])),
                let found = cohort(kind, leaf, device, detection)
            else { continue }
            return found
        }
        return nil
    }

    private func cohort(
        _ kind: CohortKind, _ leaf: CompiledLeaf, _ device: Int,
        _ detection: borrowing Detection
    ) -> (CohortKind, Int32)? {
        let index = detection.devices[device][kind]
        guard index >= 0,
            detection.cohorts.range(kind, index).count >= leaf.peer.membersMin
        else { return nil }
        return (kind, index)
    }

    /// Whether a value is of the time at which peers are compared.
    ///
    /// Partitions are read apart in time while a backlog lasts; what lies further apart than three
    /// samples of a metric that moves from one to the next is not compared.
    private func isPresent(
        _ isSlow: Bool, _ device: Int, _ seen: Int32, _ now: Int64,
        _ detection: borrowing Detection
    ) -> Bool {
        guard seen < peers.lately else { return true }
        let interval = Int64(detection.devices[device].interval * 3_000)
        let limit = isSlow ? staleAfter(true, device, detection) : max(30_000, interval)
        return (Int64(seen) + RuleEngine.firstSecond) * 1_000 + limit >= now
    }

    /// Median and deviation of a cohort, computed once per step.
    mutating func agreement(
        _ leaf: CompiledLeaf, _ kind: CohortKind, _ cohort: Int32, _ now: Int64,
        _ detection: borrowing Detection, offsets: Bool
    ) -> Peers? {
        let question = leaf.peerQuestion
        if let known = peers.known(question, kind, cohort, offsets: offsets) { return known }
        var values = exchange(&scratch, with: [])
        defer { scratch = values }
        values.removeAll(keepingCapacity: true)
        let (required, isSlow, lately) = (leaf.required.rawValue, leaf.isSlow, peers.lately)
        forEachMember(of: kind, cohort, at: Int(leaf.register), detection) { other, newest in
            // Who does not pass the gate of the rule, or was not heard of, is nobody's peer.
            guard gates[other] & required == required, !newest.value.isNaN,
                newest.seen >= lately
                    || !detection.devices[other].isRetired
                        && isPresent(isSlow, other, newest.seen, now, detection)
            else { return }
            var value = newest.value
            if offsets {
                guard let offset = knownOffset(leaf, other, cohort) else { return }
                value -= offset
            }
            values.append(value)
        }
        // Values as they are, where offsets are learned from them, are asked for their median.
        let deviates =
            program.peerQuestions[Int(question)].deviates && offsets == leaf.peer.frozenOffset
        let group =
            values.count >= leaf.peer.membersMin ? Peers(&values, deviates: deviates) : nil
        peers.note(group, question, kind, cohort, offsets: offsets)
        return group
    }
}

extension CompiledLeaf {
    /// Whether one of several values between the two may lie as far from their median as it takes.
    fileprivate func mayDiffer(_ low: Float, _ high: Float) -> Bool {
        guard high > low || peer.z.isNaN, low <= high else { return false }
        // A thousandth for roundings.
        if !peer.z.isNaN { return !((high - low) * 1.001 < abs(peer.z) * peer.floor) }
        guard high > 0 else { return false }
        let mayBeBelow = bound.below.isNaN || !(low / high * 0.999 >= bound.below)
        let mayBeAbove = bound.above.isNaN || low <= 0 || !(high / low * 1.001 <= bound.above)
        return mayBeBelow && mayBeAbove
    }
}

/// Cohorts looked at in this step.
struct PeerCache {
    private struct Entry {
        var stamp: Int64 = .min
        var peers: Peers?
    }

    /// The step in work; what was found in another one is not valid.
    private var stamp: Int64 = .min
    /// Who brought a value since this second is compared, whatever the interval.
    private(set) var lately: Int32 = .max
    /// By question, with offsets or without, and kind; then by cohort.
    private var entries: [[Entry]]

    init(questions: Int) {
        entries = [[Entry]](repeating: [], count: questions * 2 * CohortKind.allCases.count)
    }

    /// Forgets what was found, where nobody retires who was heard of within `retireAfter`.
    mutating func begin(step now: Int64, _ retireAfter: Int64) {
        stamp = now
        lately = RuleEngine.second(now - min(30_000, retireAfter - 1) + 999)
    }

    private static func table(_ question: Int32, _ kind: CohortKind, _ offsets: Bool) -> Int {
        (Int(question) * 2 + (offsets ? 1 : 0)) * CohortKind.allCases.count + kind.rawValue
    }

    /// What was found of a cohort in this step: nothing yet, too few members, or their agreement.
    func known(_ question: Int32, _ kind: CohortKind, _ cohort: Int32, offsets: Bool) -> Peers?? {
        let table = PeerCache.table(question, kind, offsets)
        guard Int(cohort) < entries[table].count, entries[table][Int(cohort)].stamp == stamp
        else { return nil }
        return .some(entries[table][Int(cohort)].peers)
    }

    mutating func note(
        _ peers: Peers?, _ question: Int32, _ kind: CohortKind, _ cohort: Int32, offsets: Bool
    ) {
        let table = PeerCache.table(question, kind, offsets)
        while entries[table].count <= Int(cohort) { entries[table].append(Entry()) }
        entries[table][Int(cohort)] = Entry(stamp: stamp, peers: peers)
    }
}
