import Configuration
import Dispatch
import Fleet
import Foundation
import Kafka
import Rules
import Synchronization
import TestSupport
import Testing

@testable import Daemon

/// Batches that are judged on a second thread while the next one is read.
@Suite struct OverlapTests {
    @Test(arguments: [1, 2] as [UInt64])
    func `batches say the same whether they are judged at once or aside`(seed: UInt64) throws {
        let stream = Stream(seed: seed)
        var plan = SeededGenerator(seed: seed &+ 1_000)
        var ends: [Int] = []
        while ends.last ?? 0 < stream.messages.count {
            // Polls that bring nothing among them, and many that bring one.
            let size = plan.chance(0.2) ? plan.below(2) : plan.below(120)
            ends.append(min((ends.last ?? 0) + size, stream.messages.count))
        }
        let atOnce = try run(stream, ends) { _ in false }
        #expect(atOnce.batches.count { !$0.findings.isEmpty } > 10, "seed \(seed)")
        for share in [0.5, 1] {
            let mixed = try run(stream, ends) { _ in plan.chance(share) }
            for (index, (one, other)) in zip(atOnce.batches, mixed.batches).enumerated() {
                #expect(one == other, "seed \(seed), share \(share), batch \(index)")
            }
            #expect(mixed.batches.count == ends.count)
            #expect(mixed.devices == atOnce.devices, "seed \(seed), share \(share)")
        }
    }

    @Test func `a thread that judges ends with its pipeline, and its batch with it`() throws {
        weak var thread: JudgeThread?
        let stream = Stream(seed: 4)
        for round in 1...4 {
            do {
                var pipeline = try pipeline()
                thread = pipeline.judging
                pipeline.begin()
                for message in stream.messages.prefix(round * 300) {
                    try? pipeline.read(message)
                }
                #expect(pipeline.judge(caughtUp: [], upTo: nil, isBehind: true) == nil)
                #expect(thread != nil && pipeline.inWork == 1)
                if round % 2 == 0 { #expect(pipeline.take(isBehind: false)?.devices ?? 0 > 0) }
            }
            // It holds this for as long as it runs; a moment after it says that it ends, it has.
            #expect(eventually { thread == nil }, "round \(round)")
        }
    }

    @Test func `a position is offered with the findings of its batch and no sooner`() throws {
        var stage = try Stage()
        stage.read(fault: "a", at: 0)
        stage.read(fault: "b", at: 1)
        #expect(stage.judge(upTo: [(0, 2)], isBehind: true) == nil)
        #expect(stage.offered(of: [0]) == [:])
        #expect(stage.reading.step.findings.isEmpty && !stage.reading.isUrgent)

        // The next batch is read meanwhile; what it read is not judged when the first one is.
        stage.read(fault: "c", at: 2)
        #expect(stage.offered(of: [0]) == [:])
        let first = stage.reading.take(isBehind: false)
        #expect(first?.counts.messages == 2)
        let isUrgent = stage.reading.isUrgent
        #expect(isUrgent)
        #expect(stage.offered(of: [0]) == [0: 2])
        #expect(stage.subjects == ["nvidia/a", "nvidia/b"])
        #expect(stage.reading.take(isBehind: false) == nil)

        let second = stage.judge(upTo: [(0, 3)], isBehind: false)
        #expect(second?.counts.messages == 1)
        #expect(stage.offered(of: [0]) == [0: 3])
        #expect(stage.subjects == ["nvidia/a", "nvidia/b", "nvidia/c"])
        #expect(stage.reading.step.members.values.contains(["nvidia/c"]))
    }

    @Test func `batches in work land one after the other, each with its own`() throws {
        var stage = try Stage()
        let most = Pipeline.inWorkMax
        for index in 0..<most {
            stage.read(fault: "\(10 + index)", at: Int64(index))
            #expect(stage.judge(upTo: [(0, Int64(index) + 1)], isBehind: true) == nil)
        }
        #expect(stage.reading.pipeline.inWork == most)
        #expect(stage.offered(of: [0]) == [:])
        stage.read(fault: "\(10 + most)", at: Int64(most))
        // Who is behind waits here: the judge has enough to do.
        #expect(stage.reading.take(isBehind: true)?.counts.messages == 1)
        #expect(stage.offered(of: [0]) == [0: 1])
        #expect(stage.subjects == ["nvidia/10"])
        for index in 1..<most {
            #expect(stage.reading.take(isBehind: false)?.counts.messages == 1)
            #expect(stage.offered(of: [0]) == [0: Int64(index) + 1])
            #expect(stage.subjects == (0...index).map { "nvidia/\(10 + $0)" })
        }
        #expect(stage.reading.take(isBehind: false) == nil)
        #expect(stage.judge(upTo: [(0, Int64(most) + 1)], isBehind: false) != nil)
        #expect(stage.offered(of: [0]) == [0: Int64(most) + 1])
        #expect(stage.subjects == (0...most).map { "nvidia/\(10 + $0)" })
    }

    @Test func `of batches with many rows two in work are enough`() throws {
        let stream = Stream(seed: 4)
        var pipeline = try pipeline()
        var rows = 0
        for batch in 1...4 {
            pipeline.begin()
            // Some of these messages cannot be read, the others bring a row or more.
            let count = batch < 3 ? 10 : Pipeline.rowsInWorkMax
            for place in 0..<count { try? pipeline.read(stream.messages[place % 300]) }
            let hadEnough = pipeline.hasEnough
            #expect(!hadEnough, "batch \(batch)")
            #expect(pipeline.judge(caughtUp: [], upTo: nil, isBehind: true) == nil)
        }
        var hasEnough = pipeline.hasEnough
        #expect(pipeline.inWork == 4 && hasEnough)
        while let judged = pipeline.take(isBehind: false) { rows += judged.rows }
        hasEnough = pipeline.hasEnough
        #expect(rows >= Pipeline.rowsInWorkMax && !hasEnough)
        // One alone is never too much, however many rows it has.
        pipeline.begin()
        for place in 0..<Pipeline.rowsInWorkMax { try? pipeline.read(stream.messages[place % 300]) }
        #expect(pipeline.judge(caughtUp: [], upTo: nil, isBehind: true) == nil)
        hasEnough = pipeline.hasEnough
        #expect(!hasEnough)
    }

    @Test func `positions wait while dead letters are on their way, findings do not`() throws {
        var stage = try Stage()
        stage.read(fault: "a", at: 0)
        _ = stage.judge(upTo: [(0, 1)], isBehind: true)
        stage.reading.isSettled = false
        _ = stage.reading.take(isBehind: false)
        #expect(stage.offered(of: [0]) == [:])
        #expect(stage.subjects == ["nvidia/a"])
        _ = stage.judge(upTo: [(0, 7)], isBehind: true)
        stage.reading.isSettled = true
        // Those of the batch that is known by now, not of the one in work.
        #expect(stage.offered(of: [0]) == [0: 1])
        _ = stage.reading.take(isBehind: false)
        #expect(stage.offered(of: [0]) == [0: 7])
    }

    @Test func `a partition that went to another member takes its positions along`() throws {
        var stage = try Stage()
        stage.read(fault: "a", at: 0)
        _ = stage.judge(upTo: [(0, 10), (1, 20), (2, 30)], isBehind: true)
        _ = stage.reading.take(isBehind: false)
        #expect(stage.offered(of: [0, 1]) == [0: 10, 1: 20])
        stage.reading.forget(1)
        stage.reading.forget(2)
        #expect(stage.offered(of: [0]) == [0: 10])
        // It comes back and is read from where the ledger has it: that is behind the old place.
        #expect(stage.offered(of: [0, 1, 2]) == [0: 10])
        _ = stage.judge(upTo: [(0, 10), (1, 4)], isBehind: true)
        #expect(stage.offered(of: [0, 1, 2]) == [0: 10])
        _ = stage.reading.take(isBehind: false)
        #expect(stage.offered(of: [0, 1, 2]) == [0: 10, 1: 4])
    }

    @Test func `a partition that is revoked takes all with it that is still being judged`() throws {
        var stage = try Stage()
        let judge = HeldJudge(stage.reading.pipeline.judging)
        for (offset, device) in ["a", "b"].enumerated() {
            stage.read(fault: device, at: Int64(offset))
            #expect(stage.judge(upTo: [(0, Int64(offset) + 1), (1, 7)], isBehind: true) == nil)
            // Nothing is known yet of either, and nothing is said.
            #expect(offset == 1 || stage.reading.take(isBehind: true) == nil)
            #expect(stage.offered(of: [0, 1]) == [:] && stage.subjects == [])
        }
        // The batch that is being read when the group takes the partition away.
        stage.read(fault: "c", at: 2)
        judge.release()
        // As the intake does it: what is in work lands, then what was read up to here.
        while let done = stage.reading.take(isBehind: false) { #expect(done.counts.messages == 1) }
        #expect(stage.reading.pipeline.inWork == 0)
        #expect(stage.judge(upTo: [(0, 3), (1, 7)], isBehind: false)?.counts.messages == 1)
        #expect(stage.offered(of: [0, 1]) == [0: 3, 1: 7])
        #expect(stage.subjects == ["nvidia/a", "nvidia/b", "nvidia/c"])
        // The next owner has brought it further when it comes back: our old place is not said again.
        stage.reading.forget(0)
        #expect(stage.offered(of: [0, 1]) == [1: 7])
    }

    @Test func `a partition that is lost leaves its findings and takes its positions along`() throws
    {
        var stage = try Stage()
        let judge = HeldJudge(stage.reading.pipeline.judging)
        stage.read(fault: "a", at: 0)
        #expect(stage.judge(upTo: [(0, 1), (1, 7)], isBehind: true) == nil)
        stage.read(fault: "b", at: 1)
        judge.release()
        while stage.reading.take(isBehind: false) != nil {}
        stage.reading.forget(0)
        // It is another member's: what it says of it from here on must not be overwritten.
        #expect(stage.offered(of: [1]) == [1: 7])
        #expect(stage.subjects == ["nvidia/a"])
        // What was read of it meanwhile is judged all the same, without a position.
        #expect(stage.judge(upTo: [(1, 7)], isBehind: true) == nil)
        _ = stage.reading.take(isBehind: false)
        #expect(stage.offered(of: [1]) == [1: 7])
        #expect(stage.subjects == ["nvidia/a", "nvidia/b"])
    }

    @Test func `a partition that comes while batches are in work is read by the next one`() throws {
        var stage = try Stage()
        let judge = HeldJudge(stage.reading.pipeline.judging)
        stage.read(fault: "a", at: 0)
        #expect(stage.judge(upTo: [(0, 1)], isBehind: true) == nil)
        judge.release()
        _ = stage.reading.take(isBehind: false)
        stage.reading.know((0..<4).map { TopicPartition(topic: "telemetry", number: $0) })
        stage.reading.forget(3)
        stage.reading.begin()
        stage.read(fault: "b", at: 40, of: 3)
        #expect(stage.judge(upTo: [(0, 1), (3, 41)], isBehind: true) == nil)
        _ = stage.reading.take(isBehind: false)
        #expect(stage.offered(of: [0, 3]) == [0: 1, 3: 41])
        #expect(
            stage.reading.step.findings.first { $0.key.subject.name == "nvidia/b" }?.partition
                .number
                == 3)
    }

    @Test func `a judge that never ends starves the watchdog until it ends`() throws {
        let fed = Bench.Handle(0)
        let bench = try Bench(
            watchdog: Watchdog(interval: .seconds(10)) { fed.value.withLock { $0 += 1 } })
        let (board, clock) = (bench.board, bench.clock)
        let judge = Bench.Handle<HeldJudge?>(nil)
        let turns = Bench.Handle(0)
        // The intake's turn, as far as it does not need a broker.
        let intake = Worker("intake") {
            guard var stage = try? Stage() else { return }
            judge.value.withLock { $0 = HeldJudge(stage.reading.pipeline.judging) }
            for next in 1...2 as ClosedRange<Int64> {
                board.intakeTurned(at: clock.now())
                turns.value.withLock { $0 += 1 }
                stage.read(fault: "a", at: next - 1)
                _ = stage.judge(upTo: [(0, next)], isBehind: true)
                while stage.reading.take(isBehind: false) != nil {}
            }
            turns.value.withLock { $0 += 1 }
        }
        #expect(eventually { turns.value.withLock { $0 } == 1 })
        for second in 1...120 {
            bench.hands.pass(.seconds(1))
            bench.turn()
            #expect(board.isAlive(at: clock.now()) == (second <= 30), "at \(second) s")
        }
        // At 1, 11 and 21 s; a service manager that waits twice as long ends the process soon after.
        #expect(fed.value.withLock { $0 } == 3)
        #expect(board.notReady(at: clock.now()).contains("the intake is stuck"))
        let (_, text) = board.exposition("", at: clock.now())
        #expect(text.contains("\ntocsin_intake_age_seconds 120\n"))
        #expect(text.contains("\ntocsin_engine_age_seconds 0\n"))
        #expect(turns.value.withLock { $0 } == 1)

        judge.value.withLock { $0 }?.release()
        #expect(intake.join(within: .seconds(20)))
        bench.hands.pass(.seconds(1))
        bench.turn()
        #expect(board.isAlive(at: clock.now()) && fed.value.withLock { $0 } == 4)
    }

    @Test func `what is told once is not told again until it moves`() throws {
        var stage = try Stage()
        for next in [5, 5, 6] as [Int64] {
            stage.reading.step = IntakeStep()
            _ = stage.judge(upTo: [(0, next)], isBehind: true)
            _ = stage.reading.take(isBehind: false)
            let isNew = next == 6 || stage.offers == 0
            #expect(stage.offered(of: [0]) == (isNew ? [0: next] : [:]))
        }
    }
}

private func pipeline() throws -> Pipeline {
    let root = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
    let folder = try #require(
        RuleFolder.load(
            root.appending(path: "rules").path, destinations: nil, problems: Problems()))
    var pipeline = Pipeline(
        book: folder.book, formats: [:], decoding: Settings().decoding, devicesMax: 100,
        roster: [], firing: [])
    pipeline.know((0..<3).map { Partition(topic: "telemetry", number: $0) })
    return pipeline
}

/// All that one batch came to, in words.
private struct Outcome: Equatable {
    let findings: [String]
    let members: [Entity: [String]]
    let tally: String
    let devices: Int
    let frontier: Instant?

    init(_ judged: Judged) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        findings = try judged.findings.map {
            String(decoding: try encoder.encode($0), as: UTF8.self)
        }
        members = judged.members
        tally = "\(judged.tally)"
        devices = judged.devices
        frontier = judged.frontier
    }
}

/// Runs `stream` in batches that end where `ends` says, as the intake would.
private func run(
    _ stream: Stream, _ ends: [Int], isBehind: (Int) -> Bool
) throws -> (batches: [Outcome], devices: [String]) {
    var pipeline = try pipeline()
    var batches: [Outcome] = []
    var start = 0
    for (number, end) in ends.enumerated() {
        pipeline.begin()
        for message in stream.messages[start..<end] { try? pipeline.read(message) }
        start = end
        let isBehind = isBehind(number)
        while let judged = pipeline.take(isBehind: isBehind) {
            batches.append(try Outcome(judged))
        }
        // A partition that is read to its end goes where it is told.
        let frontier = number % 3 == 0 ? stream.messages[max(0, end - 300)].time : nil
        if let judged = pipeline.judge(
            caughtUp: [number % 4], upTo: frontier, isBehind: isBehind)
        {
            batches.append(try Outcome(judged))
        }
    }
    while let judged = pipeline.take(isBehind: false) { batches.append(try Outcome(judged)) }
    let devices = pipeline.directory.devices.map {
        "\($0.id) \($0.labels.pairs) \($0.origin) \($0.firstSeen) \($0.lastSeen)"
    }
    return (batches, devices)
}

private struct Message {
    let bytes: [UInt8]
    let partition: Int
    let offset: Int64
    let time: Instant
}

extension Pipeline {
    fileprivate mutating func read(_ message: Message) throws {
        try read(
            message.bytes.span, partition: message.partition, offset: message.offset,
            recordTime: message.time, now: message.time)
    }
}

/// A quarter of an hour of a small fleet in which everything happens that a directory or a rule cares for.
private struct Stream {
    private(set) var messages: [Message] = []

    init(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var offsets: [Int64] = [0, 0, 0]
        let start = Instant(milliseconds: 1_795_263_565_044)
        for second in stride(from: 0, to: 900, by: 10) {
            for device in 0..<32 {
                // A quarter comes later, one host falls silent, and single messages are lost.
                if device >= 24 && second < device * 12 { continue }
                if device / 4 == 2 && second > 400 { continue }
                if generator.chance(0.02) { continue }
                let host = device / 4
                let late = generator.chance(0.02) ? 40 : 0
                let time = start + .seconds(second - late)
                let job = (second / 300 + host) % 3
                let hot = device == 5 && second > 500 ? 60 : 0
                let fault =
                    generator.chance(0.02)
                    ? ",\"e\":[{\"code\":\([79, 31, 48, 94][generator.below(4)]),\"text\":\"x\"}]"
                    : ""
                // Of a device that only breaks there are faults and no values.
                let values =
                    device == 31
                    ? "" : "\"power.draw\":\(90 + generator.below(20)),\"temp.core\":\(41 + hot)"
                let text = """
                    {"v":1,"ts":\(time.milliseconds),"device":"nvidia/GPU-\(device)",\
                    "host":"h-\(host)","index":\(device % 4),"labels":{"job":"j-\(job)",\
                    "rack":"r-\(host / 4)"},"m":{\(values)}\(fault)}
                    """
                // A device that moves, and a message that nobody can read.
                let partition = generator.chance(0.01) ? generator.below(3) : host % 3
                let isBroken = generator.chance(0.01)
                messages.append(
                    Message(
                        bytes: Array(
                            (isBroken ? text.dropLast(generator.below(40)) : text[...]).utf8),
                        partition: partition, offset: offsets[partition], time: time))
                offsets[partition] += 1
                // Some are sent twice.
                if generator.chance(0.01), let last = messages.last { messages.append(last) }
            }
        }
    }
}

/// Keeps the judge's place, so that what is sent to it stays in work until it is released.
private final class HeldJudge: Sendable {
    private let released = DispatchSemaphore(value: 0)

    init(_ judging: JudgeThread) {
        let entered = DispatchSemaphore(value: 0)
        let released = released
        _ = Worker("hold") {
            judging.withJudge { _ in
                entered.signal()
                released.wait()
            }
        }
        entered.wait()
    }

    deinit { release() }

    func release() { released.signal() }
}

/// What the intake carries, without the consumer.
private struct Stage: ~Copyable {
    var reading: Reading
    private(set) var offers = 0
    private static let now = Instant(milliseconds: 1_795_263_565_044)

    init() throws {
        reading = Reading(
            pipeline: try pipeline(),
            watch: InputWatch(
                silenceAfter: .seconds(60), heard: [:], firing: [], at: Stage.now),
            started: Stage.now)
        reading.know((0..<3).map { TopicPartition(topic: "telemetry", number: $0) })
        reading.begin()
    }

    /// One message of a device that breaks.
    mutating func read(fault device: String, at offset: Int64, of partition: Int = 0) {
        let text = """
            {"v":1,"ts":\(Stage.now.milliseconds),"device":"nvidia/\(device)","host":"h-\(device)",\
            "e":[{"code":79,"text":"off the bus"}],"m":{"temp.core":41}}
            """
        reading.counts.messages += 1
        #expect(throws: Never.self) {
            try reading.pipeline.read(
                Message(
                    bytes: Array(text.utf8), partition: partition, offset: offset,
                    time: Stage.now))
        }
    }

    /// Ends the batch and begins the next one.
    mutating func judge(
        upTo positions: [(partition: Int, next: Int64)], isBehind: Bool
    ) -> Reading.Done? {
        let done = reading.judge(
            upTo: positions, caughtUp: [], isBehind: isBehind, at: Stage.now)
        reading.begin()
        return done
    }

    /// What the step says of positions after it was asked to.
    mutating func offered(of assignment: [Int]) -> [Int: Int64] {
        offers += 1
        reading.offerPositions(of: assignment)
        return Dictionary(
            uniqueKeysWithValues: reading.step.positions.map { (Int($0.key.number), $0.value) })
    }

    var subjects: [String] {
        reading.step.findings.filter { $0.key.rule == "evt-xid" }.map(\.key.subject.name).sorted()
    }
}
