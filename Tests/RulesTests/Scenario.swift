import Configuration
import Detection
import Fleet
import Foundation
import Testing

@testable import Rules
@testable import Telemetry

/// A small fleet whose every sample is a test's to choose, and what the rules make of it.
///
/// A scenario reads as a timeline: `play` lets time pass, a change of `behave` is a fault.
final class Scenario {
    /// What a device shows at one tick; nil is silence.
    typealias Behaviour = (_ second: Int, _ noise: inout Noise) -> [Metric: Float]?

    var vocabulary = Vocabulary()
    var directory = Directory()
    var detection: Detection
    var engine: RuleEngine
    /// Everything said so far, in order.
    var findings: [Finding] = []
    var shadow: [Finding] = []
    /// Seconds since the scenario began.
    private(set) var second = 0
    var batchSize = 64
    var period = 10
    var behaviours: [Behaviour] = []
    var tally = Tally()
    private(set) var ids: [String] = []
    private var hosts: [String] = []
    private var phases: [Int] = []
    private var partitions: [Partition] = []
    private var readings: [Int: [Metric: Double]] = [:]
    private var pendingFaults: [(device: Int, code: Int32, text: String, second: Int)] = []
    private var offsets: [Partition: Int64] = [:]
    private var noise = Noise(seed: 7)

    /// 2026-11-21T10:00:00Z, a Saturday.
    static let start: Int64 = 1_795_255_200_000

    /// Longer steps make weeks affordable.
    init(book: RuleBook, step: Int64 = 5_000) {
        engine = RuleEngine(book: book, vocabulary: &vocabulary)
        var settings = DetectionSettings()
        settings.stepMilliseconds = step
        detection = Detection(vocabulary: vocabulary, settings: settings)
        detection.serve(engine.needs)
    }

    /// The rules that the repository ships.
    static func shipped() throws -> RuleBook {
        let problems = Problems()
        guard let book = RuleBook.load(files: try shippedFiles(), problems: problems) else {
            throw Refused(problems: problems.sorted.map(\.description))
        }
        return book
    }

    static func shippedFiles() throws -> [(name: String, text: String)] {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appending(path: "rules")
        return try FileManager.default.contentsOfDirectory(atPath: root.path).sorted()
            .filter(RuleBook.isRuleFile)
            .map {
                ("rules/\($0)", try String(contentsOf: root.appending(path: $0), encoding: .utf8))
            }
    }

    /// The loader says what is wrong with `text`, and where, in these words among others.
    static func expectRefused(_ text: String, _ words: String) {
        do {
            _ = try book(text)
            Issue.record("it was taken")
        } catch let refused as Refused {
            #expect(refused.problems.contains { $0.contains(words) }, "\(refused.problems)")
            #expect(refused.problems.allSatisfy { $0.hasPrefix("test.yaml:") })
        } catch { Issue.record("\(error)") }
    }

    static func book(_ text: String) throws -> RuleBook { try book(text, zones: .empty) }

    static func book(_ text: String, zones: ZoneDatabase) throws -> RuleBook {
        let problems = Problems()
        let files = [("test.yaml", text)]
        guard let book = RuleBook.load(files: files, zones: zones, problems: problems) else {
            throw Refused(problems: problems.sorted.map(\.description))
        }
        return book
    }

    struct Refused: Error { let problems: [String] }

    /// Adds a host with its devices, and returns their numbers.
    @discardableResult
    func host(
        _ name: String, devices: Int = 8, vendor: String = "nvidia", job: String = "",
        service: String = "", rack: String = "r1", topic: String = "accel", partition: Int32 = 0,
        _ behaviour: @escaping Behaviour = Shape.training
    ) -> [Int] {
        (0..<devices).map { slot in
            var labels = Labels([.host: name, .slot: "\(slot)", .rack: rack, .cluster: "c1"])
            labels[.job] = job
            labels[.service] = service
            labels[.model] = "H100"
            labels[.team] = "llm"
            let number = ids.count
            ids.append("\(vendor)/\(name)-\(slot)")
            hosts.append(name)
            phases.append(name.utf8.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xffff })
            partitions.append(Partition(topic: topic, number: partition))
            behaviours.append(behaviour)
            _ = directory.register(
                ids[number], labels: labels, origin: partitions[number], at: instant(second))
            return number
        }
    }

    func behave(_ devices: [Int], _ behaviour: @escaping Behaviour) {
        for device in devices { behaviours[device] = behaviour }
    }

    func silence(_ devices: [Int]) { behave(devices) { _, _ in nil } }

    /// Gives devices another job, or none.
    func assign(_ devices: [Int], job: String) {
        for device in devices {
            var labels = directory.devices[device].labels
            labels[.job] = job
            _ = directory.register(
                ids[device], labels: labels, origin: partitions[device], at: instant(second))
        }
    }

    /// What devices say of themselves from now on.
    func label(_ devices: [Int], _ key: LabelKey, _ value: String) {
        for device in devices {
            var labels = directory.devices[device].labels
            labels[key] = value
            _ = directory.register(
                ids[device], labels: labels, origin: partitions[device], at: instant(second))
        }
    }

    /// Gives devices to another service.
    func rename(_ devices: [Int], service: String) {
        for device in devices {
            var labels = directory.devices[device].labels
            labels[.service] = service
            _ = directory.register(
                ids[device], labels: labels, origin: partitions[device], at: instant(second))
        }
    }

    /// A fault that is read a moment from now.
    func fault(_ device: Int, _ code: Int32, _ text: String = "", in seconds: Int = 0) {
        pendingFaults.append((device, code, text, second + seconds))
    }

    /// What a counter of a device reads from now on.
    func count(_ device: Int, _ metric: Metric, _ value: Double) {
        readings[device, default: [:]][metric] = value
    }

    func instant(_ second: Int) -> Instant {
        Instant(milliseconds: Scenario.start + Int64(second) * 1_000)
    }

    /// Lets time pass, a tick of each device per period; hosts tick at moments of their own.
    func play(minutes: Double) { play(seconds: Int(minutes * 60)) }

    func play(seconds: Int) {
        let end = second + seconds
        var batch = SampleBatch()
        var messages = 0
        let phases = distinctPhases
        while second < end {
            for fault in pendingFaults where fault.second == second {
                let partition = place(of: fault.device, in: &batch)
                batch.faults.append(
                    SampleBatch.Fault(
                        device: DeviceIndex(UInt32(fault.device)), partition: partition,
                        time: instant(second), offset: nextOffset(fault.device), code: fault.code,
                        text: fault.text))
                messages += 1
            }
            pendingFaults.removeAll { $0.second <= second }
            for device in ids.indices where (second + phase(device)) % period == 0 {
                tick(device, &batch)
                messages += 1
                if messages >= batchSize {
                    send(&batch)
                    messages = 0
                }
            }
            second += 1
            // Weeks of seconds in which nobody speaks are not worth looking at one by one.
            let wait = phases.map { (period - (second + $0) % period) % period }
            if pendingFaults.isEmpty { second = min(end, second + (wait.min() ?? end)) }
        }
        send(&batch)
    }

    /// The caller says that partitions were read to their end at this time.
    func caughtUp(_ topics: [(String, Int32)]) {
        findings += engine.advance(
            watermarks: topics.map { (Partition(topic: $0.0, number: $0.1), instant(second)) },
            detection: &detection, directory: &directory)
    }

    func send(_ batch: inout SampleBatch) {
        findings += engine.process(&batch, detection: &detection, directory: &directory)
        shadow += engine.takeShadow()
        tally.points += batch.tally.points
        tally.applied += batch.tally.applied
        tally.late += batch.tally.late
        tally.duplicate += batch.tally.duplicate
        batch.removeAll()
    }

    private var distinctPhases: [Int] { Array(Set(phases.map { $0 % period })) }

    private func phase(_ device: Int) -> Int { phases[device] % period }

    private func nextOffset(_ device: Int) -> Int64 {
        offsets[partitions[device], default: 0] += 1
        return offsets[partitions[device], default: 0]
    }

    private func place(of device: Int, in batch: inout SampleBatch) -> UInt16 {
        if let found = batch.partitions.firstIndex(of: partitions[device]) { return UInt16(found) }
        batch.partitions.append(partitions[device])
        return UInt16(batch.partitions.count - 1)
    }

    private func tick(_ device: Int, _ batch: inout SampleBatch) {
        guard let shown = behaviours[device](second, &noise) else { return }
        let partition = place(of: device, in: &batch)
        let offset = nextOffset(device)
        let counts = readings[device] ?? [:]
        let groups = Set(shown.keys.map(\.group) + counts.keys.map(\.group))
        for group in groups.sorted() {
            var lanes = SIMD16<Float>(repeating: .nan)
            for (metric, value) in shown where metric.group == group {
                lanes[metric.lane] = value
                batch.tally.points += 1
            }
            let row = Int32(batch.rows.count)
            let given =
                counts.keys.count { $0.group == group }
                + (0..<16).count { lanes[$0] == lanes[$0] }
            batch.rows.append(
                SampleBatch.Row(
                    device: DeviceIndex(UInt32(device)), group: UInt16(group),
                    partition: partition, time: instant(second), offset: offset,
                    points: UInt16(given)))
            batch.lanes.append(lanes)
            for (metric, value) in counts.sorted(by: { $0.key.rawValue < $1.key.rawValue })
            where metric.group == group {
                batch.readings.append(
                    SampleBatch.Reading(row: row, lane: UInt8(metric.lane), value: value))
                batch.tally.points += 1
            }
        }
    }
}

/// What was said, in short lines that a test can compare.
extension Scenario {
    /// `62s fired tel-device-absent device nvidia/h1-4`.
    var story: [String] { findings.map(line) }

    func line(_ finding: Finding) -> String {
        let second = (finding.at.milliseconds - Scenario.start) / 1_000
        return "\(second)s \(finding.edge.rawValue) \(finding.key)"
    }

    func fired(_ rule: String) -> [Finding] {
        findings.filter { $0.edge == .fired && $0.key.rule == rule }
    }

    var pages: [Finding] { findings.filter { $0.edge == .fired && $0.severity.isPage } }

    /// Seconds from `second` to the first edge of a rule.
    func delay(of rule: String, from second: Int) -> Int? {
        fired(rule).first.map { Int(($0.at.milliseconds - Scenario.start) / 1_000) - second }
    }
}

/// Repeatable noise: the same numbers for the same seed, anywhere.
struct Noise {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    /// Between 0 and 1 (splitmix64).
    mutating func uniform() -> Float {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return Float((z ^ (z >> 31)) >> 40) / 16_777_216
    }

    /// Near enough to a normal deviate for a test.
    mutating func normal(_ deviation: Float) -> Float {
        var sum: Float = -6
        for _ in 0..<12 { sum += uniform() }
        return sum * deviation
    }
}

/// How devices look that do what devices do.
enum Shape {
    static func training(_ second: Int, _ noise: inout Noise) -> [Metric: Float]? {
        [
            .utilBusy: min(1, 0.965 + noise.normal(0.01)),
            .utilTensor: 0.42 + noise.normal(0.006),
            .powerDraw: 640 + noise.normal(9), .powerLimit: 700,
            .tempCore: (62 + noise.normal(0.4)).rounded(),
            .clockCore: 1_980 - 15 * abs(noise.normal(1)), .clockCoreMax: 1_980,
            .throttleReasons: 0, .linkBytes: 1.2e11 * (1 + noise.normal(0.05)),
            .pcieBytes: 1e9 * (1 + noise.normal(0.1)), .memUsed: 7.36e10, .memTotal: 8e10,
            .hostDevicesVisible: 8, .linkHealth: 1, .pcieGenRatio: 1, .pcieWidthRatio: 1,
            .remapPending: 0, .remapFailed: 0,
        ]
    }

    /// A dip of 20 to 60 s every 35 minutes, as checkpoints make.
    static func checkpointing(_ second: Int, _ noise: inout Noise) -> [Metric: Float]? {
        var shown = training(second, &noise)
        let length = 20 + (second / 2_100 * 17) % 41
        guard second % 2_100 < length, second > 600 else { return shown }
        shown?[.utilBusy] = 0.04
        shown?[.utilTensor] = 0
        shown?[.powerDraw] = 190 + noise.normal(3)
        shown?[.linkBytes] = 1e7
        shown?[.pcieBytes] = 1e10
        return shown
    }

    static func idle(_ second: Int, _ noise: inout Noise) -> [Metric: Float]? {
        var shown = training(second, &noise)
        shown?[.utilBusy] = 0
        shown?[.utilTensor] = 0
        shown?[.powerDraw] = 74 + noise.normal(2)
        shown?[.tempCore] = 33
        shown?[.linkBytes] = 0
        shown?[.pcieBytes] = 0
        shown?[.memUsed] = 4e8
        shown?[.throttleReasons] = 1
        return shown
    }

    static func hung(_ second: Int, _ noise: inout Noise) -> [Metric: Float]? {
        var shown = training(second, &noise)
        shown?[.utilBusy] = 1
        shown?[.utilTensor] = 0
        shown?[.powerDraw] = 240 + noise.normal(1.5)
        shown?[.linkBytes] = 1e6
        shown?[.pcieBytes] = 1e5
        return shown
    }

    /// Training with some metrics set as given.
    static func training(with changes: [Metric: Float]) -> Scenario.Behaviour {
        { second, noise in
            var shown = training(second, &noise)
            for (metric, value) in changes { shown?[metric] = value }
            return shown
        }
    }

    static func tpu(_ second: Int, _ noise: inout Noise) -> [Metric: Float]? {
        [
            .utilBusy: 0.97 + noise.normal(0.01), .utilTensor: 0.45 + noise.normal(0.01),
            .memUsed: 2.8e10, .memTotal: 3.2e10,
        ]
    }
}
