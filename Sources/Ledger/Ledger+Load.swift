import Escalation
import Fleet
import Rules
import SQLite

extension Ledger {
    /// What the process before this one left.
    ///
    /// A row that cannot be read does not keep the others from being used: it is named in
    /// `unreadable`, stays in the file, and somebody must be told.
    package func load() throws(LedgerError) -> LedgerState {
        var state = LedgerState()
        state.auditHead = auditHead
        state.previousRun = previousRun
        try explained("read", file) { () throws(DatabaseError) in
            try database.snapshot { () throws(DatabaseError) in
                try loadIncidents(&state)
                try loadInputs(&state)
            }
        }
        return state
    }

    private func loadIncidents(_ state: inout LedgerState) throws(DatabaseError) {
        let cases = try stored(
            "SELECT id, body FROM cases WHERE phase <> 'closed' ORDER BY id")
        state.cases = read(CaseRecord.self, cases, of: "cases", &state.unreadable)

        let deliveries = try stored(
            """
            SELECT id, body FROM deliveries WHERE state IN ('queued', 'inflight') ORDER BY rowid
            """)
        state.deliveries = read(Delivery.self, deliveries, of: "deliveries", &state.unreadable)
    }

    private func loadInputs(_ state: inout LedgerState) throws(DatabaseError) {
        let positions = try database.rows("SELECT topic, number, next_offset FROM positions") {
            ($0.text(0), $0.integer(1), $0.integer(2))
        }
        for (topic, number, next) in positions {
            guard let number = Int32(exactly: number) else {
                state.unreadable.append(
                    .init(
                        table: "positions", id: "\(topic)[\(number)]",
                        reason: "no partition has this number"))
                continue
            }
            state.positions[Partition(topic: topic, number: number)] = next
        }
        let devices = try stored("SELECT id, body FROM devices ORDER BY rowid")
        state.devices = read(Device.self, devices, of: "devices", &state.unreadable)
        let firing = try stored(
            "SELECT rule || ' on ' || kind || ' ' || name, body FROM firing ORDER BY rowid")
        state.firing = read(Finding.self, firing, of: "firing", &state.unreadable)
        let silences = try stored("SELECT id, body FROM silences ORDER BY id")
        state.silences = read(Silence.self, silences, of: "silences", &state.unreadable)
        let counters = try database.rows("SELECT name, value FROM counters") {
            ($0.text(0), $0.integer(1))
        }
        for (name, total) in counters { state.counters[name] = UInt64(clamping: total) }
    }

    private func stored(_ sql: String) throws(DatabaseError) -> [(id: String, body: String)] {
        try database.rows(sql) { ($0.text(0), $0.text(1)) }
    }

    private func read<Value: Decodable>(
        _ type: Value.Type, _ rows: [(id: String, body: String)], of table: String,
        _ unreadable: inout [LedgerState.Unreadable]
    ) -> [Value] {
        var values: [Value] = []
        values.reserveCapacity(rows.count)
        for row in rows {
            do {
                values.append(try coder.decode(type, row.body))
            } catch {
                unreadable.append(.init(table: table, id: row.id, reason: "\(error)"))
            }
        }
        return values
    }
}
