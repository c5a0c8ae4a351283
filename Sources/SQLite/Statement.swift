import CSQLite

extension Database {
    /// What goes into a statement.
    package enum Value: Sendable, Equatable {
        case integer(Int64)
        /// Not a number is stored as null: SQLite knows no other way.
        case real(Double)
        case text(String)
        case blob([UInt8])
        case null
    }

    /// One row of a result, lent for the length of a call.
    ///
    /// A column of another type is converted as SQLite converts it: text to 0, null to 0 or empty.
    @safe
    package struct Row: ~Copyable {
        private let statement: OpaquePointer

        init(statement: OpaquePointer) { unsafe self.statement = statement }

        package borrowing func integer(_ column: Int32) -> Int64 {
            unsafe sqlite3_column_int64(checked(column), column)
        }

        package borrowing func real(_ column: Int32) -> Double {
            unsafe sqlite3_column_double(checked(column), column)
        }

        /// Bytes that are not UTF-8 are repaired.
        package borrowing func text(_ column: Int32) -> String {
            guard let bytes = unsafe sqlite3_column_text(checked(column), column) else { return "" }
            let count = unsafe sqlite3_column_bytes(statement, column)
            return unsafe String(
                decoding: UnsafeBufferPointer(start: bytes, count: Int(count)), as: UTF8.self)
        }

        package borrowing func blob(_ column: Int32) -> [UInt8] {
            guard let bytes = unsafe sqlite3_column_blob(checked(column), column) else { return [] }
            let count = unsafe sqlite3_column_bytes(statement, column)
            return unsafe [UInt8](UnsafeRawBufferPointer(start: bytes, count: Int(count)))
        }

        package borrowing func isNull(_ column: Int32) -> Bool {
            unsafe sqlite3_column_type(checked(column), column) == SQLITE_NULL
        }

        /// The columns are written in our own SQL: a wrong one is our own bug.
        private borrowing func checked(_ column: Int32) -> OpaquePointer {
            precondition(
                unsafe column >= 0 && column < sqlite3_column_count(statement),
                "a column that the statement does not have")
            return unsafe statement
        }
    }
}

/// A compiled statement, ready to be bound and stepped.
@safe
final class Statement {
    let handle: OpaquePointer

    init(handle: OpaquePointer) { unsafe self.handle = handle }

    deinit { unsafe sqlite3_finalize(handle) }

    /// SQLite keeps its own copy of text and bytes.
    func bind(_ value: Database.Value, at index: Int32) -> Int32 {
        switch value {
        case .integer(let integer): unsafe sqlite3_bind_int64(handle, index, integer)
        case .real(let real): unsafe sqlite3_bind_double(handle, index, real)
        case .null: unsafe sqlite3_bind_null(handle, index)
        // Bytes without an address would be read as null, and an empty buffer may have none.
        case .text(""): unsafe sqlite3_bind_text(handle, index, "", 0, sqlite3_transient())
        case .text(var text):
            text.withUTF8 { bytes in
                unsafe bytes.withMemoryRebound(to: CChar.self) { bytes in
                    unsafe sqlite3_bind_text64(
                        handle, index, bytes.baseAddress, UInt64(bytes.count),
                        sqlite3_transient(), UInt8(SQLITE_UTF8))
                }
            }
        case .blob(let blob):
            blob.isEmpty
                ? unsafe sqlite3_bind_zeroblob(handle, index, 0)
                : unsafe blob.withUnsafeBytes { bytes in
                    unsafe sqlite3_bind_blob64(
                        handle, index, bytes.baseAddress, UInt64(bytes.count), sqlite3_transient())
                }
        }
    }
}

/// Statements that were compiled before and are not being stepped.
///
/// One that is in use is not in here, so that a query inside the rows of the same query compiles
/// a second statement instead of resetting the first.
final class IdleStatements {
    /// All SQL is written in the source, some forty statements; past the bound they are recompiled.
    private static let countMax = 128

    private var statements: [String: Statement] = [:]

    func take(_ sql: String) -> Statement? { statements.removeValue(forKey: sql) }

    func put(_ statement: Statement, for sql: String) {
        unsafe sqlite3_reset(statement.handle)
        // Lets go of the bound text now rather than at the next use.
        unsafe sqlite3_clear_bindings(statement.handle)
        guard statements.count < IdleStatements.countMax else { return }
        statements[sql] = statement
    }

    func removeAll() { statements.removeAll() }
}
