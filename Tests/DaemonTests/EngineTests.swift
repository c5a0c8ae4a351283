import Escalation
import Fleet
import Foundation
import Incidents
import Ledger
import Notification
import Observability
import Rules
import SQLite
import Synchronization
import Testing

@testable import Daemon

@Suite struct EngineTests {
    @Test func `a step is on the disk before its page leaves and its position is told`() throws {
        let bench = try Bench()
        bench.fire("a", next: 7)
        bench.turn()
        #expect(bench.positions.value.withLock { $0[Partition(topic: "t", number: 0)] } == 7)
        let incident = try #require(bench.cases.first)
        let rows = try bench.reader().deliveries(incident: incident.id, limit: 10)
        #expect(rows.map(\.destination).sorted() == ["feed", "hook"])
        #expect(rows.allSatisfy { $0.state == .queued })
        #expect(bench.dispatcher.waiting == 2)
    }

    @Test func `what is decided and taken back in one turn never leaves`() throws {
        let bench = try Bench()
        bench.fire("a")
        let incident = try #require(bench.cases.first)
        // The page of the first tier is due in this very turn, and so is the acknowledgement.
        bench.hands.pass(.seconds(400))
        let waiting = bench.dispatcher.waiting
        bench.turn([
            .command(
                .escalate(incident.id, to: .three, reason: ""), by: "ana", via: "api",
                reply: { _ in }),
            .command(.acknowledge(incident.id), by: "ana", via: "api", reply: { _ in }),
        ])
        let rows = try bench.reader().deliveries(incident: incident.id, limit: 50)
        let cancelled = Set(rows.filter { $0.state == .cancelled }.map(\.id))
        #expect(!cancelled.isEmpty)
        bench.dispatcher.start()
        #expect(bench.drained())
        #expect(bench.taker.all.allSatisfy { !cancelled.contains($0.id) })
        #expect(waiting > 0)
    }

    @Test func `who asks hears of it when all before is stored and with the dispatcher`() throws {
        let bench = try Bench()
        bench.turn([bench.step([bench.finding("a")], next: 1)])
        bench.hands.pass(.seconds(1))
        let seen = Bench.Handle<[Int]>([])
        let dispatcher = bench.dispatcher
        #expect(
            bench.mailbox.offer(
                .settled { seen.value.withLock { $0.append(dispatcher.waiting) } }, urgent: true))
        #expect(seen.value.withLock { $0 } == [])
        bench.turn()
        // The page goes to two destinations.
        #expect(seen.value.withLock { $0 } == [2])
        let incident = try #require(bench.cases.first)
        #expect(try bench.reader().deliveries(incident: incident.id, limit: 10).count == 2)
    }

    @Test func `a delivery is marked in the ledger before its first byte leaves`() throws {
        let bench = try Bench()
        bench.fire("a")
        let incident = try #require(bench.cases.first)
        bench.dispatcher.start()
        // The sender stands and waits: nothing left yet, and nothing will before this turn.
        #expect(eventually { bench.mailbox.count >= 2 })
        #expect(bench.taker.all.isEmpty)
        bench.turn()
        #expect(eventually { bench.taker.all.count == 1 })
        let rows = try bench.reader().deliveries(incident: incident.id, limit: 10)
        #expect(rows.first { $0.destination == "hook" }?.state == .inflight)
        #expect(bench.drained())
        bench.turn()
        let after = try bench.reader().deliveries(incident: incident.id, limit: 10)
        #expect(after.allSatisfy { $0.state == .done })
        #expect(bench.board.beginningsUnstored.value == 0)
    }

    @Test func `an engine that does not answer holds no page back`() throws {
        let bench = try Bench()
        var mark = DeliveryMark(mailbox: bench.mailbox, board: bench.board, log: .none)
        mark.waitMilliseconds = 1
        bench.fire("a")
        let incident = try #require(bench.cases.first)
        let rows = try bench.reader().deliveries(incident: incident.id, limit: 10)
        mark.began(try #require(rows.first))
        #expect(bench.board.beginningsUnstored.value == 1)
    }

    /// A ledger that is full from some moment on.
    private func fill(_ bench: Bench) {
        var index = 0
        while bench.board.state.withLock({ $0.ledgerTrouble.isEmpty }), index < 2_000 {
            let text = String(repeating: "x", count: 4_000)
            bench.turn([
                .audit(
                    AuditEntry(
                        at: bench.clock.now(), actor: "t", via: "t", type: "t", incident: "",
                        detail: text))
            ])
            index += 1
        }
        #expect(bench.board.state.withLock { !$0.ledgerTrouble.isEmpty })
    }

    @Test func `with a full disk pages leave, positions stay, and answers say so`() throws {
        let bench = try Bench(bytesMax: 400 << 10)
        fill(bench)
        bench.dispatcher.start()
        let before = bench.positions.value.withLock { $0 }
        bench.fire("a", next: 99)
        #expect(
            eventually {
                bench.turn(); return bench.taker.all.count == 1
            })
        #expect(bench.positions.value.withLock { $0 } == before)
        // The sender waited for no timeout: the engine said at once that it cannot store.
        #expect(bench.board.beginningsUnstored.value == 0)
        #expect(bench.drained())
        bench.turn()
        // The delivery was answered, so nobody above is called for a page that arrived.
        #expect(bench.cases.first?.episode.isDelivered == true)
        let incident = try #require(bench.cases.first)
        let reply = Reply()
        bench.turn([
            .command(.acknowledge(incident.id), by: "ana", via: "api", reply: reply.take)
        ])
        guard case .unstored(_, let why)? = reply.answer else {
            Issue.record("the answer does not say that nothing is stored")
            return
        }
        #expect(why.contains("free space"))
        #expect(bench.failed.value.withLock { $0.isEmpty })
    }

    @Test func `once the disk takes writes again all of it is stored, each thing once`() throws {
        let bench = try Bench(bytesMax: 400 << 10)
        fill(bench)
        for round in 0..<50 {
            bench.hands.pass(.seconds(1))
            bench.turn([
                bench.step([bench.finding("a", round == 0 ? .fired : .changed)], next: Int64(round))
            ])
        }
        // Rows of one thing are one: fifty turns without a disk are not fifty times the memory.
        try bench.ledger.allow(bytes: 1 << 30)
        bench.hands.pass(.seconds(2))
        bench.turn()
        #expect(bench.board.state.withLock { $0.ledgerTrouble.isEmpty })
        #expect(bench.positions.value.withLock { $0[Partition(topic: "t", number: 0)] } == 49)
        #expect(try bench.reader().recentCases(limit: 10).count == 1)
        guard case .intact = try bench.reader().verifyAudit() else {
            Issue.record("the audit trail is broken")
            return
        }
    }

    @Test func `a disk that stays full is said at once, every minute, and when it is over`() throws
    {
        let lines = Bench.Handle<[String]>([])
        let log = Log(level: .notice, format: .journal, clock: { .distantPast }) { line in
            lines.value.withLock { $0.append(String(decoding: line, as: UTF8.self)) }
        }
        func said(_ words: String) -> [Substring] {
            lines.value.withLock { $0.filter { $0.contains(words) } }
                .map { $0.dropFirst(3).prefix { $0 != "\n" } }
        }
        let bench = try Bench(bytesMax: 400 << 10, log: log)
        fill(bench)
        #expect(said("refused a write").count == 1)
        #expect(said("refused a write")[0].hasSuffix("refused=1"), "\(said("refused"))")
        // Once a second it is tried, and in vain.
        for _ in 1..<60 {
            bench.hands.pass(.seconds(1))
            bench.turn()
        }
        #expect(said("refused a write").count == 1)
        for _ in 60...150 {
            bench.hands.pass(.seconds(1))
            bench.turn()
        }
        #expect(said("refused a write").count == 3)
        #expect(said("refused a write").dropFirst().allSatisfy { $0.hasSuffix("refused=60") })
        #expect(said("takes writes again").isEmpty)
        try bench.ledger.allow(bytes: 1 << 30)
        for _ in 0..<3 {
            bench.hands.pass(.seconds(1))
            bench.turn()
        }
        #expect(lines.value.withLock { $0.count } == 4)
        #expect(
            said("takes writes again") == ["the ledger takes writes again refused=151 for=151s"])
    }

    @Test func `a full engine takes answers and leaves steps where they are`() throws {
        let bench = try Bench(bytesMax: 400 << 10)
        fill(bench)
        let many = (0...Engine.pendingMax).map { index in
            Engine.Input.audit(
                AuditEntry(
                    at: bench.clock.now(), actor: "t", via: "t", type: "t", incident: "",
                    detail: "\(index)"))
        }
        bench.engine.turn(many)
        #expect(bench.engine.isFull)
        for _ in 0..<4 { #expect(bench.mailbox.offer(bench.step([bench.finding("b")]))) }
        #expect(!bench.mailbox.offer(bench.step([])))
        let reply = Reply()
        #expect(
            bench.mailbox.offer(
                .command(.note("INC-0000", "x"), by: "ana", via: "api", reply: reply.take),
                urgent: true))
        bench.turn()
        guard case .refused? = reply.answer else {
            Issue.record("a command waited behind steps")
            return
        }
        #expect(bench.mailbox.count == 4)
    }

    @Test func `a ledger that is damaged ends the process, pages first`() throws {
        let bench = try Bench()
        bench.fire("a")
        bench.dispatcher.start()
        // What another program may do to the file, beneath the engine's feet.
        try Database.open(bench.ledger.file).execute("DROP TABLE audit")
        bench.fire("b", next: 8)
        let failures = bench.failed.value.withLock { $0 }
        #expect(failures.count == 1 && failures.first?.kind == .temporary)
        bench.hands.pass(.seconds(5))
        bench.fire("c", next: 9)
        #expect(bench.failed.value.withLock { $0.count } == 1)
        #expect(
            eventually {
                bench.turn(); return Set(bench.taker.all.map(\.page.incident)).count == 3
            })
        #expect(bench.positions.value.withLock { $0[Partition(topic: "t", number: 0)] } == 1)
    }

    @Test func `decisions that could not be stored at the end are not lost in silence`() throws {
        let bench = try Bench(bytesMax: 400 << 10)
        fill(bench)
        #expect(bench.mailbox.offer(.stop, urgent: true))
        bench.engine.run()
        let failures = bench.failed.value.withLock { $0 }
        #expect(failures.first?.kind == .temporary)
        #expect(failures.first?.reason.contains("could not be stored") == true)
    }

    @Test func `an engine that is told to stop stores what still waits and ends in order`() throws {
        let bench = try Bench()
        #expect(bench.mailbox.offer(bench.step([bench.finding("a")], next: 5)))
        #expect(bench.mailbox.offer(.stop, urgent: true))
        bench.engine.run()
        #expect(try bench.reader().recentCases(limit: 5).count == 1)
        #expect(bench.failed.value.withLock { $0.isEmpty })
    }

    @Test func `a silence survives the process`() throws {
        let scratch = try Scratch()
        var id = ""
        do {
            let bench = try Bench(in: scratch)
            let reply = Reply()
            let request = SilenceRequest(
                matchers: [[try Matcher("symptom=off-bus")]],
                ends: bench.clock.now() + .seconds(7_200), reason: "rack move")
            bench.turn([.command(.silence(request), by: "ana", via: "api", reply: reply.take)])
            guard case .stored(let outcome)? = reply.answer else {
                Issue.record("the silence was not stored")
                return
            }
            id = outcome.silences?.first?.id ?? ""
            #expect(!id.isEmpty)
        }
        let bench = try Bench(in: scratch)
        #expect(bench.board.state.withLock { $0.silences.map(\.id) } == [id])
        bench.fire("a")
        #expect(bench.cases.first?.episode.masks.map(\.description) == ["silence:\(id)"])
        let reply = Reply()
        bench.turn([.command(.expireSilence(id), by: "ana", via: "api", reply: reply.take)])
        #expect(bench.board.state.withLock { $0.silences.isEmpty })
        #expect(try bench.ledger.load().silences.isEmpty)
    }

    @Test func `open alerts are said again every minute, resolved ones for five`() throws {
        let rounds = Bench.Handle<[[Page]]>([])
        let bench = try Bench(
            startsDispatcher: true,
            refreshes: [
                "hook": { pages, _ in
                    rounds.value.withLock { $0.append(pages) }
                    return .delivered(code: 200)
                }
            ])
        func more(after time: Duration) -> Int {
            bench.hands.pass(time)
            let before = rounds.value.withLock { $0.count }
            bench.turn()
            _ = eventually { rounds.value.withLock { $0.count } > before }
            return rounds.value.withLock { $0.count } - before
        }
        bench.fire("a")
        #expect(bench.drained())
        bench.turn()
        bench.hands.pass(.milliseconds(58_999))
        bench.turn()
        #expect(rounds.value.withLock { $0.isEmpty })
        #expect(more(after: .milliseconds(1)) == 1)
        #expect(rounds.value.withLock { $0.last?.count } == 1)
        bench.turn([bench.step([bench.finding("a", .cleared)], next: 2)])
        // Held for two minutes, then resolved, and said so.
        for _ in 0..<3 { _ = more(after: .seconds(60)) }
        #expect(bench.drained())
        bench.turn()
        #expect(more(after: .seconds(60)) == 1)
        #expect(rounds.value.withLock { $0.last?.first?.kind } == .resolved)
        for _ in 0..<3 { _ = more(after: .seconds(60)) }
        #expect(rounds.value.withLock { $0.last?.first?.kind } == .resolved)
        let count = rounds.value.withLock { $0.count }
        bench.hands.pass(.seconds(60))
        bench.turn()
        #expect(rounds.value.withLock { $0.count } == count)
    }
}

/// The answer to one command.
final class Reply: Sendable {
    private let held = Mutex<CommandAnswer?>(nil)
    @Sendable func take(_ answer: CommandAnswer) { held.withLock { $0 = answer } }
    var answer: CommandAnswer? { held.withLock { $0 } }
}

extension Bench {
    /// Turns until nothing is left to send.
    func drained() -> Bool {
        eventually {
            turn()
            return dispatcher.waiting == 0 && mailbox.count == 0
        }
    }
}
