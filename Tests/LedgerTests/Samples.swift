import Escalation
import Fleet
import Foundation
import Incidents
import Rules

/// A state directory of its own that is gone when the test is over.
final class Scratch {
    let path: String

    init() throws {
        path =
            FileManager.default.temporaryDirectory
            .appending(path: "tocsin-ledger-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    subscript(name: String) -> String { "\(path)/\(name)" }
}

func at(_ seconds: Int) -> Instant {
    Instant(milliseconds: 1_780_000_000_000 + Int64(seconds) * 1_000)
}

func finding(_ name: String, _ edge: Finding.Edge = .fired, at time: Instant = at(0)) -> Finding {
    var finding = Finding(
        key: Finding.Key(rule: "gpu-off-bus", subject: Entity(kind: .device, name: name)),
        edge: edge, since: time, at: time, severity: .critical, tier: .one, symptom: "off-bus",
        devices: [name], labels: Labels([.host: "node-1", .team: "<b>ml</b>"]),
        summary: "\(name) is silent", partition: Partition(topic: "t", number: 3), offset: 17)
    finding.evidence = [
        Finding.Evidence(name: "age", value: 93.5, unit: "s", against: "threshold 60"),
        Finding.Evidence(name: "power", value: .nan, unit: "W", against: ""),
        Finding.Evidence(name: "slope", value: -.infinity, unit: "", against: ""),
    ]
    return finding
}

func record(_ id: String, _ phase: Episode.Phase = .open, at time: Instant = at(0)) -> CaseRecord {
    let incident = Incident(
        id: id, route: "default", blame: Entity(kind: .host, name: "node-1"), symptom: "off-bus",
        finding: finding("nvidia/GPU-\(id)", at: time), heardAt: time)
    var episode = Episode()
    episode.phase = phase
    episode.generation = 1
    return CaseRecord(incident: incident, episode: episode)
}

func delivery(_ incident: String, _ destination: String, at time: Instant = at(0)) -> Delivery {
    let brief = Brief(
        title: "off-bus", summary: "gone", blame: Entity(kind: .host, name: "node-1"),
        symptom: "off-bus", severity: .critical, since: time)
    let page = Page(
        id: "PAGE-\(incident)", kind: .page, reason: .first, incident: incident, generation: 1,
        round: 0, tier: .one, at: time,
        recipients: [Recipient(name: "ana", channels: [destination])], brief: brief)
    return Delivery(destination: destination, page: page)
}

func entry(_ incident: String, _ detail: String = "", at time: Instant = at(0)) -> AuditEntry {
    AuditEntry(
        at: time, actor: "engine", via: "stream", type: "incident.opened", incident: incident,
        detail: detail)
}

func device(_ id: String) throws -> Device {
    var directory = Directory(devicesMax: 1)
    let index = directory.register(
        id, labels: Labels([.host: "node-1"]), origin: Partition(topic: "t", number: 3), at: at(0))
    return directory[index ?? DeviceIndex(0)]
}

/// What two equal states have in common: JSON with sorted keys.
func text(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
        positiveInfinity: "+Inf", negativeInfinity: "-Inf", nan: "NaN")
    return String(decoding: try encoder.encode(value), as: UTF8.self)
}
