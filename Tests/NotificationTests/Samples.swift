import Escalation
import Fleet
import Foundation
import HTTP
import Notification
import Synchronization
import Testing

let start = Instant(milliseconds: 1_795_248_720_000)  // 2026-11-21T08:12:00Z
let bell = Instance(
    cluster: "dc 1", name: "a/b", version: "1.2.3", consoleURL: "https://tocsin.example")

func samplePage(
    _ number: Int = 1, _ kind: Page.Kind = .page, incident: String = "INC-7K2M9QXW4E",
    severity: Severity = .critical, at: Instant = start, edit: (inout Brief) -> Void = { _ in }
) -> Page {
    var brief = Brief(
        title: "GPU fell off the bus", summary: "XID 79, then silence for 90 s (threshold 60 s)",
        blame: Entity(kind: .device, name: "nvidia/GPU-6b0d549b-1c2d-4e5f-8a9b-0c1d2e3f4a5b"),
        symptom: "off-bus", severity: severity, since: start - .seconds(720))
    brief.devices = ["nvidia/GPU-6b0d549b-1c2d-4e5f-8a9b-0c1d2e3f4a5b", "nvidia/GPU-2"]
    brief.deviceCount = 8
    brief.labels = Labels([.rack: "r17", .host: "gpu-node-0017", .job: "llm-pretrain"])
    brief.rules = ["gpu-off-bus"]
    brief.acceleratorsLost = 8
    brief.costPerHour = Money(dollars: 55.04)
    brief.costTotal = Money(dollars: 11.01)
    brief.runbook = "Drain the node, then reset the GPU or power-cycle the host."
    edit(&brief)
    return Page(
        id: "PAGE\(number)", kind: kind, reason: kind == .resolved ? .resolved : .first,
        incident: incident, generation: 1, round: 1, tier: .one, at: at,
        recipients: [Recipient(name: "ana", channels: ["hook"])], brief: brief)
}

func sampleDelivery(
    _ number: Int = 1, _ kind: Page.Kind = .page, to destination: String = "hook",
    incident: String = "INC-7K2M9QXW4E", severity: Severity = .critical, at: Instant = start
) -> Delivery {
    Delivery(
        destination: destination,
        page: samplePage(number, kind, incident: incident, severity: severity, at: at))
}

/// A clock that a test moves.
final class Clock: Sendable {
    private let time = Mutex(start)
    var now: Instant { time.withLock { $0 } }
    func advance(_ by: Duration) { time.withLock { $0 += by } }
}

/// Gathers what happens on other threads; whoever waits gets it or gives up after a minute.
final class Collector<Element: Sendable>: Sendable {
    private let condition = NSCondition()
    private let elements = Mutex<[Element]>([])

    func add(_ element: Element) {
        condition.lock()
        elements.withLock { $0.append(element) }
        condition.broadcast()
        condition.unlock()
    }

    var all: [Element] { elements.withLock { $0 } }

    func first(_ count: Int) -> [Element] {
        let limit = Date(timeIntervalSinceNow: 60)
        condition.lock()
        defer { condition.unlock() }
        while elements.withLock({ $0.count }) < count {
            guard condition.wait(until: limit) else { break }
        }
        return all
    }
}

/// A channel that answers what it is told, in order, and `delivered` after that.
final class Script: Channel {
    private let attempts: Mutex<[Attempt]>
    let sent = Collector<Delivery>()

    init(_ attempts: [Attempt] = []) { self.attempts = Mutex(attempts) }

    func send(_ delivery: Delivery, at now: Instant) -> Attempt {
        sent.add(delivery)
        return attempts.withLock { $0.isEmpty ? .delivered(code: 200) : $0.removeFirst() }
    }
}

let refused = Attempt.retry(after: nil, code: 503, reason: "HTTP 503")
