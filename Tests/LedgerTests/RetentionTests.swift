import Escalation
import Fleet
import Ledger
import Testing

@Suite struct RetentionTests {
    @Test func `only what is over and old enough leaves, a few rows at a time`() throws {
        let scratch = try Scratch()
        let ledger = try Ledger.open(directory: scratch.path)
        var write = LedgerWrite(at: at(0))
        write.cases = (0..<7).map { record("INC-\($0)", .closed) } + [record("INC-open")]
        for (number, state) in [Delivery.State.done, .failed, .cancelled, .queued].enumerated() {
            var kept = delivery("INC-\(number)", "pager")
            kept.state = state
            write.deliveries.append(kept)
        }
        try ledger.commit(write)
        let retention = Retention(closedCasesDays: 90, deliveriesDays: 30, rowsPerStep: 4)
        let day = 86_400
        #expect(try ledger.prune(retention, at: at(30 * day)) == 0)
        #expect(try ledger.prune(retention, at: at(30 * day + 1)) == 3)
        #expect(try ledger.prune(retention, at: at(90 * day)) == 0)
        #expect(try ledger.prune(retention, at: at(90 * day + 1)) == 4)
        #expect(try ledger.prune(retention, at: at(90 * day + 1)) == 3)
        #expect(try ledger.prune(retention, at: at(900 * day)) == 0)
        #expect(try ledger.recentCases(limit: 99).map(\.id) == ["INC-open"])
        #expect(try ledger.load().deliveries.map(\.state) == [.queued])
        #expect(try ledger.size().used > 0)
    }
}
