package import Escalation
import Fleet
import SQLite
import Synchronization

/// A second look into the ledger for other threads and for the command line; it never writes.
///
/// Reads see whole commits and do not hold up the writer. One read at a time.
package final class LedgerReader: Sendable {
    private let database: Mutex<Database>
    private let coder = Coder()
    private let file: String

    /// Opens the ledger in `directory` beside its owner, or alone.
    package init(directory: String) throws(LedgerError) {
        let file = "\(directory)/\(Ledger.fileName)"
        let database = try explained("read", file) { () throws(DatabaseError) in
            try Database.open(file, .readOnly)
        }
        let found = try explained("read", file) { () throws(DatabaseError) in
            try Schema.current.inspect(database)
        }
        switch found {
        case .version(Schema.current.version): break
        case .newer(let version):
            throw .newerSchema(file, found: version, known: Schema.current.version)
        case .foreign(let applicationID): throw .foreign(file, applicationID: applicationID)
        case .empty, .version, .damaged: throw .notYetWritten(file)
        }
        self.file = file
        self.database = Mutex(database)
    }

    private func reading<Result>(
        _ body: (borrowing Database) throws(DatabaseError) -> sending Result
    ) throws(LedgerError) -> Result {
        try database.withLock { database throws(LedgerError) in
            do throws(DatabaseError) {
                return try body(database)
            } catch {
                throw LedgerError(error, file: file, asked: "read")
            }
        }
    }

    /// Every decision kept about `incident`, or about anything where nil; newest first.
    package func audit(incident: String? = nil, limit: Int) throws(LedgerError) -> [AuditRow] {
        try reading { database throws(DatabaseError) in
            try database.audit(incident: incident, limit: limit)
        }
    }

    /// Incidents of every phase, last heard of first.
    package func recentCases(limit: Int) throws(LedgerError) -> [CaseRecord] {
        try reading { database throws(DatabaseError) in try database.recentCases(limit, coder) }
    }

    /// Incidents of every phase whose id begins with `prefix`.
    package func cases(idPrefix prefix: String, limit: Int) throws(LedgerError) -> [CaseRecord] {
        try reading { database throws(DatabaseError) in
            try database.cases(idPrefix: prefix, limit: limit, coder)
        }
    }

    /// What was sent about `incident`, newest first.
    package func deliveries(
        incident: String, limit: Int
    ) throws(LedgerError) -> [Delivery] {
        try reading { database throws(DatabaseError) in
            try database.deliveries(of: incident, limit: limit, coder)
        }
    }

    /// Walks the whole audit chain; other reads wait for it.
    package func verifyAudit() throws(LedgerError) -> AuditVerdict {
        try reading { database throws(DatabaseError) in try database.verifyAudit() }
    }
}
