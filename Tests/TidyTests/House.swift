import Foundation
import Testing

/// The order of the house: every folder under Sources, lowest first, and what it may import.
///
/// The pure folders also name no clock, lock, task or Foundation; they are given time as a value.
struct Room {
    let name: String
    let pure: Bool
    let mayImport: Set<String>
}

/// The C libraries of the system; each has one room that may touch it.
let system: Set<String> = [
    "CCrypto", "CCurl", "CMicrohttpd", "CRdKafka", "CSQLite", "CSystemd", "CYAML",
    "CLanes",
]

/// The rooms that hold memory of a C library or of the hot path; nobody else is `unsafe`.
let doors: Set<String> = [
    "Bytes", "Configuration", "HTTP", "Kafka", "KernelBaseline", "KernelV3", "KernelV4",
    "Observability",
    "RollingStatistics", "SQLite", "tocsin-mockbroker", "tocsin-bench",
]

let house: [Room] = [
    Room(name: "Fleet", pure: true, mayImport: []),
    Room(name: "Configuration", pure: true, mayImport: ["CYAML"]),
    Room(name: "KernelBaseline", pure: true, mayImport: ["CLanes"]),
    Room(name: "KernelV3", pure: true, mayImport: ["CLanes"]),
    Room(name: "KernelV4", pure: true, mayImport: ["CLanes"]),
    Room(
        name: "RollingStatistics", pure: true,
        mayImport: ["CLanes", "KernelBaseline", "KernelV3", "KernelV4"]),
    // Words of a payload, loaded after one check of the bounds: the decoders' inner loops.
    Room(
        name: "Bytes", pure: true,
        mayImport: ["CLanes", "KernelBaseline", "KernelV3", "KernelV4"]),
    Room(name: "Telemetry", pure: true, mayImport: ["Fleet", "Bytes"]),
    Room(
        name: "Detection", pure: true,
        mayImport: ["CLanes", "Fleet", "RollingStatistics", "Telemetry"]),
    Room(
        name: "Rules", pure: true,
        mayImport: ["Fleet", "Configuration", "RollingStatistics", "Telemetry", "Detection"]),
    Room(name: "Incidents", pure: true, mayImport: ["Fleet", "Configuration", "Rules"]),
    Room(
        name: "Escalation", pure: true,
        mayImport: ["Fleet", "Configuration", "Rules", "Incidents"]),
    Room(name: "Observability", pure: false, mayImport: ["Fleet", "CSystemd"]),
    Room(name: "Kafka", pure: false, mayImport: ["CRdKafka"]),
    Room(name: "HTTP", pure: false, mayImport: ["CCrypto", "CCurl", "CMicrohttpd"]),
    Room(name: "SQLite", pure: false, mayImport: ["CSQLite"]),
    Room(
        name: "Notification", pure: false,
        mayImport: ["Fleet", "Escalation", "Observability", "HTTP"]),
    Room(
        name: "Ledger", pure: false,
        mayImport: ["Fleet", "Rules", "Incidents", "Escalation", "Observability", "SQLite"]),
    Room(
        name: "Console", pure: false,
        mayImport: [
            "Fleet", "Rules", "Incidents", "Escalation", "Observability", "HTTP", "Ledger",
        ]),
    Room(
        name: "Daemon", pure: false,
        mayImport: [
            "Fleet", "Configuration", "Telemetry", "Detection", "Rules", "Incidents", "Escalation",
            "Observability", "Kafka", "HTTP", "Notification", "Ledger", "Console",
        ]),
    Room(
        name: "Simulation", pure: false,
        mayImport: ["Fleet", "Telemetry", "Kafka", "Observability", "Daemon"]),
    Room(name: "tocsin", pure: false, mayImport: ["Console", "Daemon", "Simulation"]),
    Room(name: "tocsin-mockbroker", pure: false, mayImport: ["CRdKafka"]),
    Room(
        name: "tocsin-bench", pure: false,
        mayImport: [
            "Fleet", "Configuration", "KernelBaseline", "RollingStatistics", "Telemetry",
            "Detection", "Rules",
            "Kafka", "Daemon", "Simulation",
        ]),
]

/// A word we do not write, where we may write it all the same, and what to write instead.
struct Ban: Sendable, CustomTestStringConvertible {
    let word: String
    let instead: String
    var except: Set<String> = []
    var pureOnly = false

    var testDescription: String { word }

    static let all: [Ban] = [
        Ban(word: "unsafe ", instead: "keep it in a handle", except: doors),
        Ban(word: "@unchecked Sendable", instead: "let the compiler prove it", except: ["Kafka"]),
        Ban(word: "DispatchQueue", instead: "an actor, or a named thread", except: ["Daemon"]),
        Ban(word: "try!", instead: "throw"),
        Ban(word: "as!", instead: "a guard"),
        Ban(
            word: "print(", instead: "the logger",
            except: ["tocsin", "tocsin-mockbroker", "tocsin-bench"]),
        Ban(word: "FIXME", instead: "fix it before it is merged"),
        Ban(word: ".now", instead: "an Instant passed in", pureOnly: true),
        Ban(word: "Task", instead: "a plain function", pureOnly: true),
        Ban(word: "random", instead: "a seeded generator passed in", pureOnly: true),
    ]
}

/// One source file, read once and shared by every check.
struct SourceFile: Sendable {
    let path: String
    let room: String
    let lines: [Substring]

    static let all: [SourceFile] = {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let sources = root.appending(path: "Sources")
        let walk = FileManager.default.enumerator(atPath: sources.path)
        var files: [SourceFile] = []
        while let path = walk?.nextObject() as? String {
            guard path.hasSuffix(".swift") else { continue }
            guard let text = try? String(contentsOf: sources.appending(path: path), encoding: .utf8)
            else { continue }
            let room = String(path.prefix { $0 != "/" })
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            files.append(SourceFile(path: "Sources/\(path)", room: room, lines: lines))
        }
        return files.sorted { $0.path < $1.path }
    }()

    var imports: [(line: Int, module: String)] {
        var found: [(Int, String)] = []
        for (index, line) in lines.enumerated() {
            guard let match = line.firstMatch(of: SourceFile.importLine) else { continue }
            found.append((index + 1, String(match.1)))
        }
        return found
    }

    private static var importLine: Regex<(Substring, Substring)> {
        /^(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:package|public|internal|private|fileprivate)\s+)?import\s+(?:(?:struct|class|enum|func|let|var|protocol|typealias)\s+)?(\w+)/
    }
}
