import Foundation

/// A mock cluster in a child process, driven by lines; it ends with `stop`, or with the test run.
///
/// Needs nothing but Foundation: copy the file to where another suite wants a broker.
final class BrokerProcess {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private(set) var bootstrap: String = ""
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private var unread: [UInt8] = []

    init(brokers: Int = 1, topics: [String] = []) throws {
        process.executableURL = try Self.binary()
        process.arguments = ["--brokers", "\(brokers)"] + topics.flatMap { ["--topic", $0] }
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        // Our copy of the child's end would keep the pipe open after the child is gone.
        try output.fileHandleForWriting.close()
        let ready = try line()
        guard ready.hasPrefix("READY ") else {
            throw Failure(description: "the mock broker said \(ready)")
        }
        bootstrap = String(ready.dropFirst(6))
    }

    deinit { stop() }

    var processIdentifier: Int32 { process.processIdentifier }
    var isRunning: Bool { process.isRunning }

    /// Sends one command and waits for its answer; anything but "ok" is thrown.
    func send(_ command: String) throws {
        try input.fileHandleForWriting.write(contentsOf: Data("\(command)\n".utf8))
        let answer = try line()
        guard answer == "ok" else { throw Failure(description: "\(command): \(answer)") }
    }

    func stop() {
        guard process.isRunning else { return }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// Closes its input, as the end of its parent would, and waits for it to end by itself.
    func endInput() throws {
        try input.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    private func line() throws -> String {
        while true {
            if let end = unread.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: unread[..<end], as: UTF8.self)
                unread.removeSubrange(...end)
                return line
            }
            let data = output.fileHandleForReading.availableData
            guard !data.isEmpty else { throw Failure(description: "the mock broker ended") }
            unread.append(contentsOf: data)
        }
    }

    /// The broker's binary lies where the tests' own binary lies.
    private static func binary() throws -> URL {
        let own = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        var folder = own.deletingLastPathComponent()
        for _ in 0..<4 {
            let candidate = folder.appending(path: "tocsin-mockbroker")
            if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
            folder = folder.deletingLastPathComponent()
        }
        throw Failure(description: "no tocsin-mockbroker beside \(own.path); swift build makes it")
    }
}
