import Foundation

/// The lines of a gzip file, read through the `gzip` of the system.
package enum GzipLines {
    /// Calls `body` with each line, without its line feed, until it returns false.
    ///
    /// A line longer than `lineBytesMax` is cut there: nothing in a file may grow our memory.
    package static func forEach(
        in path: String, lineBytesMax: Int = RecordingReader.lineBytesMax,
        _ body: (ArraySlice<UInt8>) throws -> Bool
    ) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["gzip", "-dc", "--", path]
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        do {
            try process.run()
        } catch {
            throw SimulationError("gzip, to read \(path): \(error.localizedDescription)")
        }
        let output = pipe.fileHandleForReading
        let finished: Bool
        do {
            finished = try readLines(from: output, lineBytesMax, body)
        } catch {
            try output.close()
            process.waitUntilExit()
            throw error
        }
        // A closed pipe ends gzip; a signal might not, where we were started with it blocked.
        if !finished { try output.close() }
        process.waitUntilExit()
        guard !finished || process.terminationStatus == 0 else {
            throw SimulationError(
                "gzip ended with \(process.terminationStatus) on \(path):"
                    + " is it there, and a whole gzip file?")
        }
    }

    /// Whether the end was reached.
    private static func readLines(
        from handle: FileHandle, _ lineBytesMax: Int, _ body: (ArraySlice<UInt8>) throws -> Bool
    ) throws -> Bool {
        var line: [UInt8] = []
        while let data = try handle.read(upToCount: 65_536), !data.isEmpty {
            let chunk = [UInt8](data)
            var start = 0
            while let end = chunk[start...].firstIndex(of: UInt8(ascii: "\n")) {
                line.append(contentsOf: chunk[start..<end])
                guard try body(line.prefix(lineBytesMax)) else { return false }
                line.removeAll(keepingCapacity: true)
                start = end + 1
            }
            let room = max(0, lineBytesMax - line.count)
            line.append(contentsOf: chunk[start...].prefix(room))
        }
        if !line.isEmpty { return try body(line[...]) }
        return true
    }
}
