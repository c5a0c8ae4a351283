import Escalation
import Fleet
import HTTP
import Notification
import TestSupport
import Testing

@Suite struct RetryPolicyTests {
    struct Case: Sendable {
        let status: Int
        var wait = 0
        let attempt: String
    }

    @Test(arguments: [
        Case(status: 200, attempt: "delivered"), Case(status: 202, attempt: "delivered"),
        Case(status: 299, attempt: "delivered"), Case(status: 300, attempt: "permanent"),
        Case(status: 302, attempt: "permanent"), Case(status: 400, attempt: "permanent"),
        Case(status: 401, attempt: "permanent"), Case(status: 404, attempt: "permanent"),
        Case(status: 408, attempt: "retry"), Case(status: 410, attempt: "permanent"),
        Case(status: 413, attempt: "permanent"), Case(status: 422, attempt: "permanent"),
        Case(status: 425, attempt: "retry"), Case(status: 429, attempt: "retry"),
        Case(status: 429, wait: 7, attempt: "retry 7s"), Case(status: 500, attempt: "retry"),
        Case(status: 501, attempt: "permanent"), Case(status: 503, wait: 9, attempt: "retry 9s"),
        Case(status: 505, attempt: "permanent"), Case(status: 599, attempt: "retry"),
        Case(status: 600, attempt: "permanent"), Case(status: 0, attempt: "permanent"),
    ])
    func `every status has its class`(_ each: Case) {
        let attempt = Attempt(Answer(status: each.status, retryAfterSeconds: each.wait))
        let words =
            switch attempt {
            case .delivered: "delivered"
            case .retry(nil, _, _, _): "retry"
            case .retry(let wait?, _, _, _): "retry \(wait.short)"
            case .permanent: "permanent"
            }
        #expect(words == each.attempt && attempt.code == each.status)
    }

    @Test func `every failure to transfer has its class`() {
        func attempt(_ kind: TransferError.Kind, status: Int = 0) -> Attempt {
            Attempt(
                TransferError(
                    kind: kind, status: status, mayHaveArrived: true, request: "POST http://h",
                    reason: "x"))
        }
        for kind in [TransferError.Kind.network, .timeout, .cancelled, .tooLarge] {
            guard case .retry(nil, 0, _, true) = attempt(kind) else {
                Issue.record("\(kind) is worth another try")
                continue
            }
        }
        #expect(attempt(.tooLarge, status: 200) == .delivered(code: 200))
        for kind in [TransferError.Kind.verification, .badRequest] {
            guard case .permanent = attempt(kind) else {
                Issue.record("\(kind) will not mend itself")
                continue
            }
        }
    }

    @Test func `waits double up to their cap and are spread over their whole length`() {
        let policy = RetryPolicy()
        func wait(_ attempts: Int, _ severity: Severity, _ uniform: Double = 1) -> Double {
            policy.delay(
                afterAttempts: attempts, severity: severity, retryAfter: nil, uniform: uniform
            ).seconds
        }
        #expect((1...8).map { wait($0, .high) } == [1, 2, 4, 8, 16, 32, 60, 60])
        #expect((1...6).map { wait($0, .critical) } == [1, 2, 4, 8, 15, 15])
        #expect(wait(3, .high, 0.5) == 2 && wait(3, .high, 0) == 0)
        #expect(wait(.max, .high) == 60 && wait(.min, .high) == 1)
    }

    @Test func `the receiver's own wait wins up to three minutes`() {
        let policy = RetryPolicy()
        func wait(_ seconds: Int) -> Duration {
            policy.delay(
                afterAttempts: 1, severity: .critical, retryAfter: .seconds(seconds), uniform: 0)
        }
        #expect(wait(17) == .seconds(17) && wait(180) == .seconds(180))
        #expect(wait(181) == .seconds(180) && wait(-5) == .zero)
    }
}

@Suite struct OutboxTests {
    private func results(
        _ outbox: inout Outbox, _ id: String, _ attempt: Attempt, at now: Instant
    ) throws -> DeliveryResult {
        let row = outbox.began(id, at: now)
        try #require(row?.state == .inflight)
        let result = outbox.finished(id, attempt, at: now, uniform: 1)
        return try #require(result)
    }

    @Test func `a resolve never overtakes its page while other incidents pass`() throws {
        var outbox = Outbox()
        _ = outbox.enqueue([
            sampleDelivery(1), sampleDelivery(2, .resolved), sampleDelivery(3, incident: "INC-B"),
        ])
        #expect(outbox.due(at: start).map(\.id) == ["PAGE1.hook"])
        _ = try results(&outbox, "PAGE1.hook", refused, at: start)
        #expect(outbox.due(at: start).map(\.id) == ["PAGE3.hook"])
        _ = try results(&outbox, "PAGE3.hook", .delivered(code: 200), at: start)
        #expect(outbox.due(at: start).isEmpty)
        #expect(outbox.nextWake(after: start) == start + .seconds(1))
        _ = try results(&outbox, "PAGE1.hook", .delivered(code: 200), at: start + .seconds(1))
        #expect(outbox.due(at: start + .seconds(1)).map(\.id) == ["PAGE2.hook"])
    }

    @Test func `the gravest goes first and updates last`() {
        var outbox = Outbox()
        _ = outbox.enqueue([
            sampleDelivery(1, .update, incident: "A"),
            sampleDelivery(2, incident: "B", severity: .high),
            sampleDelivery(3, incident: "C", severity: .critical),
            sampleDelivery(4, to: "other", incident: "A"),
        ])
        #expect(outbox.due(at: start).map(\.id) == ["PAGE3.hook", "PAGE4.other"])
        #expect(outbox.began("PAGE3.hook", at: start)?.state == .inflight)
        #expect(outbox.due("hook", at: start) == nil, "one at a time")
        #expect(outbox.began("PAGE2.hook", at: start) == nil)
    }

    @Test func `after a restart what was in flight goes again and says so, but no update`() {
        var page = sampleDelivery(1)
        page.state = .inflight
        page.attempts = 3
        page.nextAttempt = start - .seconds(5)
        var update = sampleDelivery(2, .update, incident: "B")
        update.state = .inflight
        var done = sampleDelivery(3, incident: "C")
        done.state = .done
        var outbox = Outbox()
        let ended = outbox.restore([page, update, done, sampleDelivery(4, .resolved)], at: start)
        #expect(ended.map(\.delivery.id) == ["PAGE2.hook"])
        #expect(ended.map(\.delivery.state) == [.cancelled])
        let due = outbox.due(at: start)
        #expect(due.map(\.id) == ["PAGE1.hook"])
        #expect(due[0].mayRepeat && due[0].state == .queued && due[0].attempts == 3)
        #expect(outbox.count == 2)
    }

    @Test func `five failures in a row open the circuit, a probe each half minute closes it`()
        throws
    {
        var outbox = Outbox()
        _ = outbox.enqueue((1...9).map { sampleDelivery($0, incident: "I\($0)") })
        for number in 1...4 {
            let result = try results(&outbox, "PAGE\(number).hook", refused, at: start)
            #expect(result.circuit == .unchanged && result.delivery.state == .queued)
        }
        #expect(try results(&outbox, "PAGE5.hook", refused, at: start).circuit == .opened)
        #expect(outbox.health(of: "hook").isOpen)
        #expect(outbox.due(at: start + .milliseconds(29_999)).isEmpty)
        #expect(outbox.nextWake(after: start) == start + .seconds(30))

        let probe = start + .seconds(30)
        let first = try #require(outbox.due("hook", at: probe))
        #expect(try results(&outbox, first.id, refused, at: probe).circuit == .unchanged)
        #expect(outbox.due(at: probe + .milliseconds(29_999)).isEmpty)

        let again = probe + .seconds(30)
        let second = try #require(outbox.due("hook", at: again))
        let back = try results(&outbox, second.id, .delivered(code: 200), at: again)
        #expect(back.circuit == .closed && !outbox.due(at: again).isEmpty)
        #expect(outbox.health(of: "hook").failures == 0)
    }

    @Test func `a receiver that asks for patience holds the destination but is not down`() throws {
        var outbox = Outbox()
        _ = outbox.enqueue([sampleDelivery(1), sampleDelivery(2, incident: "B")])
        let busy = Attempt.retry(after: .seconds(7), code: 429, reason: "HTTP 429")
        var now = start
        for _ in 1...10 {
            let result = try results(&outbox, "PAGE1.hook", busy, at: now)
            #expect(result.delivery.nextAttempt == now + .seconds(7))
            #expect(outbox.due(at: now + .milliseconds(6_999)).isEmpty)
            now += .seconds(7)
            #expect(!outbox.due(at: now).isEmpty)
        }
        #expect(!outbox.health(of: "hook").isOpen)
    }

    @Test func `a permanent refusal fails the page, marks the destination and lets the next try`()
        throws
    {
        var outbox = Outbox()
        _ = outbox.enqueue([sampleDelivery(1), sampleDelivery(2, .resolved)])
        let result = try results(
            &outbox, "PAGE1.hook", .permanent(code: 400, reason: "HTTP 400: no\nsuch"), at: start)
        #expect(result.delivery.state == .failed && result.delivery.lastCode == 400)
        #expect(result.delivery.lastError == "HTTP 400: no such")
        #expect(outbox.health(of: "hook").isRefused)
        #expect(outbox.due(at: start).map(\.id) == ["PAGE2.hook"])
        _ = try results(&outbox, "PAGE2.hook", .delivered(code: 200), at: start)
        #expect(!outbox.health(of: "hook").isRefused && outbox.count == 0)
    }

    @Test func `a page is given up when its next attempt would be a day late`() throws {
        var outbox = Outbox()
        _ = outbox.enqueue([sampleDelivery(1)])
        let last = start + .seconds(86_400)
        let result = try results(&outbox, "PAGE1.hook", refused, at: last - .seconds(1))
        #expect(result.delivery.state == .queued)
        let gone = try results(&outbox, "PAGE1.hook", refused, at: last)
        #expect(gone.delivery.state == .failed)
        #expect(gone.delivery.lastError == "gave up after 1d: HTTP 503")
    }

    @Test func `an update is sent once at most and a newer one takes its place`() throws {
        var outbox = Outbox()
        #expect(outbox.enqueue([sampleDelivery(1, .update)]).isEmpty)
        let ended = outbox.enqueue([sampleDelivery(2, .update), sampleDelivery(3, .update)])
        #expect(ended.map(\.delivery.id) == ["PAGE1.hook", "PAGE2.hook"])
        #expect(ended.allSatisfy { $0.delivery.state == .cancelled } && outbox.coalesced == 2)
        _ = outbox.began("PAGE3.hook", at: start)
        #expect(outbox.enqueue([sampleDelivery(4, .update)]).isEmpty, "what has left has left")
        let lost = outbox.finished("PAGE3.hook", refused, at: start, uniform: 0)
        #expect(lost?.delivery.state == .failed)
        #expect(outbox.due(at: start).map(\.id) == ["PAGE4.hook"])
    }

    @Test func `a full outbox drops updates, oldest first, and never a page`() {
        var outbox = Outbox(rowsMax: 3)
        _ = outbox.enqueue([
            sampleDelivery(1, .update, incident: "A"), sampleDelivery(2, .update, incident: "B"),
            sampleDelivery(3, incident: "C"),
        ])
        let dropped = outbox.enqueue([sampleDelivery(4, incident: "D")])
        #expect(dropped.map(\.delivery.id) == ["PAGE1.hook"] && outbox.dropped == 1)
        _ = outbox.enqueue([
            sampleDelivery(5, .resolved, incident: "C"), sampleDelivery(6, incident: "E"),
        ])
        #expect(outbox.count == 4 && outbox.dropped == 2)
        let refusedUpdate = outbox.enqueue([sampleDelivery(7, .update, incident: "F")])
        #expect(refusedUpdate.map(\.delivery.id) == ["PAGE7.hook"] && outbox.count == 4)
    }

    @Test func `what is cancelled is not sent, and what has left is not sent again`() throws {
        var outbox = Outbox()
        _ = outbox.enqueue([sampleDelivery(1), sampleDelivery(2, incident: "B")])
        _ = outbox.began("PAGE1.hook", at: start)
        let ended = outbox.cancel(["PAGE1.hook", "PAGE2.hook", "PAGE9.hook"])
        #expect(ended.map(\.delivery.id) == ["PAGE2.hook"])
        let result = outbox.finished("PAGE1.hook", refused, at: start, uniform: 0)
        #expect(result?.delivery.state == .cancelled && outbox.count == 0)
        let again = outbox.finished("PAGE1.hook", refused, at: start, uniform: 0)
        #expect(again == nil)
    }

    @Test func `an attempt without a clear end is repeated under a warning`() throws {
        var outbox = Outbox()
        _ = outbox.enqueue([sampleDelivery(1)])
        let clear = try results(&outbox, "PAGE1.hook", refused, at: start)
        #expect(!clear.delivery.mayRepeat)
        let unclear = Attempt.retry(after: nil, code: 0, reason: "timeout", mayHaveArrived: true)
        let result = try results(&outbox, "PAGE1.hook", unclear, at: start + .seconds(9))
        #expect(result.delivery.mayRepeat)
    }

    @Test func `a clock that steps back holds no page up`() throws {
        var outbox = Outbox()
        _ = outbox.enqueue([sampleDelivery(1)])
        for _ in 1...5 { _ = try results(&outbox, "PAGE1.hook", refused, at: start) }
        #expect(outbox.due(at: start).isEmpty)
        #expect(outbox.due(at: start - .seconds(3_600)).map(\.id) == ["PAGE1.hook"])
    }

    @Test func `a delivery that is known is not taken twice`() {
        var outbox = Outbox()
        _ = outbox.enqueue([sampleDelivery(1), sampleDelivery(1)])
        _ = outbox.restore([sampleDelivery(1)], at: start)
        #expect(outbox.count == 1)
        #expect(outbox.abandon("hook").map(\.delivery.state) == [.failed])
        #expect(outbox.count == 0 && outbox.waitingDestinations.isEmpty)
    }

    @Test func `a paced destination gets no two deliveries closer than its pace`() throws {
        var outbox = Outbox()
        outbox.paces = ["hook": .seconds(2)]
        _ = outbox.enqueue([sampleDelivery(1, incident: "A"), sampleDelivery(2, incident: "B")])
        _ = try results(&outbox, "PAGE1.hook", .delivered(code: 200), at: start)
        #expect(outbox.due(at: start + .milliseconds(1_999)).isEmpty)
        #expect(outbox.due(at: start + .seconds(2)).map(\.id) == ["PAGE2.hook"])
    }

    @Test func `ten thousand incidents at once leave in the order of their gravity`() {
        var outbox = Outbox()
        _ = outbox.enqueue(
            (0..<10_000).map {
                sampleDelivery($0, incident: "I\($0)", severity: $0 % 2 == 0 ? .high : .critical)
            })
        var sent: [Int] = []
        // Enough to see the turn; all of them would cost a second for nothing.
        for _ in 0..<200 {
            guard let next = outbox.due("hook", at: start) else { break }
            _ = outbox.began(next.id, at: start)
            _ = outbox.finished(next.id, .delivered(code: 200), at: start, uniform: 0)
            sent.append(Int(next.page.id.dropFirst(4)) ?? -1)
        }
        #expect(sent == (0..<200).map { $0 * 2 + 1 })
        #expect(outbox.count == 9_800)
    }

    /// Random traffic, outcomes, crashes and clock steps; the seed is in every message.
    @Test(arguments: 0..<20)
    func `whatever happens no page is lost, doubled unsaid or out of order`(
        _ round: Int
    ) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var generator = SeededGenerator(seed: seed)
        var outbox = Outbox(rowsMax: 40)
        var ledger: [String: Delivery] = [:]
        var order: [String] = []
        var firstAttempts: [String: [Int]] = [:]
        var arrived: [String: Int] = [:]
        var now = start
        func record(_ results: [DeliveryResult]) {
            for result in results { ledger[result.delivery.id] = result.delivery }
        }
        func attempt() -> Attempt {
            switch generator.next() % 8 {
            case 0: .retry(after: nil, code: 0, reason: "lost", mayHaveArrived: true)
            case 1: refused
            case 2: .retry(after: .seconds(Int(generator.next() % 300)), code: 429, reason: "busy")
            case 3: .permanent(code: 400, reason: "no")
            default: .delivered(code: 200)
            }
        }
        for number in 0..<600 {
            now += .milliseconds(Int64(generator.next() % 20_000))
            if generator.next() % 50 == 0 { now = now - .seconds(Int(generator.next() % 7_200)) }
            if number < 400 {
                let kinds = Page.Kind.allOfThem
                let delivery = sampleDelivery(
                    number, kinds[Int(generator.next() % 5)],
                    to: "d\(generator.next() % 3)", incident: "I\(generator.next() % 6)", at: now)
                ledger[delivery.id] = delivery
                order.append(delivery.id)
                record(outbox.enqueue([delivery]))
            }
            for next in outbox.due(at: now) {
                let begun = outbox.began(next.id, at: now)
                let row = try #require(begun, "seed \(seed)")
                ledger[row.id] = row
                let key = "\(row.destination) \(row.page.incident)"
                let place = Int(row.page.id.dropFirst(4)) ?? 0
                if row.attempts == 1 { firstAttempts[key, default: []].append(place) }
                let outcome = attempt()
                if arrived[row.id, default: 0] > 0 {
                    #expect(row.mayRepeat, "seed \(seed): \(row.id) is doubled without a word")
                    #expect(row.page.kind != .update, "seed \(seed): an update went twice")
                }
                if case .delivered = outcome { arrived[row.id, default: 0] += 1 }
                if case .retry(_, _, _, true) = outcome { arrived[row.id, default: 0] += 1 }
                if generator.next() % 40 == 0 {
                    // The process dies with the row in flight.
                    outbox = Outbox(rowsMax: 40)
                    record(outbox.restore(order.compactMap { ledger[$0] }, at: now))
                    break
                }
                let result = outbox.finished(
                    row.id, outcome, at: now, uniform: Double(generator.next() % 1_000) / 1_000)
                record([try #require(result, "seed \(seed)")])
            }
        }
        for _ in 0..<2_000 where outbox.count > 0 {
            now = max(now, outbox.nextWake(after: now) ?? now)
            for next in outbox.due(at: now) {
                ledger[next.id] = outbox.began(next.id, at: now)
                let end = outbox.finished(next.id, .delivered(code: 200), at: now, uniform: 0)
                record([try #require(end)])
            }
        }
        #expect(outbox.count == 0, "seed \(seed)")
        for (key, places) in firstAttempts {
            #expect(places == places.sorted(), "seed \(seed): \(key) out of order")
        }
        for row in ledger.values {
            #expect([.done, .failed, .cancelled].contains(row.state), "seed \(seed): \(row.id)")
            if row.page.kind != .update { #expect(row.state != .cancelled, "seed \(seed)") }
        }
    }
}
