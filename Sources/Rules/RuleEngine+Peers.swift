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
        /// Those that find no cohort that their rule would rather have.
        var judged: [Int32] = []
        /// Some value lay far enough from another: marks may be set.
        var isMarked = false
        /// Some of them have no offset from the others yet.
        var isLearning = true
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
    mutating func watchPeers(_ now: Int64, _ detection: borrowing Detection) {
        guard !program.peerLeaves.isEmpty else { return }
        if watchedPeers.version != detection.cohorts.version { findPeers(detection) }
        for place in watchedPeers.cohorts.indices {
            let leaf = program.leaves[watchedPeers.cohorts[place].leaf]
            let kind = watchedPeers.cohorts[place].kind
            let index = watchedPeers.cohorts[place].index
            let width = width(leaf, kind, index, now, detection)
            let isWide = leaf.mayDiffer(width.low, width.high)
            if isWide || watchedPeers.cohorts[place].isMarked {
                watchedPeers.cohorts[place].isMarked = isWide
                let peers =
                    isWide
                    ? agreement(
                        leaf, kind, index, now, detection, offsets: leaf.peer.frozenOffset) : nil
                for device in watchedPeers.cohorts[place].judged {
                    if let peers, mayDiffer(leaf, Int(device), index, peers) {
                        setMark(leaf.mark, Int(device))
                    } else {
                        clearMark(leaf.mark, Int(device))
                    }
                }
            }
            if leaf.learningMark >= 0, watchedPeers.cohorts[place].isLearning {
                watchLearning(place, leaf, now)
            }
        }
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

    private mutating func watchLearning(_ place: Int, _ leaf: CompiledLeaf, _ now: Int64) {
        var isLearning = false
        for device in watchedPeers.cohorts[place].judged {
            if isLearned(leaf, Int(device), watchedPeers.cohorts[place].index, now) {
                clearMark(leaf.learningMark, Int(device))
            } else {
                isLearning = true
                setMark(leaf.learningMark, Int(device))
            }
        }
        watchedPeers.cohorts[place].isLearning = isLearning
    }

    private mutating func findPeers(_ detection: borrowing Detection) {
        watchedPeers.version = detection.cohorts.version
        watchedPeers.cohorts.removeAll(keepingCapacity: true)
        for index in program.peerLeaves {
            let leaf = program.leaves[index]
            var places: [Int: Int] = [:]
            for device in 0..<deviceCount {
                clearMark(leaf.mark, device)
                clearMark(leaf.learningMark, device)
                guard let (kind, cohort) = cohort(of: leaf, device, detection) else { continue }
                let key = Int(cohort) * CohortKind.allCases.count + kind.rawValue
                let place = places[key] ?? watchedPeers.cohorts.count
                if place == watchedPeers.cohorts.count {
                    places[key] = place
                    watchedPeers.cohorts.append(
                        WatchedPeers.Cohort(leaf: index, kind: kind, index: cohort))
                }
                watchedPeers.cohorts[place].judged.append(Int32(device))
            }
        }
    }

    /// The least and the largest value of those that a leaf takes for peers.
    private func width(
        _ leaf: CompiledLeaf, _ kind: CohortKind, _ cohort: Int32, _ now: Int64,
        _ detection: borrowing Detection
    ) -> (low: Float, high: Float) {
        var low = Float.infinity
        var high = -Float.infinity
        let required = leaf.required.rawValue
        // Longer than any value is taken for a present one.
        let oldest = Int32(clamping: (now - 901_000) / 1_000 - RuleEngine.firstSecond)
        let stride = program.registerGroups * 16
        for member in detection.cohorts.members(kind, cohort) {
            let device = Int(member.value)
            guard gates[device].rawValue & required == required else { continue }
            let place = device * stride + Int(leaf.register)
            let newest = registers[place]
            var value = newest.value
            // Not a number is less than nothing.
            guard value == value, newest.seen >= oldest else { continue }
            if leaf.peer.frozenOffset {
                guard let offset = knownOffset(leaf, device, cohort) else { continue }
                value -= offset
            }
            if value < low { low = value }
            if value > high { high = value }
        }
        return (low, high)
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
