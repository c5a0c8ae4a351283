import Bytes
import Glibc
import KernelBaseline
import TestSupport
import Testing

@Suite("Layouts") struct LayoutTests {
    /// One message with numbers that change, and what is to come out of it.
    struct Message {
        var bytes: [UInt8] = []
        var cuts: [LayoutTree.Cut] = []
        var values: [Double] = []

        mutating func add(_ text: String) { bytes += Array(text.utf8) }

        mutating func add(number text: String, lane: Int32, scale: Double, high: Double) {
            let start = bytes.count
            add(text)
            values.append(Double(text) ?? .nan)
            cuts.append(
                LayoutTree.Cut(
                    slot: .value, range: start..<bytes.count,
                    target: LayoutTree.Target(lane: lane, scale: scale, low: 0, high: high)))
        }

        mutating func add(labels text: String) {
            cuts.append(
                LayoutTree.Cut(slot: .labels, range: bytes.count..<bytes.count + text.utf8.count))
            add(text)
        }

        /// Of `count` numbers every seventh has no lane, and every fifth a scale.
        static func made(_ count: Int, high: Double = 1e18, _ number: (Int) -> String) -> Message {
            var message = Message()
            for index in 0..<count {
                message.add(
                    "\(index == 0 ? "{" : ",")\"metric.with.a.name.of.some.length\(index)\":")
                message.add(
                    number: number(index),
                    lane: index % 7 == 6 ? LayoutTree.noLane : Int32(index),
                    scale: index % 5 == 4 ? 0.01 : 1, high: high)
            }
            message.add("}")
            return message
        }
    }

    private static func digits(_ generator: inout SeededGenerator) -> String {
        let whole = Int.random(in: 0..<1_000_000, using: &generator)
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: return String(whole % 10)
        case 1: return String(whole)
        case 2: return "\(whole % 1_000).\(Int.random(in: 0..<10, using: &generator))"
        default: return "\(whole).\(Int.random(in: 10_000_000..<100_000_000, using: &generator))"
        }
    }

    /// What becomes of the numbers of a message, which is new to the tree.
    private static func learn(
        _ tree: inout LayoutTree, _ message: Message, shape: Int
    ) throws -> LayoutTree.Targets {
        let learned = tree.learn(message.bytes.span, message.cuts, rows: 2, shape: shape)
        guard case .new(let targets) = learned else { throw NotLearned() }
        return targets
    }

    private struct NotLearned: Error {}

    /// What a tree makes of a message: its values and its rows, or nil where it could not follow.
    private static func read(
        _ tree: inout LayoutTree, _ message: Message, _ targets: [LayoutTree.Targets]
    ) -> (values: [Double], rows: [SIMD16<Float>], isSound: Bool)? {
        read(&tree, message, message.bytes.span, targets)
    }

    private static func read(
        _ tree: inout LayoutTree, _ message: Message, _ payload: Span<UInt8>,
        _ targets: [LayoutTree.Targets]
    ) -> (values: [Double], rows: [SIMD16<Float>], isSound: Bool)? {
        var scratch = Scratch()
        var found = LayoutTree.Found()
        let labels = message.cuts.first { $0.slot == .labels }?.range ?? 0..<0
        tree.read(
            payload, &scratch, labels: message.bytes.span.extracting(labels), at: labels.lowerBound,
            &found)
        guard found.shape >= 0 else { return nil }
        var rows: [SIMD16<Float>] = []
        let isSound = tree.convert(targets[found.shape], into: &rows)
        return (message.values.indices.map { tree.numbers[$0] }, rows, isSound)
    }

    @Test(arguments: InstructionSet.allCases)
    func `numbers come out as they stand on every instruction set`(_ set: InstructionSet) throws {
        let seed: UInt64 = 20_26
        var generator = SeededGenerator(seed: seed)
        var tree = LayoutTree(instructionSet: set)
        var targets: [LayoutTree.Targets] = []
        // Fewer than a vector of them, as many, and more.
        for count in [1, 3, 7, 8, 9, 16, 17, 31] {
            let taught = Message.made(count) { _ in Self.digits(&generator) }
            targets.append(try Self.learn(&tree, taught, shape: targets.count))
            for turn in 0..<50 {
                let message = Message.made(count) { _ in Self.digits(&generator) }
                guard let read = Self.read(&tree, message, targets) else {
                    Issue.record("seed \(seed): lost in turn \(turn) of \(count) numbers")
                    return
                }
                #expect(read.values == message.values, "seed \(seed), \(count) numbers")
                #expect(read.isSound && read.rows.count == 2)
                for lane in 0..<32 {
                    let value = read.rows[lane / 16][lane % 16]
                    guard lane < count, lane % 7 != 6 else {
                        #expect(value.isNaN, "lane \(lane) of \(count)")
                        continue
                    }
                    #expect(value == Float(message.values[lane] * (lane % 5 == 4 ? 0.01 : 1)))
                }
            }
        }
    }

    @Test(arguments: InstructionSet.allCases)
    func `one number out of its range is seen wherever it stands`(_ set: InstructionSet) throws {
        var tree = LayoutTree(instructionSet: set)
        let taught = Message.made(19, high: 100) { _ in "50" }
        let target = try Self.learn(&tree, taught, shape: 0)
        for place in 0..<19 {
            // Those with a scale of a hundredth reach their bound later.
            let bound = place % 5 == 4 ? 10_000 : 100
            for (number, isSound) in [(bound, true), (bound + 1, false)] {
                let message = Message.made(19) { $0 == place ? String(number) : "7" }
                #expect(
                    Self.read(&tree, message, [target])?.isSound == isSound,
                    "\(number) at place \(place)")
            }
        }
    }

    /// Lends a message between two pages that cannot be read, where the first ends or the other begins.
    private static func withFenced<Result>(
        _ message: [UInt8], atEnd: Bool, _ body: (Span<UInt8>) -> Result
    ) -> Result? {
        let page = sysconf(Int32(_SC_PAGESIZE))
        guard
            let pages = unsafe mmap(
                nil, page * 3, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            unsafe pages != MAP_FAILED, message.count <= page
        else { return nil }
        defer { unsafe munmap(pages, page * 3) }
        let start = unsafe pages + page + (atEnd ? page - message.count : 0)
        unsafe message.withUnsafeBytes { bytes in
            if let first = bytes.baseAddress {
                unsafe start.copyMemory(from: first, byteCount: bytes.count)
            }
        }
        guard unsafe mprotect(pages, page, PROT_NONE) == 0,
            unsafe mprotect(pages + page * 2, page, PROT_NONE) == 0
        else { return nil }
        return unsafe body(
            Span(
                _unsafeStart: start.assumingMemoryBound(to: UInt8.self), count: message.count))
    }

    /// Numbers of three forms behind a beginning, with labels before them, between them or nowhere.
    private static func fenced(
        _ beginning: String, labels: Int?, _ count: Int, _ number: (Int) -> String
    ) -> Message {
        var message = Message()
        message.add(beginning)
        for index in 0..<count {
            if index == labels {
                message.add(labels: "host=a.name.that.is.longer.than.a.vector")
                message.add(",")
            }
            message.add(number: number(index), lane: Int32(index), scale: 1, high: 1e18)
            message.add(index + 1 < count ? ",f\(index)=" : "")
        }
        return message
    }

    @Test(arguments: InstructionSet.allCases)
    func `no byte outside of a message is read wherever it ends`(_ set: InstructionSet) throws {
        let seed: UInt64 = 71
        var generator = SeededGenerator(seed: seed)
        for beginning in ["", "ten bytes=", "fifteen bytes.=", "sixteen bytes..="] {
            for labels in [nil, 0, 3] {
                for count in 1...18 {
                    var tree = LayoutTree(instructionSet: set)
                    let taught = Self.fenced(beginning, labels: labels, count) { _ in "1234.5" }
                    let target = try Self.learn(&tree, taught, shape: 0)
                    for turn in 0..<24 {
                        // Mostly one form, so that it is expected, and then any.
                        let message = Self.fenced(beginning, labels: labels, count) { _ in
                            turn < 6 ? "\(1_000 + turn).5" : Self.digits(&generator)
                        }
                        let values = Self.withFenced(message.bytes, atEnd: turn.isMultiple(of: 2)) {
                            Self.read(&tree, message, $0, [target])?.values
                        }
                        #expect(
                            values == message.values,
                            "seed \(seed), turn \(turn): \(String(decoding: message.bytes, as: UTF8.self))"
                        )
                    }
                }
            }
        }
    }

    /// What an idle device and a busy one write in the same places; now and then one digit less.
    private static func twoKinds(_ count: Int, _ generator: inout SeededGenerator) -> Message {
        let isIdle = Int.random(in: 0..<4, using: &generator) == 0
        return Message.made(count) { index in
            let isShort = Int.random(in: 0..<10, using: &generator) == 0
            let digits = Int.random(in: 100..<1_000, using: &generator)
            if index < 2 { return isShort ? "7" : "61" }
            return isIdle ? "0" : "0.\(isShort ? digits / 10 : digits)"
        }
    }

    @Test(arguments: InstructionSet.allCases)
    func `messages of two kinds go on apart and come out as they stand`(
        _ set: InstructionSet
    ) throws {
        let seed: UInt64 = 99
        var generator = SeededGenerator(seed: seed)
        var tree = LayoutTree(instructionSet: set)
        var targets: [LayoutTree.Targets] = []
        for count in [12, 20] {
            // The longer one leaves the path of the other where that ends, when it has been forked.
            let taught = Self.twoKinds(count, &generator)
            targets.append(try Self.learn(&tree, taught, shape: targets.count))
            for turn in 0..<3_000 {
                let length = targets.count == 2 && turn % 2 == 1 ? 20 : 12
                let message = Self.twoKinds(length, &generator)
                guard let read = Self.read(&tree, message, targets) else {
                    Issue.record("seed \(seed): lost in turn \(turn) of \(count) numbers")
                    return
                }
                #expect(read.values == message.values, "seed \(seed), turn \(turn)")
            }
            #expect(tree.copies > 8 && tree.copies <= tree.count / 2, "of \(tree.count)")
        }
    }

    @Test func `messages that differ in each number by itself stay together`() throws {
        let seed: UInt64 = 12
        var generator = SeededGenerator(seed: seed)
        var tree = LayoutTree()
        let taught = Message.made(7) { _ in "1" }
        let target = try Self.learn(&tree, taught, shape: 0)
        let learned = tree.count
        var copiesMax = 0
        for turn in 0..<30_000 {
            let message = Message.made(7) { _ in
                Bool.random(using: &generator) ? "12.5" : "7"
            }
            let read = Self.read(&tree, message, [target])
            #expect(read?.values == message.values, "seed \(seed), turn \(turn)")
            copiesMax = max(copiesMax, tree.copies)
        }
        // It was tried, of course.
        #expect(copiesMax > 0 && tree.copies == 0 && tree.count == learned)
    }

    @Test func `numbers that are written in many ways make no tree larger`() throws {
        let seed: UInt64 = 5
        var generator = SeededGenerator(seed: seed)
        var tree = LayoutTree()
        let taught = Message.made(20) { _ in Self.digits(&generator) }
        let target = try Self.learn(&tree, taught, shape: 0)
        let learned = tree.count
        // Forms that last for a while, so that paths go apart and together again many times.
        for turn in 0..<15_000 {
            let message = Message.made(20) { index in
                let width = 1 + (turn / 300 + index * (turn / 5_000)) % 7
                let isOther = Int.random(in: 0..<3, using: &generator) == 0
                return String(repeating: "1", count: isOther ? 8 - width : width)
            }
            let read = Self.read(&tree, message, [target])
            #expect(read?.values == message.values, "seed \(seed), turn \(turn)")
        }
        #expect(tree.count <= learned * 2, "\(learned) were learned")
    }
}
