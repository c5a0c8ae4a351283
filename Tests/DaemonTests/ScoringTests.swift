import Foundation
import Testing

@testable import Daemon

/// `tocsin score`.
@Suite("Scoring") struct ScoringTests {
    private let folder = FileManager.default.temporaryDirectory
        .appending(path: "tocsin-scoring-\(UUID().uuidString)")

    private func write(_ text: String, _ name: String = "a/one.csv") throws {
        let file = folder.appending(path: "in/\(name)")
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
    }

    private func run(
        _ profile: String = "sensitive", multivariate: Bool = false
    ) throws -> (tally: Scoring.Tally, said: [String]) {
        var scoring = try #require(
            Scoring(
                input: folder.appending(path: "in").path,
                output: folder.appending(path: "out").path, profile: profile))
        scoring.explains = true
        scoring.isMultivariate = multivariate
        var said: [String] = []
        let tally = try scoring.run { said.append($0) }
        return (tally, said)
    }

    private func lines(_ name: String = "a/one.csv") throws -> [Substring] {
        let file = folder.appending(path: "out/\(name)")
        return try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
    }

    /// Five days of every five minutes, with a spike near the end.
    private func recording(zone: String = "") -> String {
        var text = "timestamp,value\n"
        for step in 0..<1_440 {
            let day = step / 288 + 1
            let minute = step % 288 * 5
            let time = String(format: "2014-03-%02d %02d:%02d:00", day, minute / 60, minute % 60)
            let value = step == 1_400 ? 91.5 : 50 + Double(step * 7_919 % 101) / 100
            text += "\(time)\(zone),\(value)\n"
        }
        return text
    }

    @Test func `a spike has a score of a half or more, all else 0`() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        try write(recording())
        let (tally, said) = try run()
        #expect(tally.files == 1 && tally.rows == 1_440 && tally.alerts == 1)
        let lines = try lines()
        #expect(lines.count == 1_441)
        #expect(lines[0] == "timestamp,value,anomaly_score,label")
        for (index, line) in lines.enumerated().dropFirst() {
            let cells = line.split(separator: ",")
            let score = try #require(Double(cells[2]))
            #expect(cells.count == 4 && cells[3] == "0")
            #expect(index == 1_401 ? score >= 0.5 && score < 1 : score == 0, "line \(index)")
        }
        #expect(lines[1_401].hasPrefix("2014-03-05 20:40:00,91.5,"))
        #expect(said.count == 1 && said[0].hasPrefix("a/one.csv:1402 2014-03-05 20:40:00,91.5"))
        #expect(said[0].contains("left the range 50 to 51 that it had kept"))
    }

    @Test func `what comes later changes nothing before`() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let all = recording()
        let part = all.split(separator: "\n").prefix(1_410).joined(separator: "\n") + "\n"
        try write(all, "a/all.csv")
        try write(part, "a/part.csv")
        _ = try run()
        #expect(try lines("a/part.csv") == Array(try lines("a/all.csv").prefix(1_410)))
    }

    @Test func `zones, carriage returns, empty cells and scored files are taken`() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let text = recording(zone: "Z").replacing("\n", with: "\r\n")
        try write(text.replacing("2014-03-02 00:00:00Z,", with: "2014-03-02 00:00:00Z,nan"))
        try write(
            try String(contentsOf: folder.appending(path: "in/a/one.csv"), encoding: .utf8)
                .replacing("nan5", with: ",5").replacing("\r", with: ""), "a/bad.csv")
        #expect(throws: StartFailure.self) { try run() }
        try FileManager.default.removeItem(at: folder.appending(path: "in/a"))
        try write(text)
        #expect(try run().tally.alerts == 1)
        let scored = try String(
            contentsOf: folder.appending(path: "out/a/one.csv"), encoding: .utf8)
        try write(scored)
        #expect(try run().tally.alerts == 1)
        let (tally, said) = try { () throws in
            try write(
                "timestamp,value\n2014-03-01 00:00:00,\n2014-03-01 00:05:00, NaN\n"
                    + "2014-03-01 00:10:00,1\n2014-03-01 00:00:00,1\n")
            return try run()
        }()
        #expect(tally.rows == 4 && tally.skipped == 3)
        #expect(said == ["a/one.csv: 3 rows without a number, or back in time, score 0"])
    }

    @Test(arguments: [
        ("2014-03-01 00:00:00,1\n2014-03-01 00:05:00,x1\n", ":3: 'x1' in column 'value'"),
        ("2014-03-01 00:00:00,1\n2014-02-30 00:05:00,1\n", ":3: '2014-02-30 00:05:00' is no time"),
        ("1393632000,1\n", ":2: '1393632000' is no time"),
        ("2014-03-01 00:00:00\n", ":2: 1 cells where the header has 2"),
        ("2014-03-01 00:00:00,1,2\n", ":2: 3 cells where the header has 2"),
        ("\u{0},\u{FFFD}\n", ":2: "),
    ])
    func `a row that cannot be read is named by file and line`(
        _ rows: String, _ words: String
    ) throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        try write("timestamp,value\n" + rows)
        do {
            _ = try run()
            Issue.record("it was read")
        } catch let error as StartFailure {
            #expect(
                error.kind == .dataError && error.reason.contains("one.csv\(words)"), "\(error)")
        }
        #expect(
            !FileManager.default.fileExists(atPath: folder.appending(path: "out/a/one.csv").path))
    }

    @Test(arguments: [
        ("", "no rows"), ("\n\n", "no rows"), ("time,value\n", ":1: the header must be"),
        ("timestamp\n", ":1: the header must be"),
        ("timestamp,anomaly_score\n", ":1: the header names no value column"),
        ("timestamp,a,b\n", ":1: there are 2 value columns; --multivariate"),
    ])
    func `a header that is none is refused`(_ text: String, _ words: String) throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        try write(text)
        do {
            _ = try run()
            Issue.record("it was read")
        } catch let error as StartFailure {
            #expect(error.reason.contains(words), "\(error)")
        }
    }

    @Test func `several columns of one device have one score`() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        var text = "timestamp,power,label,temperature\n"
        for (index, line) in recording().split(separator: "\n").dropFirst().enumerated() {
            text += "\(line),0,\(index == 700 ? "" : "41.\(index % 7)")\n"
        }
        try write(text)
        let (tally, said) = try run(multivariate: true)
        #expect(tally.rows == 1_440 && tally.skipped == 0)
        #expect(
            said.contains { $0.hasPrefix("a/one.csv:1402 ") && $0.contains("power: ") }, "\(said)")
        let lines = try lines()
        #expect(lines[0] == "timestamp,value,anomaly_score,label")
        #expect(lines[701].hasPrefix("2014-03-03 10:20:00,50.") && lines[701].hasSuffix(",0.0,0"))
    }

    @Test func `no folder, an empty one and an unknown profile are refused`() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        #expect(throws: StartFailure.self) { try run() }
        try FileManager.default.createDirectory(
            at: folder.appending(path: "in"), withIntermediateDirectories: true)
        #expect(throws: StartFailure.self) { try run() }
        #expect(Scoring(input: "a", output: "b", profile: "loud") == nil)
    }
}
