import SQLite

/// The tables, as the steps that lead to them.
///
/// Step *n* takes a file from `user_version` n to n + 1. A step that was released is never edited:
/// a change is a new step.
package struct Schema: Sendable {
    package let steps: [String]

    package init(steps: [String]) { self.steps = steps }

    package var version: Int { steps.count }

    /// `Tocs` in ASCII: `file` and we ourselves tell the ledger from other databases by it.
    package static let applicationID: Int64 = 0x546f_6373

    package static let current = Schema(steps: [
        """
        CREATE TABLE facts (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;

        -- phase, severity and times repeat what body says, for queries.
        CREATE TABLE cases (
            id TEXT PRIMARY KEY, phase TEXT NOT NULL, severity INTEGER NOT NULL,
            heard_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, body TEXT NOT NULL);
        CREATE INDEX cases_by_phase ON cases (phase, updated_at);
        CREATE INDEX cases_by_time ON cases (heard_at);

        -- state rules over the state in body: a cancellation changes only the column.
        CREATE TABLE deliveries (
            id TEXT PRIMARY KEY, incident TEXT NOT NULL, state TEXT NOT NULL,
            updated_at INTEGER NOT NULL, body TEXT NOT NULL);
        CREATE INDEX deliveries_by_state ON deliveries (state, updated_at);
        CREATE INDEX deliveries_by_incident ON deliveries (incident);

        -- hash = SHA-256(hash of the row before || canonical JSON of this row).
        CREATE TABLE audit (
            seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, actor TEXT NOT NULL, via TEXT NOT NULL,
            type TEXT NOT NULL, incident TEXT NOT NULL, detail TEXT NOT NULL, hash BLOB NOT NULL);
        CREATE INDEX audit_by_incident ON audit (incident, seq) WHERE incident <> '';

        CREATE TABLE positions (
            topic TEXT NOT NULL, number INTEGER NOT NULL, next_offset INTEGER NOT NULL,
            PRIMARY KEY (topic, number)) WITHOUT ROWID;
        CREATE TABLE devices (id TEXT PRIMARY KEY, body TEXT NOT NULL);
        CREATE TABLE firing (
            rule TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL,
            PRIMARY KEY (rule, kind, name));
        CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
        """,
        "CREATE TABLE silences (id TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID",
    ])

    /// What a file is, before anything in it is changed.
    enum Verdict: Equatable {
        case empty
        case version(Int)
        case newer(Int)
        case foreign(applicationID: Int64)
        /// Pages that contradict each other, in SQLite's words.
        case damaged(String)
    }

    func inspect(_ database: borrowing Database) throws(DatabaseError) -> Verdict {
        let applicationID = try database.integer("PRAGMA application_id") ?? 0
        let version = try database.integer("PRAGMA user_version") ?? 0
        let tables = try database.integer("SELECT count(*) FROM sqlite_schema") ?? 0
        if applicationID == 0, version == 0, tables == 0 { return .empty }
        guard applicationID == Schema.applicationID, version > 0 else {
            return .foreign(applicationID: applicationID)
        }
        return version > Int64(steps.count) ? .newer(Int(version)) : .version(Int(version))
    }

    /// Takes the file from `found` to the newest version, in one transaction.
    func migrate(_ database: borrowing Database, from found: Int) throws(DatabaseError) {
        guard found < steps.count else { return }
        try database.transaction { () throws(DatabaseError) in
            for step in steps[found...] { try database.execute(step) }
            try database.execute(
                "PRAGMA application_id = \(Schema.applicationID); PRAGMA user_version = \(version)")
        }
    }
}
