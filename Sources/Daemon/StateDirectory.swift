import Fleet
import Foundation
import HTTP
import Ledger

/// The one directory that the daemon writes: ledger, token, and where its API listens.
struct StateDirectory: Sendable {
    let path: String
    private let retention: Duration

    init(_ settings: Settings) {
        // systemd's word goes before the file's: it made the directory.
        let given = ProcessInfo.processInfo.environment["STATE_DIRECTORY"] ?? ""
        path = given.isEmpty ? settings.stateDirectory : String(given.prefix { $0 != ":" })
        retention = settings.retention
    }

    func openLedger() throws(StartFailure) -> Ledger {
        do throws(LedgerError) {
            return try Ledger.open(directory: path)
        } catch {
            throw StartFailure(error)
        }
    }

    /// Notes that this process watches from now on.
    func start(_ ledger: Ledger, at now: Instant) throws(StartFailure) {
        do throws(LedgerError) {
            try ledger.start(at: now, version: Daemon.version)
        } catch {
            throw StartFailure(error)
        }
    }

    func load(_ ledger: Ledger) throws(StartFailure) -> LedgerState {
        do throws(LedgerError) { return try ledger.load() } catch { throw StartFailure(error) }
    }

    func reader() throws(StartFailure) -> LedgerReader {
        do throws(LedgerError) {
            return try LedgerReader(directory: path)
        } catch {
            throw StartFailure(error)
        }
    }

    /// The token that a change through the API needs; made at the first start, kept after.
    func apiToken() throws(StartFailure) -> String {
        let file = "\(path)/api.token"
        if let bytes = try? Data(contentsOf: URL(filePath: file)) {
            let token = String(decoding: bytes, as: UTF8.self)
                .trimmingCharacters(in: .whitespacesAndNewlines)
            if token.utf8.count >= 32 { return token }
        }
        do {
            let token = hex(try randomBytes(32))
            try write(Data((token + "\n").utf8), to: file, mode: 0o640)
            return token
        } catch {
            throw StartFailure(.cannotCreate, "cannot write \(file): \(reason(error))")
        }
    }

    /// Says where the API listens, for `tocsin incident` on this host.
    func announce(_ server: Server, pid: Int32) throws(StartFailure) {
        let host = server.address.contains(":") ? "[\(server.address)]" : server.address
        let text = "{\"url\":\"http://\(host):\(server.port)\",\"pid\":\(pid)}\n"
        do {
            try write(Data(text.utf8), to: "\(path)/api.json", mode: 0o644)
        } catch {
            throw StartFailure(.cannotCreate, "cannot write \(path)/api.json: \(reason(error))")
        }
    }

    /// An empty file without a name, for seasons of devices; it is gone with the process.
    ///
    /// - Returns: nil where none can be made; seasons then stay in memory.
    func seasonFile() -> FileHandle? {
        let file = "\(path)/seasons"
        guard
            FileManager.default.createFile(
                atPath: file, contents: nil, attributes: [.posixPermissions: 0o600])
        else { return nil }
        defer { try? FileManager.default.removeItem(atPath: file) }
        return try? FileHandle(forUpdating: URL(filePath: file))
    }

    func retract() { try? FileManager.default.removeItem(atPath: "\(path)/api.json") }

    /// Whole or not at all: a reader never sees half a token.
    private func write(_ data: Data, to file: String, mode: Int) throws {
        let partial = "\(file).new"
        try? FileManager.default.removeItem(atPath: partial)
        guard
            FileManager.default.createFile(
                atPath: partial, contents: data, attributes: [.posixPermissions: mode])
        else { throw CocoaError(.fileWriteNoPermission) }
        if FileManager.default.fileExists(atPath: file) {
            try FileManager.default.removeItem(atPath: file)
        }
        try FileManager.default.moveItem(atPath: partial, toPath: file)
    }
}

extension StartFailure {
    init(_ error: LedgerError) {
        let kind: Kind =
            switch error {
            case .corrupt, .newerSchema, .foreign: .dataError
            case .notYetWritten: .unavailable
            case .diskFull, .busy, .failed, .unencodable: .temporary
            case .directoryMissing, .notADirectory, .notWritable, .locked, .notDurable:
                .cannotCreate
            }
        self.init(kind, error.description)
    }
}
