import Foundation
import SQLite
import Testing

/// A directory of its own that is gone when the test is over.
private final class Scratch {
    let path: String

    init() throws {
        path =
            FileManager.default.temporaryDirectory
            .appending(path: "tocsin-sqlite-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    subscript(name: String) -> String { "\(path)/\(name)" }
}

@Suite struct SQLiteTests {
    @Test func `every kind of value comes back as it went in`() throws {
        let database = try Database.open(":memory:")
        try database.execute("CREATE TABLE t (a, b, c, d, e, f, g)")
        let values: [Database.Value] = [
            .integer(.min), .real(0.1), .text("a\0é\u{1F514}"), .blob([0, 255, 0]), .null,
            .text(""),
            .blob([]),
        ]
        try database.run(
            "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?)", values[0], values[1], values[2],
            values[3], values[4], values[5], values[6])
        let back = try database.rows("SELECT * FROM t") { row in
            #expect(row.isNull(4) && !row.isNull(5) && !row.isNull(6))
            return [
                Database.Value.integer(row.integer(0)), .real(row.real(1)), .text(row.text(2)),
                .blob(row.blob(3)), .null, .text(row.text(5)), .blob(row.blob(6)),
            ]
        }
        #expect(back == [values])
    }

    @Test func `a transaction that throws leaves nothing, and the next one works`() throws {
        let database = try Database.open(":memory:")
        try database.execute("CREATE TABLE t (x UNIQUE)")
        #expect(throws: DatabaseError.self) {
            try database.transaction { () throws(DatabaseError) in
                try database.run("INSERT INTO t VALUES (1)")
                try database.run("INSERT INTO t VALUES (1)")
            }
        }
        #expect(try database.integer("SELECT count(*) FROM t") == 0)
        try database.transaction { () throws(DatabaseError) in
            try database.run("INSERT INTO t VALUES (1)")
        }
        #expect(try database.integer("SELECT count(*) FROM t") == 1)
    }

    @Test func `a transaction inside another is refused and the outer one goes on`() throws {
        let database = try Database.open(":memory:")
        try database.execute("CREATE TABLE t (x)")
        try database.transaction { () throws(DatabaseError) in
            try database.run("INSERT INTO t VALUES (1)")
            #expect(throws: DatabaseError.self) {
                try database.transaction { () throws(DatabaseError) in }
            }
            try database.run("INSERT INTO t VALUES (2)")
        }
        #expect(try database.integer("SELECT count(*) FROM t") == 2)
    }

    @Test func `a query inside the rows of the same query does not disturb it`() throws {
        let database = try Database.open(":memory:")
        try database.execute("CREATE TABLE t (x); INSERT INTO t VALUES (1), (2), (3)")
        var seen: [Int64] = []
        try database.each("SELECT x FROM t ORDER BY x", []) { row in
            seen.append(row.integer(0))
            let inner = try? database.rows("SELECT x FROM t ORDER BY x") { $0.integer(0) }
            #expect(inner == [1, 2, 3])
            return true
        }
        #expect(seen == [1, 2, 3])
    }

    @Test func `a file is in WAL mode, private to owner and group, and FULL`() throws {
        let scratch = try Scratch()
        let database = try Database.open(scratch["a.sqlite"])
        #expect(try database.text("PRAGMA journal_mode") == "wal")
        #expect(try database.integer("PRAGMA synchronous") == 2)
        try database.execute("CREATE TABLE t (x)")
        for name in ["a.sqlite", "a.sqlite-wal", "a.sqlite-shm"] {
            let attributes = try FileManager.default.attributesOfItem(atPath: scratch[name])
            let mode = try #require(attributes[.posixPermissions] as? Int)
            #expect(mode & ~0o640 == 0, "\(name) has mode \(String(mode, radix: 8))")
        }
    }

    @Test func `a full database is told as disk full, stores nothing and recovers`() throws {
        let scratch = try Scratch()
        let database = try Database.open(scratch["a.sqlite"])
        try database.execute("CREATE TABLE t (x)")
        #expect(try database.integer("PRAGMA max_page_count = 4") == 4)
        let error = #expect(throws: DatabaseError.self) {
            try database.transaction { () throws(DatabaseError) in
                try database.run("INSERT INTO t VALUES (1)")
                for _ in 0..<10 { try database.run("INSERT INTO t VALUES (zeroblob(4000))") }
            }
        }
        #expect(error?.kind == .diskFull)
        #expect(try database.integer("SELECT count(*) FROM t") == 0)
        #expect(try database.integer("PRAGMA max_page_count = 1000") == 1000)
        try database.run("INSERT INTO t VALUES (zeroblob(40000))")
        #expect(try database.quickCheck() == [])
    }

    @Test func `a second writer is told that the first one is busy`() throws {
        let scratch = try Scratch()
        let first = try Database.open(scratch["a.sqlite"])
        try first.execute("CREATE TABLE t (x)")
        let second = try Database.open(scratch["a.sqlite"], busyMilliseconds: 0)
        try first.transaction { () throws(DatabaseError) in
            let error = #expect(throws: DatabaseError.self) {
                try second.transaction { () throws(DatabaseError) in }
            }
            #expect(error?.kind == .busy)
        }
        try second.transaction { () throws(DatabaseError) in
            try second.run("INSERT INTO t VALUES (1)")
        }
    }

    @Test func `a reader cannot write and sees whole commits only`() throws {
        let scratch = try Scratch()
        let writer = try Database.open(scratch["a.sqlite"])
        try writer.execute("CREATE TABLE t (x)")
        let reader = try Database.open(scratch["a.sqlite"], .readOnly)
        try writer.transaction { () throws(DatabaseError) in
            try writer.run("INSERT INTO t VALUES (1)")
            #expect(try reader.integer("SELECT count(*) FROM t") == 0)
        }
        #expect(try reader.integer("SELECT count(*) FROM t") == 1)
        let error = #expect(throws: DatabaseError.self) { try reader.run("DELETE FROM t") }
        #expect(error?.kind == .readOnly)
        try reader.snapshot { () throws(DatabaseError) in
            #expect(try reader.integer("SELECT count(*) FROM t") == 1)
            try writer.run("INSERT INTO t VALUES (2)")
            #expect(try reader.integer("SELECT count(*) FROM t") == 1)
        }
        #expect(try reader.integer("SELECT count(*) FROM t") == 2)
    }

    @Test func `what is wrong with a file has a kind of its own`() throws {
        let scratch = try Scratch()
        try Data("not a database, though long enough to be read as one".utf8)
            .write(to: URL(filePath: scratch["text"]))
        func kind(_ path: String, _ mode: Database.Mode) -> DatabaseError.Kind? {
            do throws(DatabaseError) {
                let database = try Database.open(path, mode)
                _ = try database.integer("SELECT count(*) FROM sqlite_schema")
                return nil
            } catch { return error.kind }
        }
        #expect(kind(scratch["text"], .create) == .notADatabase)
        #expect(kind(scratch["none"], .readOnly) == .cannotOpen)
        #expect(kind(scratch["none/none"], .create) == .cannotOpen)
        #expect(kind("\(scratch.path)/a\0b", .create) == .cannotOpen)
        #expect(kind(scratch["new"], .create) == nil)
    }

    @Test func `overwritten pages are found and never trap`() throws {
        let scratch = try Scratch()
        do {
            let database = try Database.open(scratch["a.sqlite"])
            try database.execute(
                """
                CREATE TABLE t (x, y); CREATE INDEX i ON t (x);
                WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
                INSERT INTO t SELECT i, hex(zeroblob(50)) FROM n
                """)
        }
        let whole = try Data(contentsOf: URL(filePath: scratch["a.sqlite"]))
        var seed: UInt64 = 0x7063_7369
        var found = 0
        for round in 0..<40 {
            var damaged = whole
            for _ in 0..<64 {
                seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                damaged[100 + Int((seed >> 33) % UInt64(whole.count - 100))] = UInt8(
                    truncatingIfNeeded: seed >> 20)
            }
            let path = scratch["damaged-\(round)"]
            try damaged.write(to: URL(filePath: path))
            do throws(DatabaseError) {
                let database = try Database.open(path, .readOnly)
                if try !database.quickCheck().isEmpty { found += 1 }
                _ = try database.rows("SELECT x, y FROM t") { ($0.integer(0), $0.text(1)) }
            } catch {
                found += 1
            }
        }
        #expect(found >= 36, "\(found) of 40 damaged files were noticed")
    }

    @Test func `a lock is given once, names its holder, and is free after its owner`() throws {
        let scratch = try Scratch()
        do {
            let lock = try FileLock.take(scratch["lock"])
            let error = #expect(throws: FileLockError.self) {
                _ = try FileLock.take(scratch["lock"])
            }
            guard case .held(let holder) = error else { Issue.record("not held"); return }
            #expect(holder.hasPrefix("process \(getpid()) on "), "\(holder)")
            _ = consume lock
        }
        _ = try FileLock.take(scratch["lock"])
    }

    /// A child holds copies of all descriptors from its first moment until its program is loaded.
    @Test func `a lock that is given back is free, whoever has a copy of its descriptor`() throws {
        let scratch = try Scratch()
        var copy: Int32 = -1
        do {
            let lock = try FileLock.take(scratch["lock"])
            copy = try #require(copyOfDescriptor(of: scratch["lock"]))
            _ = consume lock
        }
        _ = try FileLock.take(scratch["lock"])
        close(copy)
    }

    /// Of whatever descriptor of this process stands for the file.
    private func copyOfDescriptor(of path: String) -> Int32? {
        var wanted = stat()
        guard unsafe stat(path, &wanted) == 0 else { return nil }
        for descriptor in 0..<Int32(4_096) {
            var found = stat()
            if unsafe fstat(descriptor, &found) == 0, found.st_ino == wanted.st_ino,
                found.st_dev == wanted.st_dev
            {
                return dup(descriptor)
            }
        }
        return nil
    }

    @Test func `a lock without a directory says why`() throws {
        let scratch = try Scratch()
        let error = #expect(throws: FileLockError.self) {
            _ = try FileLock.take(scratch["none/lock"])
        }
        #expect(error == .failed(code: ENOENT, reason: "No such file or directory"))
    }
}
