package import Fleet
import Foundation
import Kafka
import Synchronization

/// One CloudEvent of the topic of alerts, as a reader of it sees it.
package struct Alert: Sendable {
    package let kind: String
    package let reason: String
    package let incident: String
    package let tier: Tier
    package let severity: Severity
    package let at: Instant
    package let since: Instant
    package let title: String
    package let summary: String
    package let runbook: String
    package let rules: [String]
    package let evidence: [String]
    package let recipients: [String]
    package let devices: [String]
    package let blame: Entity
    package let costPerHour: Money

    /// Reads the event; nil where it is none of ours.
    package init?(_ bytes: [UInt8]) {
        struct Event: Decodable {
            struct Blame: Decodable { let kind, name: String }
            struct Page: Decodable {
                let kind, reason, incident, at, since, title, summary, runbook: String
                let tier, severity: Int
                let rules, evidence, recipients, devices: [String]
                let blame: Blame
                let costPerHourDollars: Double
            }
            let data: Page
        }
        guard let page = try? JSONDecoder().decode(Event.self, from: Data(bytes)).data,
            let tier = Tier(rawValue: page.tier), let severity = Severity(rawValue: page.severity),
            let at = Instant(rfc3339: page.at.utf8), let since = Instant(rfc3339: page.since.utf8),
            let entity = EntityKind(rawValue: page.blame.kind)
        else { return nil }
        kind = page.kind
        reason = page.reason
        incident = page.incident
        self.tier = tier
        self.severity = severity
        self.at = at
        self.since = since
        title = page.title
        summary = page.summary
        runbook = page.runbook
        rules = page.rules
        evidence = page.evidence
        recipients = page.recipients
        devices = page.devices
        blame = Entity(kind: entity, name: page.blame.name)
        costPerHour = Money(dollars: page.costPerHourDollars)
    }
}

/// Follows the topic of alerts on a thread of its own, as any subscriber would.
package final class AlertReader: Sendable {
    private let arrived = Mutex<[Alert]>([])
    private let isStopping = Atomic(false)
    private let hasStopped = Atomic(false)

    package init(bootstrap: String, topic: String) {
        let thread = Thread { [self] in
            do throws(KafkaError) {
                try follow(bootstrap, topic)
            } catch {
                // The demonstration then shows no page, and ends with what it missed.
            }
            hasStopped.store(true, ordering: .releasing)
        }
        thread.name = "alerts"
        thread.start()
    }

    /// What came since the last call.
    package func take() -> [Alert] {
        arrived.withLock { alerts in
            defer { alerts.removeAll() }
            return alerts
        }
    }

    package func stop() {
        isStopping.store(true, ordering: .releasing)
        for _ in 0..<200 where !hasStopped.load(ordering: .acquiring) {
            Thread.sleep(forTimeInterval: 0.02)
        }
    }

    private func follow(_ bootstrap: String, _ topic: String) throws(KafkaError) {
        var consumer = try Consumer.open(
            ["bootstrap.servers": bootstrap, "group.id": "alert-reader"], topics: [topic],
            start: { _ in .earliest })
        do throws(KafkaError) {
            while !isStopping.load(ordering: .acquiring) {
                _ = try consumer.poll(milliseconds: 50) { _, payload, _ in
                    guard let payload else { return }
                    let bytes = [UInt8](capacity: payload.count) { copy in
                        for index in payload.indices { copy.append(payload[index]) }
                    }
                    guard let alert = Alert(bytes) else { return }
                    arrived.withLock { $0.append(alert) }
                }
                while consumer.nextEvent() != nil {}
            }
        } catch {
            _ = consumer.close(milliseconds: 500)
            throw error
        }
        _ = consumer.close(milliseconds: 1_000)
    }
}
