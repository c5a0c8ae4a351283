import Fleet
import Foundation
import Telemetry
import Testing

@testable import Simulation

@Suite("Recordings") struct RecordingTests {
    private static let header =
        "timestamp,phase,gpu,gpu_model,power_w,temp_c,mem_used_mib,pcie_tx_bytes_s,pcie_rx_bytes_s"

    @Test func `a row becomes a tick in base units`() throws {
        let reader = try RecordingReader(header: RecordingTests.header.utf8)
        var row = RecordingReader.Row()
        try reader.read("1775016266.006,steady,3,NVIDIA H100,71.4,34,3,100,23".utf8, into: &row)
        #expect(row.tick.time == Instant(milliseconds: 1_775_016_266_006))
        #expect(row.device == 3 && row.phase == "steady" && row.values == 5)
        #expect(row.tick[.powerDraw] == 71.4)
        #expect(row.tick[.memUsed] == 3_145_728)
        #expect(row.tick[.pcieBytes] == 123)
        #expect(row.tick[.utilBusy].isNaN)
    }

    @Test func `what was not measured is missing, not zero`() throws {
        let reader = try RecordingReader(header: RecordingTests.header.utf8)
        var row = RecordingReader.Row()
        try reader.read("1,steady,3,NVIDIA H100,nan,,N/A,100,NaN".utf8, into: &row)
        #expect(row.values == 1)
        #expect(row.tick[.powerDraw].isNaN && row.tick[.tempCore].isNaN)
        #expect(row.tick[.pcieBytes] == 100)
    }

    struct Case: Sendable {
        let line: String
        let error: RecordingReader.LineError
    }

    @Test(arguments: [
        Case(line: "1,steady,3", error: .wrongFieldCount(wanted: 9, found: 3)),
        Case(line: "", error: .wrongFieldCount(wanted: 9, found: 1)),
        Case(line: "x,steady,3,m,1,1,1,1,1", error: .badTimestamp),
        Case(line: "1e300,steady,3,m,1,1,1,1,1", error: .badTimestamp),
        Case(line: "nan,steady,3,m,1,1,1,1,1", error: .badTimestamp),
        Case(line: "1,steady,-1,m,1,1,1,1,1", error: .badDevice),
        Case(line: "1,steady,1024,m,1,1,1,1,1", error: .badDevice),
        Case(line: String(repeating: "1", count: 4_097), error: .tooLong),
    ])
    func `a row that cannot be read says why`(_ one: Case) throws {
        let reader = try RecordingReader(header: RecordingTests.header.utf8)
        var row = RecordingReader.Row()
        #expect(throws: one.error) { try reader.read(one.line.utf8, into: &row) }
    }

    @Test func `a header without a device is refused`() {
        #expect(throws: SimulationError.self) {
            try RecordingReader(header: "timestamp,power_w".utf8)
        }
    }

    @Test func `a publisher counts every row, shifts time and cuts a device`() throws {
        var publisher = try RecordingPublisher(
            header: RecordingTests.header.utf8, format: .native, host: "rec-1",
            labels: Labels([.job: "t2", .workload: "train"]), shift: .seconds(100))
        var batch = MessageBatch()
        let cut = Instant(milliseconds: 105_000)
        for line in [
            "1,steady,0,m,1,1,1,1,1", "1,steady,1,m,1,1,1,1,1", "broken",
            "9,steady,0,m,1,1,1,1,1", "9,steady,1,m,1,nan,1,1,1",
        ] {
            publisher.publish(line.utf8, into: &batch) { device, time in
                device != 0 || time < cut
            }
        }
        let tally = publisher.tally
        #expect(tally.rows == 5 && tally.unreadable == 1)
        #expect(tally.filtered == 1 && tally.published == 3)
        #expect(batch.messages.map(\.points) == [4, 4, 3])
        #expect(tally.points == 11)
        #expect(batch.messages[2].eventTime == Instant(milliseconds: 109_000))
        let json = try object(batch, batch.messages[2])
        #expect(json["host"] as? String == "rec-1")
        #expect((json["labels"] as? [String: String])?["job"] == "t2")
        #expect(batch.keyText(of: batch.messages[0]) != batch.keyText(of: batch.messages[1]))
    }

    private static var folder: URL? {
        var directory = URL(filePath: #filePath).deletingLastPathComponent()
        while directory.path != "/" {
            let candidate = directory.appending(path: "shared/data/gpu-h100-workloads")
            if FileManager.default.fileExists(atPath: candidate.path) { return candidate }
            directory.deleteLastPathComponent()
        }
        return nil
    }

    @Test(arguments: ["b1", "t2"])
    func `a real recording is read to the last row`(_ name: String) throws {
        guard let folder = RecordingTests.folder else {
            print("recordings: none beside this checkout, skipped")
            return
        }
        let path = folder.appending(path: "\(name)_telemetry.csv.gz").path
        var publisher: RecordingPublisher?
        var batch = MessageBatch()
        var samples = 0
        var previous: [String: Instant] = [:]
        try GzipLines.forEach(in: path) { line in
            guard publisher != nil else {
                publisher = try RecordingPublisher(
                    header: line, format: .native, host: "rec-1", labels: Labels(),
                    shift: .seconds(60))
                return true
            }
            batch.removeAll()
            publisher?.publish(line, into: &batch)
            guard let message = batch.messages.first else { return true }
            let id = batch.keyText(of: message)
            #expect(message.eventTime > previous[id] ?? .distantPast)
            previous[id] = message.eventTime
            samples += 1
            if samples % 500 == 0 {
                let values = try #require(try object(batch, message)["m"] as? [String: Double])
                #expect(values.count == message.points)
            }
            return true
        }
        let tally = try #require(publisher).tally
        #expect(tally.unreadable == 0)
        #expect(tally.rows == (name == "b1" ? 26_272 : 24_696))
        #expect(tally.published == tally.rows)
        #expect(previous.count == 8)
        #expect(tally.points > tally.rows * 10)
    }

    @Test func `a file that is not there is reported, not read as empty`() {
        #expect(throws: SimulationError.self) {
            try GzipLines.forEach(in: "/nonexistent/file.gz") { _ in true }
        }
    }

    @Test func `reading stops when it is told to`() throws {
        guard let folder = RecordingTests.folder else {
            print("recordings: none beside this checkout, skipped")
            return
        }
        var lines = 0
        try GzipLines.forEach(in: folder.appending(path: "b1_telemetry.csv.gz").path) { _ in
            lines += 1
            return lines < 3
        }
        #expect(lines == 3)
    }
}
