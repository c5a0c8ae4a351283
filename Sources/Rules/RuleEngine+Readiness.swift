import Detection

/// What devices are ready for at steps, counted by rule and by group.
///
/// Kept as readiness changes, which is seldom: a step looks only at devices of which something did.
struct Readiness {
    /// By device, one bit each: what it is ready for changed since it was counted.
    var changed: [UInt64] = []
    /// By device, one bit each: it is ready for a rule on devices.
    var waiting: [UInt64] = []
    /// By device and word: what was counted of it.
    var counted: [UInt64] = []
    /// By rule: devices that are ready for it.
    var devices: [Int32]
    /// By kind; by group and rule, as in the table of states: members that are ready for it.
    var members = [[Int32]](repeating: [], count: CohortKind.allCases.count)
    /// Of the membership that they were counted in.
    var version: UInt64 = .max

    init(rules: Int) { devices = [Int32](repeating: 0, count: rules) }

    var bytes: Int {
        (changed.count + waiting.count + counted.count) * 8
            + members.reduce(devices.count) { $0 + $1.count } * 4
    }

    /// Whether any device is ready for a rule.
    func has(_ rule: Int) -> Bool { devices[rule] > 0 }

    mutating func note(_ device: Int) { changed[device / 64] |= 1 << UInt64(device % 64) }

    mutating func grow(devices count: Int, words: Int) {
        let runs = (count + 63) / 64 - changed.count
        changed.append(contentsOf: repeatElement(0, count: runs))
        waiting.append(contentsOf: repeatElement(0, count: runs))
        counted.append(contentsOf: repeatElement(0, count: count * words - counted.count))
    }

    mutating func grow(_ kind: CohortKind, to count: Int) {
        let more = count - members[kind.rawValue].count
        guard more > 0 else { return }
        members[kind.rawValue].append(contentsOf: repeatElement(0, count: more))
    }

    /// Nothing is counted any more.
    mutating func reset() {
        devices = [Int32](repeating: 0, count: devices.count)
        for kind in members.indices {
            members[kind] = [Int32](repeating: 0, count: members[kind].count)
        }
        counted = [UInt64](repeating: 0, count: counted.count)
    }
}

extension RuleEngine {
    /// Takes over what devices have come to be ready for, or are not any more, and lists those that
    /// are ready for rules on devices.
    mutating func gatherReady(_ detection: borrowing Detection) {
        if readiness.version != detection.cohorts.version {
            // Some stand in other groups than they were counted in.
            readiness.version = detection.cohorts.version
            readiness.reset()
            for device in 0..<deviceCount { readiness.note(device) }
        }
        agenda.entries.removeAll(keepingCapacity: true)
        for run in readiness.changed.indices {
            var left = exchange(&readiness.changed[run], with: 0)
            while left != 0 {
                count(run * 64 + left.trailingZeroBitCount, detection)
                left &= left - 1
            }
            left = readiness.waiting[run]
            while left != 0 {
                list(run * 64 + left.trailingZeroBitCount)
                left &= left - 1
            }
        }
    }

    private mutating func count(_ device: Int, _ detection: borrowing Detection) {
        var isWaiting = false
        for word in 0..<program.words {
            let place = device * program.words + word
            let found = ready[place] & program.stepMask[word]
            if found & program.deviceMask[word] != 0 { isWaiting = true }
            var left = exchange(&readiness.counted[place], with: found) ^ found
            while left != 0 {
                let rule = word * 64 + left.trailingZeroBitCount
                let more: Int32 = found & (left & (0 &- left)) != 0 ? 1 : -1
                left &= left - 1
                readiness.devices[rule] += more
                guard let kind = program.rules[rule].group else { continue }
                let group = Int(detection.devices[device][kind])
                guard group >= 0 else { continue }
                let local = program.rules[rule].local
                let count = group * groupStates[kind.rawValue].stride + local
                readiness.members[kind.rawValue][count] += more
            }
        }
        let bit = UInt64(1) << UInt64(device % 64)
        readiness.waiting[device / 64] &= ~bit
        if isWaiting { readiness.waiting[device / 64] |= bit }
    }

    private mutating func list(_ device: Int) {
        for word in 0..<program.words {
            let rules = readiness.counted[device * program.words + word] & program.deviceMask[word]
            guard rules != 0 else { continue }
            agenda.entries.append(
                Agenda.Entry(device: Int32(device), word: Int32(word), rules: rules))
        }
    }
}
