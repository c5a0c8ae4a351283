import Detection
import Fleet
import Telemetry

/// Which limits the newest values of a device are beyond: one bit for each that some rule asks.
///
/// Most of the time nothing is wrong, and a rule need not be evaluated to know that it does not
/// hold. A mark that is set says only that its limit *may* hold; one that is not set is certain, as
/// long as the rule is idle on the device: hysteresis is the business of rules that are not.
struct Marks {
    /// The marks of one device; plane p has bits 16 p … 16 p + 15, by lane.
    typealias Bits = SIMD4<UInt64>

    /// One limit on each lane of a metric group: it may hold for values between the two, exclusive.
    struct Plane {
        let group: Int
        /// NaN where there is no such limit.
        var low = SIMD16<Float>(repeating: .nan)
        var high = SIMD16<Float>(repeating: .nan)
        var used: UInt16 = 0
        /// Lanes whose limit may hold where the value was never sent.
        var optional: UInt16 = 0
    }

    static let planesMax = 16

    private(set) var planes: [Plane] = []
    /// By metric group, the numbers of its planes.
    private(set) var ofGroup = [[Int]](repeating: [], count: Vocabulary.groupsMax)
    /// Of a device that sent nothing yet.
    private(set) var initial = Bits.zero

    /// The mark of `leaf`; nil where it may hold whatever the value, or no place is left.
    mutating func mark(_ leaf: CompiledLeaf) -> Bits? {
        guard leaf.register >= 0, let range = Marks.range(of: leaf) else { return nil }
        let (group, lane) = (leaf.metric.group, leaf.metric.lane)
        let bit = UInt16(1) << UInt16(lane)
        let same = ofGroup[group].first {
            let plane = planes[$0]
            return plane.used & bit != 0
                && plane.low[lane].bitPattern == range.low.bitPattern
                && plane.high[lane].bitPattern == range.high.bitPattern
                && (plane.optional & bit != 0) == leaf.isOptional
        }
        if let same { return Marks.bits(plane: same, bit) }
        var place = ofGroup[group].first { planes[$0].used & bit == 0 }
        if place == nil, planes.count < Marks.planesMax {
            place = planes.count
            ofGroup[group].append(planes.count)
            planes.append(Plane(group: group))
        }
        guard let place else { return nil }
        planes[place].used |= bit
        planes[place].low[lane] = range.low
        planes[place].high[lane] = range.high
        if leaf.isOptional {
            planes[place].optional |= bit
            initial |= Marks.bits(plane: place, bit)
        }
        return Marks.bits(plane: place, bit)
    }

    private static func bits(plane: Int, _ lanes: UInt16) -> Bits {
        var bits = Bits.zero
        bits[plane / 4] = UInt64(lanes) << UInt64(plane % 4 * 16)
        return bits
    }

    /// Values outside of it cannot fulfil the leaf; nil where no such range is known.
    private static func range(of leaf: CompiledLeaf) -> (low: Float, high: Float)? {
        let (above, below) = (leaf.bound.above, leaf.bound.below)
        switch leaf.kind {
        case .threshold where leaf.relative == -1:
            return (above, below)
        case .rate where leaf.amount > 0:
            // A rounding of the division must not cost an alarm.
            let (low, high) = (above / leaf.amount, below / leaf.amount)
            return (low - abs(low) * 1e-6, high + abs(high) * 1e-6)
        case .state:
            let test = leaf.state
            if !test.equals.isNaN { return (test.equals.nextDown, test.equals.nextUp) }
            let least = max(Float(test.anyOf & ~(test.anyOf &- 1)), Float(test.allOf))
            return least > 0 ? (least.nextDown, .nan) : nil
        default:
            return nil
        }
    }

    /// Takes over the values of one row; only the lanes in `present` carry something new.
    @inline(__always)
    func take(_ values: SIMD16<Float>, _ present: UInt16, group: Int, into bits: inout Bits) {
        for place in ofGroup[group] {
            let plane = planes[place]
            let lanes = present & plane.used
            guard lanes != 0 else { continue }
            let beyond = ((values .<= plane.low) .| (values .>= plane.high)).bits
            let shift = UInt64(place % 4 * 16)
            let old = bits[place / 4] & ~(UInt64(lanes) << shift)
            bits[place / 4] = old | UInt64(lanes & ~beyond) << shift
        }
    }
}

/// What must be so before a rule is evaluated on a subject on which it is idle.
struct Reject {
    /// A leaf counts or learns at each turn: the rule is always evaluated.
    var isExhaustive = false
    /// Of a device, or, of a rule on a group, of one of its members; none where none is known.
    var clauses: Range<Int> = 0..<0
    /// Places in the device's times that say since when a part of the condition holds.
    var held: Range<Int> = 0..<0
    /// The whole condition is silence of at least so many milliseconds; 0 where it is not.
    var silence: Int64 = 0

    /// The marks of one subject can say that the condition does not hold.
    var isUseful: Bool { !isExhaustive && !clauses.isEmpty }
}

extension Program {
    /// What the condition at `root` needs, said of one device or of a group.
    mutating func reject(of root: Int, inGroup: Bool) -> Reject {
        var reject = Reject()
        let held = heldTimes.count
        collect(root, &reject, inGroup: inGroup)
        reject.held = held..<heldTimes.count
        let needed = inGroup ? memberClauses(root) : clauses(of: root)
        reject.clauses = clauses.count..<clauses.count + needed.count
        clauses += needed
        if !inGroup, nodes[root].kind == .leaf {
            let leaf = leaves[Int(nodes[root].leaf)]
            if leaf.kind == .absence, leaf.register < 0 { reject.silence = leaf.absence.after }
        }
        return reject
    }

    private mutating func collect(_ index: Int, _ reject: inout Reject, inGroup: Bool) {
        let node = nodes[index]
        switch node.kind {
        case .leaf:
            if leaves[Int(node.leaf)].isExhaustive { reject.isExhaustive = true }
            return
        case .held:
            // A group keeps its own time; what it counts must not be missed.
            if inGroup { reject.isExhaustive = true } else { heldTimes.append(node.time) }
        case .members where node.ofHosts:
            reject.isExhaustive = true
        case .all, .any, .atLeast, .not, .members, .gated: break
        }
        for child in Int(node.first)..<Int(node.first) + Int(node.count) {
            collect(child, &reject, inGroup: inGroup && node.kind != .members)
        }
    }

    /// Clauses that a device fulfils wherever the condition holds.
    private func clauses(of index: Int) -> [Marks.Bits] {
        let node = nodes[index]
        switch node.kind {
        case .leaf: return leafMarks[Int(node.leaf)].map { [$0] } ?? []
        case .held, .gated: return clauses(of: Int(node.first))
        case .all: return children(of: node).flatMap { clauses(of: $0) }
        case .any, .atLeast: return oneOf(children(of: node).map { clauses(of: $0) }, node)
        case .not, .members: return []
        }
    }

    /// Clauses that at least one member fulfils wherever the condition on the group holds.
    private func memberClauses(_ index: Int) -> [Marks.Bits] {
        let node = nodes[index]
        switch node.kind {
        case .members where !node.ofHosts && (node.least > 0 || !node.fraction.isNaN):
            return clauses(of: Int(node.first))
        case .held, .gated: return memberClauses(Int(node.first))
        // Two conditions on members may be fulfilled by two of them: one is enough to ask.
        case .all: return children(of: node).map { memberClauses($0) }.first { !$0.isEmpty } ?? []
        case .any, .atLeast: return oneOf(children(of: node).map { memberClauses($0) }, node)
        case .leaf, .not, .members: return []
        }
    }

    private func children(of node: CompiledNode) -> Range<Int> {
        Int(node.first)..<Int(node.first) + Int(node.count)
    }

    /// One clause that holds where at least one of the children does.
    private func oneOf(_ children: [[Marks.Bits]], _ node: CompiledNode) -> [Marks.Bits] {
        guard node.least > 0 || node.kind == .any else { return [] }
        var union = Marks.Bits.zero
        for clauses in children {
            guard let first = clauses.first else { return [] }
            union |= first
        }
        return union == .zero ? [] : [union]
    }
}

// Whether a rule need be evaluated.
extension RuleEngine {
    /// Whether an idle rule may hold on a device, as far as its marks tell.
    @inline(__always)
    func mayHold(_ reject: Reject, _ device: Int) -> Bool {
        let bits = marks[device]
        for clause in reject.clauses {
            let common = bits & program.clauses[clause]
            guard common[0] | common[1] | common[2] | common[3] == 0 else { continue }
            // What was true for a while must be seen to end.
            return isHeld(reject, device)
        }
        return true
    }

    private func isHeld(_ reject: Reject, _ device: Int) -> Bool {
        for held in reject.held {
            let place = device * devicePool.timeStride + Int(program.heldTimes[held])
            if devicePool.times[place] != .min { return true }
        }
        return false
    }

    /// Takes over the registers of all devices, as after another set of rules came.
    mutating func markAll() {
        for device in 0..<deviceCount {
            for group in 0..<Vocabulary.groupsMax where program.registerGroup[group] >= 0 {
                let base = (device * program.registerGroups + program.registerGroup[group]) * 16
                var lanes = SIMD16<Float>(repeating: .nan)
                for lane in 0..<16 { lanes[lane] = values[base + lane] }
                program.marks.take(lanes, lanes.presence, group: group, into: &marks[device])
            }
        }
    }
}
