import Console
import Fleet
import Foundation
import HTTP

/// The real program, as a child process.
final class DaemonProcess {
    private let process = Process()
    private let state: String
    private let logFile: String
    private var outputFile: String { "\(logFile).out" }
    private var url = ""

    init(
        _ words: [String], state: String, log: String, _ environment: [String: String]
    ) throws {
        self.state = state
        logFile = log
        for file in [log, "\(log).out"] {
            guard FileManager.default.createFile(atPath: file, contents: nil) else {
                throw Trouble("cannot write \(file)")
            }
        }
        process.executableURL = try DaemonProcess.binary()
        process.arguments = words
        var surroundings = ProcessInfo.processInfo.environment
        for name in ["NOTIFY_SOCKET", "STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"] {
            surroundings[name] = nil
        }
        process.environment = surroundings.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle(forWritingAtPath: "\(log).out")
        process.standardError = FileHandle(forWritingAtPath: log)
        try process.run()
    }

    deinit { kill9() }

    /// The program lies where the tests' own binary lies.
    private static func binary() throws -> URL {
        var folder = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        for _ in 0..<5 {
            folder = folder.deletingLastPathComponent()
            let candidate = folder.appending(path: "tocsin")
            var isFolder = ObjCBool(false)
            if unsafe FileManager.default.fileExists(
                atPath: candidate.path, isDirectory: &isFolder),
                !isFolder.boolValue
            {
                return candidate
            }
        }
        throw Trouble("no tocsin beside the tests; swift build makes it")
    }

    var identifier: Int32 { process.processIdentifier }
    var isRunning: Bool { process.isRunning }
    var log: String { (try? String(contentsOfFile: logFile, encoding: .utf8)) ?? "" }
    var output: String { (try? String(contentsOfFile: outputFile, encoding: .utf8)) ?? "" }

    var lastWords: String {
        let lines = log.split(separator: "\n").suffix(40).map { "    \($0.prefix(400))" }
        return "the last words of process \(identifier):\n\(lines.joined(separator: "\n"))"
    }

    func signal(_ number: Int32) { if process.isRunning { kill(identifier, number) } }

    func kill9() {
        guard process.isRunning else { return }
        kill(identifier, SIGKILL)
        process.waitUntilExit()
    }

    /// After SIGTERM, and within what the handbook promises whatever hangs.
    func requireOrderlyEnd() throws {
        try require(try exitCode(within: 23) == 0, "not ended in order")
    }

    func exitCode(within seconds: Double) throws -> Int32 {
        try eventually("process \(identifier) ends", within: seconds) {
            process.isRunning ? nil : true
        }
        guard process.terminationReason == .exit else {
            throw Trouble("process \(identifier) was ended by signal \(process.terminationStatus)")
        }
        return process.terminationStatus
    }
}

// What its API says.
extension DaemonProcess {
    func waitUntilReady(within seconds: Double = 60) throws {
        try eventually("the daemon is ready", within: seconds) {
            try get("/readyz").status == 200 ? true : nil
        }
    }

    func get(_ path: String) throws -> (status: Int, body: [UInt8]) {
        guard isRunning else { throw Fatal(reason: "the daemon has ended") }
        if url.isEmpty { url = try announced() }
        let answer = try Client().send(
            .get, url + path, timeoutMilliseconds: 10_000, answerBytesMax: 16 << 20)
        return (answer.status, answer.body)
    }

    /// A file of an earlier process on the same folder names that one's port.
    private func announced() throws -> String {
        struct Announcement: Decodable { let url: String, pid: Int32 }
        let data = try Data(contentsOf: URL(filePath: "\(state)/api.json"))
        let found = try JSONDecoder().decode(Announcement.self, from: data)
        guard found.pid == identifier else { throw Trouble("api.json is of \(found.pid)") }
        return found.url
    }

    func status() throws -> StatusDocument {
        try APIJSON.decode(StatusDocument.self, try get("/api/v1/status").body)
    }

    /// Records of `topic` that are read and stored.
    func stored(_ topic: String) throws -> Int64 {
        try status().partitions.filter { $0.topic == topic }.reduce(0) { $0 + $1.nextOffset }
    }

    func incidents() throws -> [IncidentDocument] {
        let body = try get("/api/v1/incidents?phase=all&limit=1000").body
        return try APIJSON.decode(IncidentList.self, body).incidents
    }

    func incident(_ id: String) throws -> IncidentDocument {
        try APIJSON.decode(IncidentDocument.self, try get("/api/v1/incidents/\(id)").body)
    }

    /// Every sample by its name with labels, as they are written.
    func metrics() throws -> Exposed {
        var samples: [String: Double] = [:]
        for line in String(decoding: try get("/metrics").body, as: UTF8.self)
            .split(separator: "\n") where !line.hasPrefix("#")
        {
            guard let blank = line.lastIndex(of: " "),
                let value = Double(line[line.index(after: blank)...])
            else { continue }
            samples[String(line[..<blank])] = value
        }
        return Exposed(samples: samples)
    }
}

/// One scrape.
struct Exposed {
    let samples: [String: Double]

    subscript(name: String) -> Int { Int(samples[name] ?? 0) }

    /// Over all labels.
    func sum(_ name: String) -> Int {
        Int(samples.filter { $0.key == name || $0.key.hasPrefix("\(name){") }.values.reduce(0, +))
    }
}
