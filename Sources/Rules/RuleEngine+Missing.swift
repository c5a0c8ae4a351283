import Detection
import Fleet
import Telemetry

// Members of a group that are missing: who they are, and whether each was told of already.
extension RuleEngine {
    /// What a finding on a group says of its missing members.
    struct Missing {
        /// Those that are silent, the ones first that fell silent when the count fell.
        var devices: [Int] = []
        /// How many more are missing that nobody can name.
        var unnamed = 0
        /// What the group usually has; nil where no condition knows.
        var usual: Float?
    }

    /// The members that the rule misses on `subject`.
    ///
    /// A rule that knows what is usual misses so many; any other misses all that are silent. With
    /// `withRetired`, those count too that left the roster because they were silent.
    func missing(
        _ index: Int, _ subject: Int, _ now: Int64, withRetired: Bool = false,
        _ detection: borrowing Detection
    ) -> Missing {
        guard let group = program.rules[index].group else { return Missing() }
        var silent: [(device: Int, at: Int64)] = []
        for member in detection.cohorts.members(group, Int32(subject)) {
            let device = Int(member.value)
            let state = detection.devices[device]
            let isGone = state.isRetired && withRetired
            guard isGone || isSilent(device, now, detection) else { continue }
            silent.append((device, state.lastSeen))
        }
        let rule = program.rules[index]
        let place = subject * groupStates[group.rawValue].stride + rule.local
        let since = groupStates[group.rawValue].since[place]
        if since != .min {
            silent.sort { (abs($0.at - since), $0.device) < (abs($1.at - since), $1.device) }
        }
        var missing = Missing(devices: silent.map(\.device))
        guard let (usual, value) = usualCount(rule.root, group, subject, now, detection) else {
            return missing
        }
        missing.usual = usual
        let gap = min(usual - value, MissingBounds.devicesMax)
        let lacking = gap >= 1 ? Int(gap) : 1
        missing.devices = Array(missing.devices.prefix(lacking))
        missing.unnamed = lacking - missing.devices.count
        return missing
    }

    private func isSilent(
        _ device: Int, _ now: Int64, _ detection: borrowing Detection
    ) -> Bool {
        let state = detection.devices[device]
        guard !state.isRetired, state.lastSeen != .min, !state.idleIsSilent else { return false }
        // Two lost samples in a row are rarer than a device that is gone.
        let limit = max(20_000, Int64(state.interval * 2_500))
        return detection.age(of: device, at: now) >= limit
    }

    /// What the first condition on a usual value knows: the usual one, and the one of now.
    private func usualCount(
        _ index: Int, _ group: CohortKind, _ subject: Int, _ now: Int64,
        _ detection: borrowing Detection
    ) -> (usual: Float, value: Float)? {
        let node = program.nodes[index]
        guard node.kind == .leaf else {
            for child in 0..<Int(node.count) where node.kind != .members {
                let first = Int(node.first) + child
                if let found = usualCount(first, group, subject, now, detection) { return found }
            }
            return nil
        }
        let leaf = program.leaves[Int(node.leaf)]
        let kind = group.rawValue
        guard leaf.kind == .usual,
            let usual = groupPools[kind].usual(
                numbersAt: subject * groupPools[kind].numberStride + Int(leaf.number))
        else { return nil }
        var own: Float?
        for member in detection.cohorts.members(group, Int32(subject)) {
            let place = Int(member.value) * program.registerGroups * 16 + Int(leaf.register)
            let fresh = Int64(detection.devices[Int(member.value)].interval * 4_000)
            guard !valueAt(place).isNaN, seenAt(place) + max(90_000, fresh) >= now else { continue }
            own = min(own ?? valueAt(place), valueAt(place))
        }
        return own.map { (usual, $0) }
    }

    /// Whether rules on devices that inhibit this rule on a group speak, or are about to, of every
    /// member that it would name.
    func isExplainedBelow(
        _ index: Int, _ subject: Int, _ now: Int64, _ detection: borrowing Detection
    ) -> Bool {
        let rule = program.rules[index]
        guard let group = rule.group else { return false }
        let sources = program.sources[index].filter { program.rules[$0].group == nil }
        guard !sources.isEmpty else { return false }
        let place = subject * groupStates[group.rawValue].stride + rule.local
        // What was explained stays so when the device leaves the roster a day later.
        let wasHeld = groupStates[group.rawValue].phase(place) == .held
        let named: [Int]
        if rule.blamesSilent {
            let missing = missing(index, subject, now, withRetired: wasHeld, detection)
            guard missing.unnamed == 0 else { return false }
            named = missing.devices
        } else {
            named =
                offenders.isEmpty
                ? detection.cohorts.members(group, Int32(subject)).map { Int($0.value) }
                : offenders
        }
        guard !named.isEmpty else { return false }
        return named.allSatisfy { device in
            detection.devices[device].isRetired
                || sources.contains { isActive($0, device, for: index) }
        }
    }
}

/// Bounds on what is missing.
private enum MissingBounds {
    /// A count that falls further says that the host lies, not that its devices are gone.
    static let devicesMax: Float = 64
}
