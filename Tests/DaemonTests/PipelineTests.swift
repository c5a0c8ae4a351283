import Configuration
import Fleet
import Foundation
import Rules
import Testing

@testable import Daemon

/// The shipped rules over hand-made messages: seven hosts with three GPUs each on three partitions.
@Suite struct PipelineTests {
    @Test func `after a backlog read at once, a gap in the stream is nobody's absence`() throws {
        var stage = try Stage()
        for partition in 0..<3 { try stage.read(partition, stride(from: 0, to: 200, by: 10)) }
        #expect(stage.judge().isEmpty)
        for second in stride(from: 320, to: 400, by: 10) {
            for partition in 0..<3 {
                try stage.read(partition, [second])
                #expect(stage.judge().map(\.summary) == [], "at \(second) s")
            }
        }
    }

    @Test func `a partition that is read to its end goes as far as it is told`() throws {
        var stage = try Stage()
        for second in stride(from: 0, to: 100, by: 10) {
            for partition in 0..<3 { try stage.read(partition, [second]) }
            #expect(stage.judge().isEmpty)
        }
        // The last sample is of 90 s; a host counts as absent 90 s later.
        for second in stride(from: 100, to: 300, by: 10) {
            for partition in 0..<2 { try stage.read(partition, [second]) }
            let found = stage.judge(caughtUp: [2], upTo: min(second, 170))
            #expect(found.isEmpty, "at \(second) s: \(found.map(\.summary))")
        }
        var silent: Set<String> = []
        for second in stride(from: 300, to: 400, by: 10) {
            for partition in 0..<2 { try stage.read(partition, [second]) }
            silent.formUnion(
                stage.judge(caughtUp: [2], upTo: second).map(\.key.description))
        }
        #expect(silent == ["tel-host-absent on host h-2", "tel-host-absent on host h-5"])
    }

    @Test func `a restart counts silence from where the stream goes on, not from an old roster`()
        throws
    {
        var earlier = try Stage()
        for partition in 0..<3 { try earlier.read(partition, [0]) }
        _ = earlier.judge()
        // The roster is up to a minute older than the positions stored with it; here by much more.
        var stage = try Stage(roster: earlier.devices)
        #expect(stage.judge(caughtUp: [0, 1, 2], upTo: nil).isEmpty)
        var silent: Set<String> = []
        for second in stride(from: 200, to: 400, by: 10) {
            for partition in 0..<2 { try stage.read(partition, [second]) }
            let found = stage.judge(caughtUp: [2], upTo: second)
            if second < 290 { #expect(found.isEmpty, "at \(second) s: \(found.map(\.summary))") }
            silent.formUnion(found.map(\.key.description))
        }
        // What vanished while nobody watched is missed all the same.
        #expect(silent == ["tel-host-absent on host h-2", "tel-host-absent on host h-5"])
    }
}

private struct Stage: ~Copyable {
    private static let start = Instant(milliseconds: 1_795_263_565_044)
    private var pipeline: Pipeline

    var devices: [Device] { pipeline.directory.devices }

    init(roster: [Device] = []) throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let folder = try #require(
            RuleFolder.load(
                root.appending(path: "rules").path, destinations: nil, problems: Problems()))
        pipeline = Pipeline(
            book: folder.book, formats: [:], decoding: Settings().decoding, devicesMax: 100,
            roster: roster, firing: [])
        pipeline.know((0..<3).map { Partition(topic: "t", number: $0) })
        pipeline.begin()
    }

    /// The messages of all hosts of one partition, in the order in which the broker has them.
    mutating func read(_ partition: Int, _ seconds: some Sequence<Int>) throws {
        for second in seconds {
            let time = Stage.start + .seconds(second)
            for device in 0..<21 where device / 3 % 3 == partition {
                let text = """
                    {"v":1,"ts":\(time.milliseconds),"device":"nvidia/GPU-\(device)",\
                    "host":"h-\(device / 3)","index":\(device % 8),\
                    "m":{"power.draw":90.\(second),"temp.core":41}}
                    """
                let bytes = Array(text.utf8)
                try pipeline.read(
                    bytes.span, partition: partition, offset: 0, recordTime: time, now: time)
            }
        }
    }

    /// Ends the batch and begins the next one.
    mutating func judge(caughtUp: [Int] = [], upTo second: Int? = nil) -> [Finding] {
        let limit = second.map { Stage.start + .seconds($0) }
        defer { pipeline.begin() }
        return pipeline.judge(caughtUp: caughtUp, upTo: limit).findings
    }
}
