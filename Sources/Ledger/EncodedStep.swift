import Escalation
import Fleet
import Incidents
import Rules
import SQLite

/// A write in the form in which it is stored: all that can fail outside SQLite lies behind it.
struct EncodedStep {
    private let write: LedgerWrite
    private let cases: [String]
    private let deliveries: [String]
    private let devices: [String]
    private let findings: [String?]
    private let silences: [String]
    private let audit: [AuditRow]
    /// The end of the audit chain once this step is stored.
    let head: AuditHead

    init(_ write: LedgerWrite, after head: AuditHead, _ coder: Coder) throws(LedgerError) {
        self.write = write
        cases = try write.cases.map { record throws(LedgerError) in
            try coder.encode(record, "incident \(record.id)")
        }
        deliveries = try write.deliveries.map { delivery throws(LedgerError) in
            try coder.encode(delivery, "delivery \(delivery.id)")
        }
        devices = try write.devices.map { device throws(LedgerError) in
            try coder.encode(device, "device \(device.id)")
        }
        findings = try write.findings.map { finding throws(LedgerError) in
            finding.isFiring ? try coder.encode(finding, "finding \(finding.key)") : nil
        }
        silences = try (write.silences ?? []).map { silence throws(LedgerError) in
            try coder.encode(silence, "silence \(silence.id)")
        }
        var place = head
        var rows: [AuditRow] = []
        for entry in write.audit {
            let kept = entry.bounded
            place = place.adding(kept)
            rows.append(AuditRow(seq: place.seq, entry: kept, hash: place.hash))
        }
        audit = rows
        self.head = place
    }

    /// Inside the caller's transaction.
    func store(in database: borrowing Database) throws(DatabaseError) {
        try storeCases(database)
        try storeDeliveries(database)
        try storeAudit(database)
        try storeInputs(database)
        try storeSilences(database)
        try database.set("last_commit_at", .integer(write.at.milliseconds))
    }

    private func storeCases(_ database: borrowing Database) throws(DatabaseError) {
        for (record, body) in zip(write.cases, cases) {
            try database.run(
                """
                INSERT INTO cases (id, phase, severity, heard_at, updated_at, body)
                VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
                phase = excluded.phase, severity = excluded.severity,
                heard_at = excluded.heard_at, updated_at = excluded.updated_at,
                body = excluded.body
                """,
                .text(record.id), .text(record.episode.phase.rawValue),
                .integer(Int64(record.incident.severity.rawValue)),
                .integer(record.incident.heardAt.milliseconds), .integer(write.at.milliseconds),
                .text(body))
        }
        for id in write.removedCases {
            try database.run("DELETE FROM cases WHERE id = ?", .text(id))
        }
    }

    private func storeDeliveries(_ database: borrowing Database) throws(DatabaseError) {
        for (delivery, body) in zip(write.deliveries, deliveries) {
            try database.run(
                """
                INSERT INTO deliveries (id, incident, state, updated_at, body)
                VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
                state = excluded.state, updated_at = excluded.updated_at, body = excluded.body
                """,
                .text(delivery.id), .text(delivery.page.incident), .text(delivery.state.rawValue),
                .integer(write.at.milliseconds), .text(body))
        }
        for id in write.cancelledDeliveries {
            try database.run(
                """
                UPDATE deliveries SET state = 'cancelled', updated_at = ?
                WHERE id = ? AND state IN ('queued', 'inflight')
                """,
                .integer(write.at.milliseconds), .text(id))
        }
    }

    private func storeAudit(_ database: borrowing Database) throws(DatabaseError) {
        guard !audit.isEmpty else { return }
        for row in audit {
            try database.run(
                """
                INSERT INTO audit (seq, at, actor, via, type, incident, detail, hash)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """,
                .integer(row.seq), .integer(row.entry.at.milliseconds), .text(row.entry.actor),
                .text(row.entry.via), .text(row.entry.type), .text(row.entry.incident),
                .text(row.entry.detail), .blob(row.hash))
        }
        try database.setAuditPlace("head", head)
    }

    private func storeSilences(_ database: borrowing Database) throws(DatabaseError) {
        guard let all = write.silences else { return }
        try database.run("DELETE FROM silences")
        for (silence, body) in zip(all, silences) {
            try database.run(
                "INSERT INTO silences (id, body) VALUES (?, ?)", .text(silence.id), .text(body))
        }
    }

    private func storeInputs(_ database: borrowing Database) throws(DatabaseError) {
        for (partition, next) in write.positions {
            try database.run(
                "INSERT OR REPLACE INTO positions (topic, number, next_offset) VALUES (?, ?, ?)",
                .text(partition.topic), .integer(Int64(partition.number)), .integer(next))
        }
        for (device, body) in zip(write.devices, devices) {
            // Not REPLACE, which would move the row behind devices that were seen later.
            try database.run(
                """
                INSERT INTO devices (id, body) VALUES (?, ?)
                ON CONFLICT (id) DO UPDATE SET body = excluded.body
                """,
                .text(device.id), .text(body))
        }
        for id in write.removedDevices {
            try database.run("DELETE FROM devices WHERE id = ?", .text(id))
        }
        for (finding, body) in zip(write.findings, findings) {
            let subject = finding.key.subject
            let rule = Database.Value.text(finding.key.rule)
            guard let body else {
                try database.run(
                    "DELETE FROM firing WHERE rule = ? AND kind = ? AND name = ?", rule,
                    .text(subject.kind.rawValue), .text(subject.name))
                continue
            }
            try database.run(
                """
                INSERT INTO firing (rule, kind, name, body) VALUES (?, ?, ?, ?)
                ON CONFLICT (rule, kind, name) DO UPDATE SET body = excluded.body
                """,
                rule, .text(subject.kind.rawValue), .text(subject.name), .text(body))
        }
        for (name, total) in write.counters {
            try database.run(
                "INSERT OR REPLACE INTO counters (name, value) VALUES (?, ?)", .text(name),
                .integer(Int64(clamping: total)))
        }
    }
}

extension Finding {
    fileprivate var isFiring: Bool {
        switch edge {
        case .fired, .changed: true
        case .cleared, .ruleRemoved: false
        }
    }
}
