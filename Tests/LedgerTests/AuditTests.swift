import Escalation
import Fleet
import Foundation
import Ledger
import SQLite
import Testing

@Suite struct AuditTests {
    private func filled(_ scratch: Scratch, _ count: Int) throws -> Ledger {
        let ledger = try Ledger.open(directory: scratch.path)
        for number in 1...count {
            try ledger.commit(
                LedgerWrite(at: at(number), audit: [entry("INC-A", "n\(number)", at: at(number))]))
        }
        return ledger
    }

    /// The hashes are those of Python's `hashlib` over `json.dumps(row, sort_keys=True,
    /// separators=(',', ':'), ensure_ascii=False)`.
    @Test func `anybody can check the chain with a few lines of Python`() throws {
        let scratch = try Scratch()
        let ledger = try Ledger.open(directory: scratch.path)
        let awkward = "says \"ok\"\\ \n\t\r\u{08}\u{0c}\u{01}\u{1f}\u{7f} é \u{1F514} </x>"
        try ledger.commit(
            LedgerWrite(
                at: at(0),
                audit: [
                    AuditEntry(
                        at: Instant(milliseconds: 1_700_000_000_123), actor: "human:ana",
                        via: "api", type: "response.ack", incident: "INC-A", detail: awkward),
                    AuditEntry(
                        at: Instant(milliseconds: -5), actor: "engine", via: "timer",
                        type: "page.created", incident: "", detail: ""),
                ]))
        #expect(
            try ledger.audit(limit: 2).map(\.hash.hexadecimal) == [
                "d2ac794b3d49b93701a5fe5a17e79128fa7e6f8a1037a8ad344ee9e37db32649",
                "149a4d1923b97a5ae4fdd422b8f47e3f458f77088715d008005f5b2939cae607",
            ])
        #expect(try ledger.verifyAudit() == .intact(ledger.auditHead, rows: 2))
    }

    struct Tampering: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let sql: String
        let brokenAt: Int64
    }

    @Test(arguments: [
        Tampering(
            testDescription: "a word is changed",
            sql: "UPDATE audit SET detail = 'n0' WHERE seq = 4", brokenAt: 4),
        Tampering(
            testDescription: "a time is changed", sql: "UPDATE audit SET at = at + 1 WHERE seq = 1",
            brokenAt: 1),
        Tampering(
            testDescription: "a row is taken out", sql: "DELETE FROM audit WHERE seq = 5",
            brokenAt: 5),
        Tampering(
            testDescription: "the first row is taken out", sql: "DELETE FROM audit WHERE seq = 1",
            brokenAt: 1),
        Tampering(
            testDescription: "the end is cut off", sql: "DELETE FROM audit WHERE seq >= 8",
            brokenAt: 7),
        Tampering(
            testDescription: "two rows change places",
            sql: """
                UPDATE audit SET seq = 99 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3;
                UPDATE audit SET seq = 3 WHERE seq = 99
                """, brokenAt: 2),
        Tampering(
            testDescription: "a hash is replaced",
            sql: "UPDATE audit SET hash = zeroblob(32) WHERE seq = 10", brokenAt: 10),
        Tampering(
            testDescription: "a row is added by hand",
            sql: "INSERT INTO audit SELECT 11, at, actor, via, type, incident, detail, hash "
                + "FROM audit WHERE seq = 10", brokenAt: 11),
    ])
    func `a change by hand is found where it was made`(_ tampering: Tampering) throws {
        let scratch = try Scratch()
        do {
            let ledger = try filled(scratch, 10)
            #expect(try ledger.verifyAudit() == .intact(ledger.auditHead, rows: 10))
            try Database.open(ledger.file).execute(tampering.sql)
        }
        let ledger = try Ledger.open(directory: scratch.path)
        guard case .broken(let seq, _, _) = try ledger.verifyAudit() else {
            Issue.record("not found")
            return
        }
        #expect(seq == tampering.brokenAt)
    }

    @Test func `rows cut off the end stay missed after new ones were added`() throws {
        let scratch = try Scratch()
        do {
            let ledger = try filled(scratch, 10)
            try Database.open(ledger.file).execute("DELETE FROM audit WHERE seq > 8")
        }
        let ledger = try Ledger.open(directory: scratch.path)
        try ledger.commit(LedgerWrite(at: at(20), audit: [entry("INC-A")]))
        #expect(
            try ledger.verifyAudit() == .broken(seq: 9, expected: "seq 9", found: "seq 11"))
    }

    @Test func `a detail is cut between characters and still verifies`() throws {
        let scratch = try Scratch()
        let ledger = try Ledger.open(directory: scratch.path)
        let bell = String(repeating: "\u{1F514}", count: 3_000)
        let exact = String(repeating: "x", count: AuditEntry.detailBytesMax)
        try ledger.commit(
            LedgerWrite(
                at: at(0), audit: [entry("", bell), entry("", exact), entry("", exact + "y")]))
        let rows = try ledger.audit(limit: 3)
        #expect(rows[0].entry.detail == exact.dropLast(3) + "…")
        #expect(rows[1].entry.detail == exact)
        #expect(rows[2].entry.detail == String(repeating: "\u{1F514}", count: 1_023) + "…")
        #expect(try ledger.verifyAudit() == .intact(ledger.auditHead, rows: 3))
    }

    @Test func `the oldest lines leave in whole steps and the rest still verifies`() throws {
        let scratch = try Scratch()
        let ledger = try filled(scratch, 25)
        let retention = Retention(auditDays: 1, rowsPerStep: 10)
        #expect(retention.auditDays == 400)
        let day = 86_400
        #expect(try ledger.prune(retention, at: at(400 * day)) == 0)
        // Old enough are the rows before 20 s: one whole step of ten.
        #expect(try ledger.prune(retention, at: at(400 * day + 20)) == 10)
        #expect(try ledger.prune(retention, at: at(400 * day + 20)) == 0)
        #expect(try ledger.verifyAudit() == .intact(ledger.auditHead, rows: 16))
        let told = try ledger.audit(limit: 1)[0].entry
        #expect(told.type == "audit.pruned" && told.detail.hasPrefix("rows up to seq 10, hash "))
        try Database.open(ledger.file).execute("DELETE FROM audit WHERE seq = 11")
        guard case .broken(11, _, _) = try ledger.verifyAudit() else {
            Issue.record("a row missing behind the pruned ones was not found")
            return
        }
    }
}
