import Escalation
import Fleet
import Foundation
import Ledger
import SQLite
import Testing

@Suite struct OpeningTests {
    private func refusal(_ directory: String) -> LedgerError? {
        do throws(LedgerError) {
            _ = try Ledger.open(directory: directory)
            return nil
        } catch { return error }
    }

    @Test func `a second owner is refused and told who has it`() throws {
        let scratch = try Scratch()
        do {
            let ledger = try Ledger.open(directory: scratch.path)
            let error = refusal(scratch.path)
            guard case .locked(scratch.path, let holder) = error else {
                Issue.record("opened twice: \(String(describing: error))")
                return
            }
            #expect(holder.hasPrefix("process \(getpid()) on "))
            #expect(error?.mayRetry == false)
            #expect("\(error, default: "")".contains("in use by process \(getpid())"))
            try ledger.commit(LedgerWrite(at: at(0), audit: [entry("")]))
        }
        #expect(refusal(scratch.path) == nil)
    }

    @Test func `a lock left by a process that was killed binds nobody`() async throws {
        let scratch = try Scratch()
        let path = scratch.path
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
            let ledger = try Ledger.open(directory: path)
            try ledger.commit(LedgerWrite(at: at(0), audit: [entry("")]))
            kill(getpid(), SIGKILL)
        }
        #expect(refusal(path) == nil)
    }

    @Test func `a directory that is missing or none is named with what to do`() throws {
        let scratch = try Scratch()
        #expect(refusal(scratch["none"]) == .directoryMissing(scratch["none"]))
        try Data("x".utf8).write(to: URL(filePath: scratch["file"]))
        #expect(refusal(scratch["file"]) == .notADirectory(scratch["file"]))
        #expect("\(LedgerError.directoryMissing("/var/lib/tocsin"))".contains("StateDirectory="))
    }

    @Test(.enabled(if: geteuid() != 0, "root writes everywhere"))
    func `a directory that cannot be written is named with the user`() throws {
        let scratch = try Scratch()
        try FileManager.default.setAttributes(
            [.posixPermissions: 0o555], ofItemAtPath: scratch.path)
        let error = refusal(scratch.path)
        #expect(
            error
                == .notWritable(scratch.path, user: geteuid(), reason: "Permission denied"))
    }

    @Test func `a lock that is a directory is refused in words`() throws {
        let scratch = try Scratch()
        try FileManager.default.createDirectory(
            atPath: scratch[Ledger.lockName], withIntermediateDirectories: true)
        #expect(
            refusal(scratch.path)
                == .notWritable(scratch.path, user: geteuid(), reason: "Is a directory"))
    }

    @Test func `a ledger of a newer version is refused as it is, with both numbers`() throws {
        let scratch = try Scratch()
        let file = scratch[Ledger.fileName]
        let newer = Schema(steps: Schema.current.steps + ["CREATE TABLE later (x)"])
        do { _ = try Ledger.open(directory: scratch.path, schema: newer) }
        let before = try Data(contentsOf: URL(filePath: file))
        let error = refusal(scratch.path)
        #expect(error == .newerSchema(file, found: newer.version, known: Schema.current.version))
        #expect("\(error, default: "")".contains("schema \(newer.version)"))
        #expect(try Data(contentsOf: URL(filePath: file)) == before)
        #expect(throws: try #require(error)) { _ = try LedgerReader(directory: scratch.path) }
    }

    @Test func `an older ledger is brought up to date with its rows`() throws {
        let scratch = try Scratch()
        do {
            let ledger = try Ledger.open(directory: scratch.path)
            var write = LedgerWrite(at: at(0), audit: [entry("INC-A")])
            write.cases = [record("INC-A")]
            try ledger.commit(write)
        }
        let steps = [
            "ALTER TABLE cases ADD COLUMN owner TEXT NOT NULL DEFAULT ''",
            "UPDATE cases SET owner = 'nobody'; CREATE TABLE later (x)",
        ]
        do {
            let newer = Schema(steps: Schema.current.steps + steps)
            let ledger = try Ledger.open(directory: scratch.path, schema: newer)
            #expect(try ledger.load().cases.map(\.id) == ["INC-A"])
            #expect(try ledger.verifyAudit() == .intact(ledger.auditHead, rows: 1))
        }
        let database = try Database.open(scratch[Ledger.fileName], .readOnly)
        #expect(try database.text("SELECT owner FROM cases") == "nobody")
        #expect(
            try database.integer("PRAGMA user_version") == Int64(Schema.current.version + 2))
    }

    @Test func `a migration that fails leaves the older version whole`() throws {
        let scratch = try Scratch()
        do { try Ledger.open(directory: scratch.path).stop(at: at(0)) }
        let broken = Schema(
            steps: Schema.current.steps + ["CREATE TABLE later (x)", "CREATE TABLE cases (x)"])
        #expect(throws: LedgerError.self) {
            _ = try Ledger.open(directory: scratch.path, schema: broken)
        }
        let ledger = try Ledger.open(directory: scratch.path)
        #expect(ledger.auditHead.seq == 1)
        let database = try Database.open(ledger.file, .readOnly)
        #expect(
            try database.integer("SELECT count(*) FROM sqlite_schema WHERE name = 'later'") == 0)
    }

    @Test func `somebody else's database is not touched`() throws {
        let scratch = try Scratch()
        let file = scratch[Ledger.fileName]
        do { try Database.open(file).execute("CREATE TABLE theirs (x); PRAGMA user_version = 1") }
        let before = try Data(contentsOf: URL(filePath: file))
        #expect(refusal(scratch.path) == .foreign(file, applicationID: 0))
        #expect(try Data(contentsOf: URL(filePath: file)) == before)
    }

    @Test func `an empty file is a new ledger`() throws {
        let scratch = try Scratch()
        try Data().write(to: URL(filePath: scratch[Ledger.fileName]))
        #expect(refusal(scratch.path) == nil)
    }

    @Test func `a damaged ledger is refused as it is and says what to keep`() throws {
        let scratch = try Scratch()
        let file = scratch[Ledger.fileName]
        do {
            let ledger = try Ledger.open(directory: scratch.path)
            var write = LedgerWrite(at: at(0))
            write.cases = (0..<100).map { record("INC-\($0)") }
            try ledger.commit(write)
        }
        let whole = try Data(contentsOf: URL(filePath: file))
        var damaged = whole
        damaged.replaceSubrange(
            whole.count / 2..<whole.count / 2 + 8_192, with: [UInt8](repeating: 0x5a, count: 8_192))
        try damaged.write(to: URL(filePath: file))
        guard case .corrupt(file, _) = refusal(scratch.path) else {
            Issue.record("a damaged file was opened")
            return
        }
        #expect(try Data(contentsOf: URL(filePath: file)) == damaged)
        try Data("hello, I am a text file".utf8).write(to: URL(filePath: file))
        guard case .corrupt(file, let reason) = refusal(scratch.path) else {
            Issue.record("a text file was opened")
            return
        }
        #expect("\(LedgerError.corrupt(file, reason: reason))".contains(".recover"))
    }
}
