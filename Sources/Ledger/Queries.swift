import Escalation
import Fleet
import FoundationEssentials
import Rules
import SQLite

/// JSON as it stands in the ledger: sorted keys, and numbers that JSON lacks spelled out.
///
/// A sample may be infinite or not a number, and must not keep its incident from being stored.
struct Coder {
    private let encoder = JSONEncoder()
    private let decoder = JSONDecoder()

    init() {
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "+Inf", negativeInfinity: "-Inf", nan: "NaN")
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "+Inf", negativeInfinity: "-Inf", nan: "NaN")
    }

    func encode(_ value: some Encodable, _ what: String) throws(LedgerError) -> String {
        do {
            return String(decoding: try encoder.encode(value), as: UTF8.self)
        } catch {
            throw .unencodable(what, reason: "\(error)")
        }
    }

    func decode<Value: Decodable>(_ type: Value.Type, _ text: String) throws -> Value {
        try decoder.decode(type, from: Data(text.utf8))
    }
}

/// The questions that both the owner of the ledger and a reader beside it ask.
extension Database {
    borrowing func audit(
        incident: String?, limit: Int
    ) throws(DatabaseError) -> [AuditRow] {
        let columns = "SELECT seq, at, actor, via, type, incident, detail, hash FROM audit"
        let bound = Value.integer(Int64(clamping: max(0, limit)))
        guard let incident else {
            return try rows("\(columns) ORDER BY seq DESC LIMIT ?", bound, read: AuditRow.init)
        }
        // The condition repeats that of the partial index, which is used only so.
        return try rows(
            "\(columns) WHERE incident = ? AND incident <> '' ORDER BY seq DESC LIMIT ?",
            .text(incident), bound, read: AuditRow.init)
    }

    borrowing func recentCases(_ limit: Int, _ coder: Coder) throws(DatabaseError) -> [CaseRecord] {
        let bodies = try rows(
            "SELECT body FROM cases ORDER BY heard_at DESC, id LIMIT ?",
            .integer(Int64(clamping: max(0, limit)))
        ) { $0.text(0) }
        return bodies.compactMap { try? coder.decode(CaseRecord.self, $0) }
    }

    borrowing func cases(
        idPrefix prefix: String, limit: Int, _ coder: Coder
    ) throws(DatabaseError) -> [CaseRecord] {
        let bodies = try rows(
            "SELECT body FROM cases WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
            // No text that begins with the prefix sorts behind it with the last scalar added.
            .text(prefix), .text(prefix + "\u{10FFFF}"), .integer(Int64(clamping: max(0, limit)))
        ) { $0.text(0) }
        return bodies.compactMap { try? coder.decode(CaseRecord.self, $0) }
    }

    borrowing func deliveries(
        of incident: String, limit: Int, _ coder: Coder
    ) throws(DatabaseError) -> [Delivery] {
        let found = try rows(
            "SELECT state, body FROM deliveries WHERE incident = ? ORDER BY rowid DESC LIMIT ?",
            .text(incident), .integer(Int64(clamping: max(0, limit)))
        ) { ($0.text(0), $0.text(1)) }
        return found.compactMap { state, body in
            guard var delivery = try? coder.decode(Delivery.self, body) else { return nil }
            delivery.state = Delivery.State(rawValue: state) ?? delivery.state
            return delivery
        }
    }

    borrowing func fact(_ name: String) throws(DatabaseError) -> Int64? {
        try integer("SELECT value FROM facts WHERE name = ?", .text(name))
    }

    borrowing func set(_ name: String, _ value: Value) throws(DatabaseError) {
        try run("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", .text(name), value)
    }

    /// The stored place in the chain called `name`: its head, or the anchor before its first row.
    borrowing func auditPlace(_ name: String) throws(DatabaseError) -> AuditHead? {
        guard let seq = try fact("audit_\(name)_seq") else { return nil }
        let hash = try rows(
            "SELECT value FROM facts WHERE name = ?", .text("audit_\(name)_hash")
        ) { $0.blob(0) }
        return hash.first.map { AuditHead(seq: seq, hash: $0) }
    }

    borrowing func setAuditPlace(_ name: String, _ place: AuditHead) throws(DatabaseError) {
        try set("audit_\(name)_seq", .integer(place.seq))
        try set("audit_\(name)_hash", .blob(place.hash))
    }

    /// Walks the whole chain; holds one row at a time.
    borrowing func verifyAudit() throws(DatabaseError) -> AuditVerdict {
        try snapshot { () throws(DatabaseError) in
            var place = try auditPlace("anchor") ?? .genesis
            let head = try auditPlace("head") ?? .genesis
            var verdict: AuditVerdict?
            var count = 0
            try each(
                "SELECT seq, at, actor, via, type, incident, detail, hash FROM audit ORDER BY seq",
                []
            ) { row in
                let found = AuditRow(row)
                let expected = place.adding(found.entry)
                guard found.seq == expected.seq else {
                    verdict = .broken(
                        seq: expected.seq, expected: "seq \(expected.seq)",
                        found: "seq \(found.seq)")
                    return false
                }
                guard found.hash == expected.hash else {
                    verdict = .broken(
                        seq: found.seq, expected: expected.hexadecimal,
                        found: found.hash.hexadecimal)
                    return false
                }
                place = expected
                count += 1
                return true
            }
            if let verdict { return verdict }
            guard place == head else {
                return .broken(
                    seq: place.seq, expected: "head seq \(head.seq) \(head.hexadecimal)",
                    found: "last seq \(place.seq) \(place.hexadecimal)")
            }
            return .intact(head, rows: count)
        }
    }
}

extension AuditRow {
    /// Columns in the order seq, at, actor, via, type, incident, detail, hash.
    fileprivate init(_ row: borrowing Database.Row) {
        seq = row.integer(0)
        entry = AuditEntry(
            at: Instant(milliseconds: row.integer(1)), actor: row.text(2), via: row.text(3),
            type: row.text(4), incident: row.text(5), detail: row.text(6))
        hash = row.blob(7)
    }
}
