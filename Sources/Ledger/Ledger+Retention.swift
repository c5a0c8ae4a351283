import Escalation
package import Fleet
import SQLite

/// How long the ledger keeps what is over.
package struct Retention: Sendable, Equatable {
    /// A year and a month: a yearly audit looks back over the whole year.
    package static let auditDaysMin = 400

    package let closedCasesDays: Int
    package let deliveriesDays: Int
    package let auditDays: Int
    /// Rows of each kind that one step takes away: some milliseconds of the engine's time.
    package let rowsPerStep: Int

    /// Raises `auditDays` to `auditDaysMin`, and everything else to something sensible.
    package init(
        closedCasesDays: Int = 90, deliveriesDays: Int = 30, auditDays: Int = auditDaysMin,
        rowsPerStep: Int = 200
    ) {
        self.closedCasesDays = max(1, closedCasesDays)
        self.deliveriesDays = max(1, deliveriesDays)
        self.auditDays = max(Retention.auditDaysMin, auditDays)
        self.rowsPerStep = min(max(1, rowsPerStep), 10_000)
    }
}

extension Ledger {
    /// Takes away at most `rowsPerStep` rows of each kind that are over and old enough.
    ///
    /// Call it now and then while there is nothing else to do; again at once where it returns more
    /// than 0. The oldest audit rows leave in whole steps; the place where the chain then begins is
    /// itself a line of the audit.
    ///
    /// - Returns: how many rows left.
    package func prune(_ retention: Retention, at now: Instant) throws(LedgerError) -> Int {
        let cut = try explained("read", file) { () throws(DatabaseError) in
            try auditCut(retention, now)
        }
        var write = LedgerWrite(at: now)
        if let cut {
            write.audit = [
                AuditEntry(
                    at: now, actor: "engine", via: "timer", type: "audit.pruned", incident: "",
                    detail: "rows up to seq \(cut.seq), hash \(cut.hexadecimal), are older than "
                        + "\(retention.auditDays) days")
            ]
        }
        var count = 0
        try store(write) { database throws(DatabaseError) in
            count = try pruneFinished(retention, now)
            if let cut {
                count += try database.run("DELETE FROM audit WHERE seq <= ?", .integer(cut.seq))
                try database.setAuditPlace("anchor", cut)
            }
        }
        return count
    }

    private func pruneFinished(
        _ retention: Retention, _ now: Instant
    ) throws(DatabaseError) -> Int {
        let bound = Database.Value.integer(Int64(retention.rowsPerStep))
        var count = try database.run(
            """
            DELETE FROM cases WHERE id IN (
            SELECT id FROM cases WHERE phase = 'closed' AND updated_at < ? LIMIT ?)
            """,
            .integer((now - .days(retention.closedCasesDays)).milliseconds), bound)
        let before = Database.Value.integer((now - .days(retention.deliveriesDays)).milliseconds)
        for state in [Delivery.State.done, .failed, .cancelled] {
            count += try database.run(
                """
                DELETE FROM deliveries WHERE id IN (
                SELECT id FROM deliveries WHERE state = ? AND updated_at < ? LIMIT ?)
                """,
                .text(state.rawValue), before, bound)
        }
        return count
    }

    /// The last row of a whole step of rows that are all old enough; nil where there is none.
    ///
    /// By their order and not by their time alone: the chain may only lose its beginning.
    private func auditCut(
        _ retention: Retention, _ now: Instant
    ) throws(DatabaseError) -> AuditHead? {
        let oldest = try database.rows(
            "SELECT seq, at, hash FROM audit ORDER BY seq LIMIT ?",
            .integer(Int64(retention.rowsPerStep))
        ) {
            (AuditHead(seq: $0.integer(0), hash: $0.blob(2)), Instant(milliseconds: $0.integer(1)))
        }
        let before = now - .days(retention.auditDays)
        guard oldest.count == retention.rowsPerStep, oldest.allSatisfy({ $0.1 < before }) else {
            return nil
        }
        return oldest.last?.0
    }
}

extension Duration {
    fileprivate static func days(_ count: Int) -> Duration { .seconds(Int64(count) &* 86_400) }
}
