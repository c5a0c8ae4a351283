import Console
import Escalation
import Fleet
import Foundation
import HTTP
import Notification
import Observability
import Rules
import Synchronization
import Testing

@testable import Daemon

private let root = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

@Suite struct OperationsTests {
    @Test func `every metric that the handbook names is there`() throws {
        let bench = try Bench(refreshes: ["hook": { _, _ in .delivered(code: 200) }])
        bench.board.lag(of: Partition(topic: "t", number: 0), 3)
        bench.fire("a")
        bench.dispatcher.start()
        #expect(bench.drained())
        let (_, text) = bench.board.exposition("", at: bench.clock.now())
        let there = Set(
            text.split(separator: "\n").filter { $0.hasPrefix("# TYPE ") }
                .compactMap { $0.split(separator: " ").dropFirst(2).first.map(String.init) })
        var named: Set<String> = []
        for file in ["docs/operations.md"] {
            let page = try String(contentsOf: root.appending(path: file), encoding: .utf8)
            for match in page.matches(of: /tocsin_[a-z_]+/) { named.insert(String(match.0)) }
        }
        #expect(named.count > 10)
        #expect(named.subtracting(there).sorted() == [])
        // And nobody has to read the source to learn what there is.
        #expect(there.filter { $0.hasPrefix("tocsin_") }.subtracting(named).sorted() == [])
    }

    @Test func `the lag of a partition that is another member's is no number`() throws {
        let bench = try Bench()
        let partition = Partition(topic: "t", number: 3)
        bench.board.lag(of: partition, 9)
        #expect(bench.board.exposition("", at: bench.clock.now()).text.contains("} 9\n"))
        bench.board.released([partition])
        let text = bench.board.exposition("", at: bench.clock.now()).text
        #expect(text.contains("tocsin_partition_lag{partition=\"3\",topic=\"t\"} NaN"))
    }

    @Test func `commands that wait for the engine keep nobody from asking for its health`() throws {
        let bench = try Bench()
        // So patient that no answer of this test comes from a wait that is over.
        let desk = CommandDesk(
            mailbox: bench.mailbox, board: bench.board, clock: bench.clock, waitSeconds: 60)
        var settings = ServerSettings()
        settings.hasThreadPerConnection = true
        let server = try Server(settings) { request in
            guard request.path != "/healthz" else { return Response(body: Array("ok".utf8)) }
            let reply = desk.answer(
                .incident("INC-0000000000", .ack, by: "ana", reason: ""))
            return Response(body: Array("\(reply)".utf8))
        }
        let answers = Bench.Handle<[String]>([])
        let port = server.port
        let askers = (0..<CommandDesk.waitingMax + 4).map { _ in asker(port, answers) }
        // Four are turned away at once, the others wait for an engine that does not turn.
        #expect(eventually { answers.value.withLock { $0.count } == 4 })
        let early = answers.value.withLock { $0 }
        #expect(early.allSatisfy { $0.contains("other commands wait") }, "\(early)")
        for _ in 0..<20 {
            let health = try Client().send(
                .get, "http://127.0.0.1:\(server.port)/healthz", headers: [], body: [],
                timeoutMilliseconds: 20_000, answerBytesMax: 100)
            #expect(health.status == 200)
        }
        // Who has a place may still be on the way to the mailbox.
        #expect(eventually { bench.mailbox.count == CommandDesk.waitingMax })
        bench.turn()
        for asker in askers { #expect(asker.join(within: .seconds(20))) }
        #expect(
            answers.value.withLock { $0.count { $0.contains("no incident") } }
                == CommandDesk.waitingMax)
        server.stop()
    }

    private func asker(_ port: UInt16, _ answers: Bench.Handle<[String]>) -> Worker {
        Worker("ask") {
            let answer = try? Client().send(
                .post, "http://127.0.0.1:\(port)/command", headers: [], body: [],
                timeoutMilliseconds: 60_000, answerBytesMax: 10_000)
            let text = String(decoding: answer?.body ?? [], as: UTF8.self)
            answers.value.withLock { $0.append(text) }
        }
    }

    @Test func `a start that waits for its broker is neither stuck nor dead`() throws {
        let bench = try Bench()
        let board = Board(startedAt: bench.clock.now())
        bench.hands.pass(.seconds(45))
        #expect(!board.isAlive(at: bench.clock.now()))
        board.starting(at: bench.clock.now())
        #expect(board.isAlive(at: bench.clock.now()))
        #expect(board.notReady(at: bench.clock.now()) == ["no partitions are assigned yet"])
    }

    @Test func `an intake that cannot go on starves the watchdog, one that ended does not`() throws
    {
        let bench = try Bench()
        bench.board.intakeFailed("librdkafka gave no sign of life for 46 s")
        #expect(!bench.board.isAlive(at: bench.clock.now()))
        #expect(bench.board.notReady(at: bench.clock.now()).contains { $0.contains("no sign") })
        bench.board.intakeEnded()
        bench.hands.pass(.seconds(60))
        #expect(bench.board.isAlive(at: bench.clock.now()))
    }
}
