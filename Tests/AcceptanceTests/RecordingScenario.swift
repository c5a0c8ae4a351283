import Console
import Fleet
import Foundation
import Simulation
import Testing

/// Five recordings of eight real GPUs side by side, as if they ended now; one GPU is cut off.
struct RecordingScenario {
    private struct Source {
        let lines: [[UInt8]]
        let times: [Int64]
        var publisher: RecordingPublisher
        let shift: Duration
        let host: String
        var next = 0
    }

    private let bootstrap: String
    private let folder: String

    /// Which device of which host falls silent, and how long before the end.
    private static let cut = (host: "rec-t3-native", device: 5, before: Duration.seconds(120))
    private static let files: [(name: String, host: String, format: PayloadFormat)] = [
        ("b1", "rec-b1-telegraf", .telegraf(.milliseconds)), ("b1", "rec-b1-native", .native),
        ("t2", "rec-t2-telegraf", .telegraf(.milliseconds)), ("t3", "rec-t3-native", .native),
        ("e2", "rec-e2-native", .native),
    ]
    /// The broker keeps 5 MiB of each of four partitions: some ten thousand messages.
    private static let inFlightMax: Int64 = 12_000

    /// Nil where there are no recordings.
    init?(_ bootstrap: String) throws {
        guard let folder = Site.shared("data/gpu-h100-workloads") else { return nil }
        self.bootstrap = bootstrap
        self.folder = folder.path
    }

    func play(on site: Site) throws {
        var wishes = Site.Wishes()
        wishes.topics = [("telemetry", "auto")]
        try site.configure(bootstrap, wishes)
        let daemon = try site.start()
        let end = wallClock()
        var sources = try Self.files.map { try source("\($0.name)", $0.host, $0.format, end) }
        try daemon.waitUntilReady()

        var publisher = try Publisher(bootstrap, topic: "telemetry")
        // In steps of a second, so that no host is far ahead of the others.
        let cutAt = end - Self.cut.before
        let start = sources.map { $0.times[0] }.min() ?? 0
        var batch = MessageBatch()
        for second in stride(from: start, through: end.milliseconds + 1_000, by: 1_000) {
            batch.removeAll()
            for index in sources.indices {
                Self.publish(&sources[index], before: second, cutAt, into: &batch)
            }
            try publisher.publish(batch)
            try publisher.wait(for: daemon, behindAtMost: Self.inFlightMax)
        }
        try publisher.flush()
        let published = Int64(publisher.published)
        try eventually("all of it is read", within: 60) {
            try daemon.stored("telemetry") == published ? true : nil
        }
        try count(daemon, sources)
        try judge(daemon, cutAt)
        daemon.signal(SIGTERM)
        try daemon.requireOrderlyEnd()
    }

    private func source(
        _ name: String, _ host: String, _ format: PayloadFormat, _ end: Instant
    ) throws -> Source {
        var header: [UInt8] = []
        var lines: [[UInt8]] = []
        var times: [Int64] = []
        try GzipLines.forEach(in: "\(folder)/\(name)_telemetry.csv.gz") { line in
            guard !header.isEmpty else {
                header = Array(line)
                return true
            }
            let stamp = line.prefix { $0 != UInt8(ascii: ",") }
            guard let seconds = Double(String(decoding: stamp, as: UTF8.self)) else {
                throw Trouble("\(name): a row without a time")
            }
            lines.append(Array(line))
            times.append(Int64((seconds * 1_000).rounded()))
            return true
        }
        let last = times.max() ?? 0
        let shift = Duration.milliseconds(end.milliseconds - last)
        return Source(
            lines: lines, times: times.map { $0 + shift.milliseconds },
            publisher: try RecordingPublisher(
                header: header, format: format, host: host, labels: Labels([.cluster: "recorded"]),
                shift: shift), shift: shift, host: host)
    }

    private static func publish(
        _ source: inout Source, before limit: Int64, _ cutAt: Instant,
        into batch: inout MessageBatch
    ) {
        let isCut = source.host == cut.host
        while source.next < source.lines.count, source.times[source.next] < limit {
            source.publisher.publish(source.lines[source.next], into: &batch) { device, time in
                !(isCut && device == cut.device && time >= cutAt)
            }
            source.next += 1
        }
    }

    private func count(_ daemon: DaemonProcess, _ sources: [Source]) throws {
        let tallies = sources.map(\.publisher.tally)
        let points = tallies.reduce(0) { $0 + Int($1.points) }
        let metrics = try daemon.metrics()
        func outcome(_ name: String) -> Int {
            metrics["tocsin_point_outcomes_total{outcome=\"\(name)\"}"]
        }
        let read = metrics.sum("tocsin_points_total")
        let words = metrics.samples.filter { $0.key.contains("point_outcomes") && $0.value > 0 }
        try require(read == points, "\(points) points were published and \(read) read")
        try require(
            metrics.sum("tocsin_point_outcomes_total") == points,
            "\(points) points, and not every one ends: \(words)")
        try require(outcome("applied") > points * 9 / 10, "few are applied: \(words)")
        try require(
            tallies.allSatisfy { $0.rows > 20_000 && $0.unreadable == 0 }
                && tallies.reduce(0) { $0 + $1.filtered } > 500, "\(tallies)")
        try require(
            metrics["tocsin_messages_total{outcome=\"dead_letter\"}"] == 0
                && metrics["tocsin_devices"] == 8 * sources.count, "\(metrics.samples)")
    }

    private func judge(_ daemon: DaemonProcess, _ cutAt: Instant) throws {
        var feed = try Feed(bootstrap)
        let lost = RecordingPublisher.identity(ofDevice: Self.cut.device, on: Self.cut.host).id
        let page = try feed.first("the page for the GPU that was cut off", within: 20) {
            $0.page.kind == "page" && $0.page.devices == [lost]
        }
        try eventually("the deliveries are over", within: 30) {
            try feed.poll()
            return try daemon.metrics()["tocsin_outbox_deliveries"] == 0 ? true : nil
        }
        let others = feed.pages.filter { $0.page.incident != page.page.incident }
        try require(others.isEmpty, "recordings without a fault, and pages: \(others)")
        try require(page.page.rules == ["tel-device-absent"], "\(page)")

        let incident = try daemon.incident(page.page.incident)
        let finding = try #require(incident.history?.findings.first)
        let since = finding.since.instant
        try require(
            since <= cutAt && since >= cutAt - .seconds(1),
            "last seen at \(since.rfc3339), cut off at \(cutAt.rfc3339)")
        // Event time that had passed since its last sample when it was called absent.
        let silence = try #require(finding.evidence.first { $0.name == "silence" }?.value)
        try require((60...75).contains(silence), "absent after \(silence) s")
        feed.close()
    }
}
