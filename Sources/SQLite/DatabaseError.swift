/// What SQLite refused: the kind to act on, the code and words to look up, and the statement.
package struct DatabaseError: Error, Equatable, CustomStringConvertible {
    /// What a caller can do something about; everything else is `other`.
    package enum Kind: String, Sendable {
        /// Another connection holds the lock; nothing was written, the same call may be repeated.
        case busy
        /// The disk, the quota or the page limit is full; nothing was written.
        case diskFull = "disk full"
        /// The file is a database whose pages contradict each other.
        case corrupt
        /// The file holds something else.
        case notADatabase = "not a database"
        case readOnly = "read only"
        case cannotOpen = "cannot open"
        /// A read, write or fsync failed; whether the last commit survives a crash is unknown.
        case inputOutput = "input/output"
        /// A row contradicts a rule of the schema.
        case constraint
        case tooBig = "too big"
        case outOfMemory = "out of memory"
        /// The file system cannot give what durability needs.
        case notDurable = "not durable"
        /// Wrong SQL, wrong schema, wrong use.
        case other
    }

    package let kind: Kind
    /// SQLite's extended result code; 0 where SQLite itself was content.
    package let code: Int32
    package let reason: String
    /// The beginning of the statement, or what was asked in words.
    package let statement: String

    package init(kind: Kind, code: Int32, reason: String, statement: String) {
        self.kind = kind
        self.code = code
        self.reason = reason
        self.statement = String(statement.prefix(DatabaseError.statementCharactersMax))
    }

    /// Enough to recognise a statement, short enough for one log line.
    private static let statementCharactersMax = 160

    package var description: String {
        "sqlite \(code) (\(kind.rawValue)): \(reason) in \(statement)"
    }
}
