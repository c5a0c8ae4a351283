import RollingStatistics
import Telemetry

/// What must be so before a rule is evaluated on a subject on which it is idle.
struct Reject {
    /// Something counts or learns at each turn, or nothing is known: always evaluated.
    var isAlways = false
    /// Of a device, or, of a rule on a group, of one of its members; none where none is known.
    var clauses: Range<Int> = 0..<0
    /// Of a rule on a group: clauses that some member must fulfil as well, each its own.
    var others: Range<Int> = 0..<0
    /// Places in the device's times that say since when a part of the condition holds.
    var held: Range<Int> = 0..<0
    /// The same in the times of the group.
    var heldInGroup: Range<Int> = 0..<0
    /// The whole condition is silence of at least so many milliseconds; 0 where it is not.
    var silence: Int64 = 0
    /// And of no more than so many, beyond so many intervals of the device; 0 for no such limit.
    var silenceRecent: Int64 = 0
    var silenceIntervals: Float = 0
    /// Nothing new is known before the next minute.
    var isByMinute = false

    /// The marks of one subject can say that the condition does not hold.
    var isByMarks: Bool { !isAlways && silence == 0 && !isByMinute }
}

/// What of a reject says whether a device needs it: small, because all are asked.
struct Admission {
    enum Kind: UInt8 { case never, always, byMarks }

    let kind: Kind
    let required: UInt16
    let refused: UInt16
    /// Its place among the phases of a device; -1 for a rule on groups.
    let local: Int32
    let firstClause: Int32
    let clauseEnd: Int32
    let firstHeld: Int32
    let heldEnd: Int32

    /// Of a rule, or of a condition on members.
    init(_ reject: Reject, of rule: CompiledRule? = nil) {
        if rule?.isEvent == true {
            kind = .never
        } else if reject.isByMarks {
            kind = .byMarks
        } else {
            // At steps, whoever is always asked needs no bit.
            kind = rule?.isTick == false ? .never : .always
        }
        // A group has gates of its own.
        let own = rule?.group == nil ? rule : nil
        required = own?.required ?? 0
        refused = own?.refused ?? 0
        local = own.map { Int32($0.local) } ?? -1
        (firstClause, clauseEnd) = (
            Int32(reject.clauses.lowerBound), Int32(reject.clauses.upperBound)
        )
        (firstHeld, heldEnd) = (Int32(reject.held.lowerBound), Int32(reject.held.upperBound))
    }

    /// Times of devices say since when a part of it holds.
    var isHeld: Bool { firstHeld < heldEnd }
}

/// Which rules a mark or a gate of a device may let through, one bit for each.
struct Reach {
    /// By word: all rules.
    private(set) var all: [UInt64] = []
    /// By word, then by mark, by gate, and by metric group and lane.
    private var ofMark: [UInt64] = []
    private var ofGate: [UInt64] = []
    private var ofLane: [UInt64] = []

    private static let marks = Marks.wordsMax * 16
    private static let gates = 16
    private static let lanes = Vocabulary.groupsMax * 16

    init() {}

    init(_ admissions: [Admission], words: Int, clauses: [Marks.Bits], planes: [[LanePlane]]) {
        all = [UInt64](repeating: 0, count: words)
        ofMark = [UInt64](repeating: 0, count: words * Reach.marks)
        ofGate = [UInt64](repeating: 0, count: words * Reach.gates)
        ofLane = [UInt64](repeating: 0, count: words * Reach.lanes)
        for (rule, admission) in admissions.enumerated() {
            let (word, bit) = (rule / 64, UInt64(1) << UInt64(rule % 64))
            all[word] |= bit
            for clause in Int(admission.firstClause)..<Int(admission.clauseEnd) {
                for mark in 0..<Reach.marks where Marks.has(Int16(mark), clauses[clause]) {
                    ofMark[word * Reach.marks + mark] |= bit
                }
            }
            for gate in 0..<Reach.gates
            where (admission.required | admission.refused) & (1 << UInt16(gate)) != 0 {
                ofGate[word * Reach.gates + gate] |= bit
            }
        }
        for word in 0..<words {
            for (group, planes) in planes.enumerated() {
                for plane in planes {
                    for lane in 0..<16 where plane.lanes & (1 << UInt16(lane)) != 0 {
                        ofLane[word * Reach.lanes + group * 16 + lane] |=
                            ofMark[word * Reach.marks + Int(plane.word) * 16 + lane]
                    }
                }
            }
        }
    }

    func rules(marks: Marks.Bits, in word: Int) -> UInt64 {
        var rules: UInt64 = 0
        for quarter in 0..<4 {
            rules |= Reach.union(ofMark, at: word * Reach.marks + quarter * 64, marks[quarter])
        }
        return rules
    }

    func rules(gates: UInt16, in word: Int) -> UInt64 {
        Reach.union(ofGate, at: word * Reach.gates, UInt64(gates))
    }

    func rules(lanes: UInt16, of group: Int, in word: Int) -> UInt64 {
        Reach.union(ofLane, at: word * Reach.lanes + group * 16, UInt64(lanes))
    }

    private static func union(_ table: [UInt64], at first: Int, _ bits: UInt64) -> UInt64 {
        var rules: UInt64 = 0
        var left = bits
        while left != 0 {
            rules |= table[first + left.trailingZeroBitCount]
            left &= left - 1
        }
        return rules
    }
}

extension Program {
    /// What the condition at `root` needs, said of one device or of a group.
    mutating func reject(of root: Int, inGroup: Bool) -> Reject {
        var reject = Reject()
        var times: (device: [Int32], group: [Int32]) = ([], [])
        collect(root, &reject, &times, inGroup: inGroup)
        reject.held = heldTimes.count..<heldTimes.count + times.device.count
        heldTimes += times.device
        reject.heldInGroup = heldTimes.count..<heldTimes.count + times.group.count
        heldTimes += times.group
        var needed = inGroup ? memberClauses(root) : [clauses(of: root)]
        // Written from the general to the particular: the last tells most.
        let own = needed.popLast() ?? []
        reject.clauses = clauses.count..<clauses.count + own.count
        clauses += own
        // While a time runs, all of it is evaluated.
        if reject.held.isEmpty, reject.heldInGroup.isEmpty {
            let others = needed.compactMap(\.first)
            reject.others = clauses.count..<clauses.count + others.count
            clauses += others
        }
        if let leaf = silence(root) {
            reject.silence = leaf.absence.after
            reject.silenceRecent = leaf.absence.recent
            reject.silenceIntervals = leaf.absence.intervals
        }
        if !inGroup, nodes[root].kind == .leaf {
            reject.isByMinute = leaves[Int(nodes[root].leaf)].kind == .completeness
        }
        if reject.silence == 0, !reject.isByMinute, reject.clauses.isEmpty {
            reject.isAlways = true
        }
        return reject
    }

    /// The leaf of a condition that is nothing but silence, of a device or of members.
    private func silence(_ root: Int) -> CompiledLeaf? {
        var node = nodes[root]
        if node.kind == .members, node.least > 0 || !node.fraction.isNaN {
            node = nodes[Int(node.first)]
        }
        guard node.kind == .leaf else { return nil }
        let leaf = leaves[Int(node.leaf)]
        return leaf.kind == .absence && leaf.register < 0 && leaf.absence.after > 0 ? leaf : nil
    }

    private mutating func collect(
        _ index: Int, _ reject: inout Reject, _ times: inout (device: [Int32], group: [Int32]),
        inGroup: Bool
    ) {
        let node = nodes[index]
        switch node.kind {
        case .leaf:
            let leaf = leaves[Int(node.leaf)]
            guard leaf.isExhaustive else { return }
            if leaf.kind == .duration {
                // It counts from where its limit is passed to where it is not.
                if inGroup { times.group.append(leaf.time) } else { times.device.append(leaf.time) }
                if leafMarks[Int(node.leaf)] == nil { reject.isAlways = true }
            } else {
                reject.isAlways = true
            }
            return
        case .held:
            if inGroup { times.group.append(node.time) } else { times.device.append(node.time) }
        case .members where node.ofHosts:
            if silence(index) == nil { reject.isAlways = true }
            return
        case .all, .any, .atLeast, .not, .members, .gated: break
        }
        for child in Int(node.first)..<Int(node.first) + Int(node.count) {
            collect(child, &reject, &times, inGroup: inGroup && node.kind != .members)
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

    /// Sets of clauses; of each, at least one member fulfils all wherever the condition on the group
    /// holds, not necessarily the same one.
    private func memberClauses(_ index: Int) -> [[Marks.Bits]] {
        let node = nodes[index]
        switch node.kind {
        case .members where !node.ofHosts && (node.least > 0 || !node.fraction.isNaN):
            let needed = clauses(of: Int(node.first))
            return needed.isEmpty ? [] : [needed]
        case .leaf: return leafMarks[Int(node.leaf)].map { [[$0]] } ?? []
        case .held, .gated: return memberClauses(Int(node.first))
        case .all: return children(of: node).flatMap { memberClauses($0) }
        case .any, .atLeast:
            let union = oneOf(children(of: node).map { memberClauses($0).first ?? [] }, node)
            return union.isEmpty ? [] : [union]
        case .not, .members: return []
        }
    }

    func children(of node: CompiledNode) -> Range<Int> {
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
