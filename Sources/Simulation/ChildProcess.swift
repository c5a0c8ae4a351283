import Foundation
import Observability

/// A program that we started and that ends with us.
package final class ChildProcess {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()

    /// Starts the program `name` that lies beside this one; `errors` takes its standard error.
    package init(_ name: String, _ arguments: [String], errors: String) throws(SimulationError) {
        let own =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        let folder = own.prefix(upTo: own.lastIndex(of: "/") ?? own.startIndex)
        let path = "\(folder)/\(name)"
        guard FileManager.default.isExecutableFile(atPath: path) else {
            throw SimulationError(
                "\(path) is missing: build it with `swift build --product \(name)`")
        }
        guard FileManager.default.createFile(atPath: errors, contents: nil) else {
            throw SimulationError("cannot write \(errors)")
        }
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        process.environment = Supervisor.environmentForChildren
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle(forWritingAtPath: errors)
        do {
            try process.run()
        } catch {
            throw SimulationError("\(path) does not start: \(error.localizedDescription)")
        }
    }

    deinit { end() }

    var isRunning: Bool { process.isRunning }
    var identifier: Int32 { process.processIdentifier }

    /// The next line that it prints; nil where it ended instead.
    package func line() -> String? {
        var bytes: [UInt8] = []
        while let byte = try? output.fileHandleForReading.read(upToCount: 1)?.first {
            guard byte != 10 else { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(byte)
        }
        return nil
    }

    /// Asks it to end, waits up to ten seconds, and then insists.
    package func end() {
        guard process.isRunning else { return }
        process.terminate()
        let deadline = Date().addingTimeInterval(10)
        while process.isRunning, Date() < deadline { Thread.sleep(forTimeInterval: 0.02) }
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
    }
}
