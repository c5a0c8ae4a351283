/// A regular expression that must match the whole text, in time linear in the text.
///
/// The subset that matchers need: `.`, `[a-z]`, `[^x]`, `\d \w \s` and escaped signs, `( | )`,
/// `* + ?` and `{m,n}`. It is our own because a pattern may come in with a silence over the API:
/// a backtracking engine would let one such as `(a+)+b` hold the engine's thread for good. This one
/// runs all alternatives side by side (Thompson's construction) and is a value that can be sent.
package struct Pattern: Sendable, Hashable, CustomStringConvertible {
    /// Patterns are read by people; a longer one is a mistake.
    package static let textBytesMax = 512
    /// After `{m,n}` is written out: 512 steps by 256 bytes of label is a millisecond at worst.
    static let stepsMax = 512

    package struct Malformed: Error, Equatable {
        package let reason: String

        package init(reason: String) { self.reason = reason }
    }

    package let text: String
    private let steps: [Step]

    fileprivate enum Step: Hashable, Sendable {
        case match
        case one(Class)
        case split(Int, Int)
        case jump(Int)
    }

    package init(_ text: String) throws(Malformed) {
        guard text.utf8.count <= Pattern.textBytesMax else {
            throw Malformed(reason: "is longer than \(Pattern.textBytesMax) bytes")
        }
        var reader = Reader(text)
        let tree = try reader.alternatives(depth: 0)
        guard reader.isAtEnd else { throw Malformed(reason: "has a ')' without a '('") }
        var steps: [Step] = []
        var budget = 8 * Pattern.stepsMax
        try Pattern.emit(tree, into: &steps, budget: &budget)
        steps.append(.match)
        self.text = text
        self.steps = steps
    }

    package var description: String { text }

    /// Whether all of `subject` matches.
    package func matches(_ subject: String) -> Bool {
        // The turn in which each step was last reached, so that none is followed twice.
        var reached = [Int](repeating: -1, count: steps.count)
        var current: [Int] = []
        var next: [Int] = []
        follow(0, turn: 0, &reached, into: &current)
        var turn = 0
        for scalar in subject.unicodeScalars {
            turn += 1
            next.removeAll(keepingCapacity: true)
            for index in current {
                guard case .one(let accepted) = steps[index], accepted.contains(scalar) else {
                    continue
                }
                follow(index + 1, turn: turn, &reached, into: &next)
            }
            guard !next.isEmpty else { return false }
            swap(&current, &next)
        }
        return reached[steps.count - 1] == turn
    }

    /// Adds `start` and all that is reachable from it without reading.
    private func follow(
        _ start: Int, turn: Int, _ reached: inout [Int], into found: inout [Int]
    ) {
        var open = [start]
        while let index = open.popLast() {
            guard reached[index] != turn else { continue }
            reached[index] = turn
            switch steps[index] {
            case .jump(let target): open.append(target)
            case .split(let first, let second):
                open.append(second)
                open.append(first)
            case .one, .match: found.append(index)
            }
        }
    }

    /// The budget counts visits, also of parts that write no step: `((){256}){256}` is large too.
    private static func emit(
        _ tree: Tree, into steps: inout [Step], budget: inout Int
    ) throws(Malformed) {
        budget -= 1
        guard steps.count < stepsMax, budget > 0 else { throw Malformed(reason: "is too large") }
        switch tree {
        case .empty: break
        case .one(let accepted): steps.append(.one(accepted))
        case .sequence(let parts):
            for part in parts { try emit(part, into: &steps, budget: &budget) }
        case .either(let left, let right):
            let split = steps.count
            steps.append(.jump(0))
            try emit(left, into: &steps, budget: &budget)
            let end = steps.count
            steps.append(.jump(0))
            steps[split] = .split(split + 1, steps.count)
            try emit(right, into: &steps, budget: &budget)
            steps[end] = .jump(steps.count)
        case .repeated(let part, let least, let most):
            for _ in 0..<least { try emit(part, into: &steps, budget: &budget) }
            guard let most else {
                let split = steps.count
                steps.append(.jump(0))
                try emit(part, into: &steps, budget: &budget)
                steps.append(.jump(split))
                steps[split] = .split(split + 1, steps.count)
                return
            }
            var splits: [Int] = []
            for _ in least..<max(least, most) {
                splits.append(steps.count)
                steps.append(.jump(0))
                try emit(part, into: &steps, budget: &budget)
            }
            for split in splits { steps[split] = .split(split + 1, steps.count) }
        }
    }
}

private indirect enum Tree {
    case empty
    case one(Class)
    case sequence([Tree])
    case either(Tree, Tree)
    case repeated(Tree, Int, Int?)
}

/// A set of scalars.
private struct Class: Hashable, Sendable {
    var ranges: [ClosedRange<UInt32>]
    var isNegated = false

    func contains(_ scalar: Unicode.Scalar) -> Bool {
        ranges.contains { $0.contains(scalar.value) } != isNegated
    }

    static let any = Class(ranges: [], isNegated: true)

    /// What follows a backslash.
    static func escaped(_ scalar: Unicode.Scalar) -> Class? {
        switch scalar {
        case "d": Class(ranges: [48...57])
        case "D": Class(ranges: [48...57], isNegated: true)
        case "w": Class(ranges: [48...57, 65...90, 95...95, 97...122])
        case "W": Class(ranges: [48...57, 65...90, 95...95, 97...122], isNegated: true)
        case "s": Class(ranges: [9...13, 32...32])
        case "S": Class(ranges: [9...13, 32...32], isNegated: true)
        case "n": Class(ranges: [10...10])
        case "t": Class(ranges: [9...9])
        default: scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) ? nil : lone(scalar)
        }
    }

    static func lone(_ scalar: Unicode.Scalar) -> Class {
        Class(ranges: [scalar.value...scalar.value])
    }
}

private struct Reader {
    private let scalars: [Unicode.Scalar]
    private var position = 0

    init(_ text: String) { scalars = Array(text.unicodeScalars) }

    var isAtEnd: Bool { position == scalars.count }
    private var peek: Unicode.Scalar? { isAtEnd ? nil : scalars[position] }

    private mutating func take(_ wanted: Unicode.Scalar) -> Bool {
        guard peek == wanted else { return false }
        position += 1
        return true
    }

    private mutating func next(or reason: String) throws(Pattern.Malformed) -> Unicode.Scalar {
        guard let scalar = peek else { throw Pattern.Malformed(reason: reason) }
        position += 1
        return scalar
    }

    mutating func alternatives(depth: Int) throws(Pattern.Malformed) -> Tree {
        guard depth < 32 else { throw Pattern.Malformed(reason: "is nested too deeply") }
        var tree = try run(depth: depth)
        while take("|") { tree = .either(tree, try run(depth: depth)) }
        return tree
    }

    private mutating func run(depth: Int) throws(Pattern.Malformed) -> Tree {
        var parts: [Tree] = []
        while let scalar = peek, scalar != "|", scalar != ")" {
            let part = try atom(depth: depth)
            parts.append(try repeated(part))
        }
        return parts.isEmpty ? .empty : .sequence(parts)
    }

    private mutating func repeated(_ part: Tree) throws(Pattern.Malformed) -> Tree {
        if take("*") { return .repeated(part, 0, nil) }
        if take("+") { return .repeated(part, 1, nil) }
        if take("?") { return .repeated(part, 0, 1) }
        guard take("{") else { return part }
        let least = number()
        var most = least
        if take(",") { most = number() }
        let isOpen = scalars[position - 1] == ","
        guard take("}"), let least, isOpen || most != nil, (most ?? least) >= least, least <= 256,
            (most ?? 0) <= 256
        else {
            throw Pattern.Malformed(reason: "has a '{' that is not {n}, {m,} or {m,n} up to 256")
        }
        return .repeated(part, least, isOpen ? nil : most)
    }

    private mutating func number() -> Int? {
        var digits = ""
        while let scalar = peek, ("0"..."9").contains(scalar), digits.count < 4 {
            digits.unicodeScalars.append(scalar)
            position += 1
        }
        return Int(digits)
    }

    private mutating func atom(depth: Int) throws(Pattern.Malformed) -> Tree {
        let scalar = try next(or: "ends too early")
        switch scalar {
        case ".": return .one(.any)
        case "[": return .one(try bracket())
        case "(":
            if take("?") {
                guard take(":") else {
                    throw Pattern.Malformed(reason: "uses '(?', of which only '(?:' is supported")
                }
            }
            let inner = try alternatives(depth: depth + 1)
            guard take(")") else { throw Pattern.Malformed(reason: "has a '(' without a ')'") }
            return inner
        case "*", "+", "?", "{":
            throw Pattern.Malformed(reason: "has a '\(scalar)' with nothing before it")
        case "^", "$":
            throw Pattern.Malformed(
                reason: "has a '\(scalar)'; a pattern always matches the whole text, leave it out")
        case "\\": return .one(try escape())
        default: return .one(.lone(scalar))
        }
    }

    private mutating func escape() throws(Pattern.Malformed) -> Class {
        let scalar = try next(or: "ends in a backslash")
        guard let escaped = Class.escaped(scalar) else {
            throw Pattern.Malformed(reason: "has '\\\(scalar)', which is not supported")
        }
        return escaped
    }

    private mutating func bracket() throws(Pattern.Malformed) -> Class {
        let open = "has a '[' without a ']'"
        var found = Class(ranges: [])
        found.isNegated = take("^")
        var isFirst = true
        while isFirst || peek != "]" {
            isFirst = false
            let scalar = try next(or: open)
            guard scalar != "\\" else {
                let inner = try escape()
                guard !inner.isNegated else {
                    throw Pattern.Malformed(reason: "has \\D, \\W or \\S inside brackets")
                }
                found.ranges += inner.ranges
                continue
            }
            guard peek == "-", position + 1 < scalars.count, scalars[position + 1] != "]" else {
                found.ranges.append(scalar.value...scalar.value)
                continue
            }
            position += 1
            let last = try next(or: open)
            guard last.value >= scalar.value else {
                throw Pattern.Malformed(reason: "has the range '\(scalar)-\(last)' backwards")
            }
            found.ranges.append(scalar.value...last.value)
        }
        position += 1
        return found
    }
}
