import Fleet
import Foundation
import Kafka
import Simulation

/// Writes telemetry as an agent would, and knows what became of each record.
struct Publisher: ~Copyable {
    private var producer: Producer
    private let topic: String
    /// Records handed over; their tokens count from 0.
    private(set) var published = 0
    private var failures: [String] = []
    /// Records that the daemon had read and stored when it was asked last.
    private var stored: Int64 = 0

    init(_ bootstrap: String, topic: String) throws {
        producer = try Producer.open(["bootstrap.servers": bootstrap])
        self.topic = topic
    }

    mutating func publish(_ batch: MessageBatch, partition: Int32? = nil) throws {
        for message in batch.messages {
            try publish(
                Array(batch.bytes[message.payload]), key: Array(batch.bytes[message.key]),
                partition: partition)
        }
    }

    mutating func publish(
        _ value: [UInt8]?, key: [UInt8]? = nil, partition: Int32? = nil
    ) throws {
        while true {
            do throws(KafkaError) {
                try producer.produce(
                    topic: topic, partition: partition, key: key, value: value,
                    token: UInt64(published))
                published += 1
                if published % 1_000 == 0 { take(waiting: 0) }
                return
            } catch {
                guard error.kind == .queueFull else { throw error }
                take(waiting: 20)
            }
        }
    }

    /// Waits until every record is written.
    mutating func flush(within seconds: Double = 60) throws {
        let end = ContinuousClock.now + .seconds(seconds)
        while producer.waiting > 0 {
            take(waiting: 50)
            guard ContinuousClock.now < end else {
                throw Trouble("\(producer.waiting) records were not written")
            }
        }
        take(waiting: 0)
        guard failures.isEmpty else { throw Trouble("not written: \(failures[0])") }
    }

    /// Waits where the daemon is so far behind that the broker might drop what it did not read.
    mutating func wait(for daemon: DaemonProcess, behindAtMost count: Int64) throws {
        guard Int64(published) - stored > count else { return }
        stored = try eventually("the daemon comes after", within: 60) {
            take(waiting: 0)
            let stored = try daemon.stored(topic)
            // Half, so that it is not asked again and again.
            return Int64(published) - stored <= count / 2 ? stored : nil
        }
    }

    private mutating func take(waiting milliseconds: Int32) {
        for report in producer.poll(milliseconds: milliseconds) {
            if let error = report.error { failures.append(error.description) }
        }
    }
}

/// One CloudEvent of the topic of alerts.
struct Event {
    struct Page: Decodable {
        struct Blame: Decodable { let kind, name: String }
        let id, kind, reason, incident, at, since, title, summary: String
        let tier, severity, round: Int
        let rules, recipients, devices: [String]
        let blame: Blame
        let mayRepeat: Bool

        var time: Instant { Instant(rfc3339: at.utf8) ?? .distantPast }
    }

    let id: String
    let type: String
    let key: String
    let page: Page

    fileprivate init(key: String, _ value: [UInt8]) throws {
        struct Envelope: Decodable {
            let specversion, id, source, type, subject: String
            let data: Page
        }
        let envelope = try JSONDecoder().decode(Envelope.self, from: Data(value))
        guard envelope.specversion == "1.0", envelope.subject == envelope.data.incident,
            envelope.type == "io.tocsin.page.\(envelope.data.kind).v1",
            envelope.source == "/tocsin/acceptance/acceptance-1"
        else { throw Trouble("not our CloudEvent: \(String(decoding: value, as: UTF8.self))") }
        id = envelope.id
        type = envelope.type
        self.key = key
        page = envelope.data
    }
}

/// The topic of alerts, as any subscriber reads it.
struct Feed: ~Copyable {
    private var consumer: Consumer
    private(set) var events: [Event] = []

    init(_ bootstrap: String, topic: String = "tocsin.alerts") throws {
        consumer = try Consumer.open(
            ["bootstrap.servers": bootstrap, "group.id": "feed-\(UUID().uuidString)"],
            topics: [topic], start: { _ in .earliest })
    }

    /// Reads what has come meanwhile.
    mutating func poll() throws {
        var raw: [(key: [UInt8], value: [UInt8])] = []
        _ = try consumer.poll(milliseconds: 20) { record, value, _ in
            raw.append((record.withKey { $0.bytes }, value.bytes))
        }
        while consumer.nextEvent() != nil {}
        for (key, value) in raw {
            events.append(try Event(key: String(decoding: key, as: UTF8.self), value))
        }
    }

    /// Calls for somebody: first pages, and those of further tiers.
    var pages: [Event] { events.filter { $0.page.kind == "page" } }

    /// The first event that `fits`, read until it comes.
    mutating func first(
        _ what: String, within seconds: Double, where fits: (Event) -> Bool
    ) throws -> Event {
        let end = ContinuousClock.now + .seconds(seconds)
        while true {
            if let found = events.first(where: fits) { return found }
            guard ContinuousClock.now < end else {
                let seen = events.map { "\($0.page.kind) \($0.page.tier) \($0.page.title)" }
                throw Trouble("not within \(Int(seconds)) s: \(what); there were \(seen)")
            }
            try poll()
        }
    }

    consuming func close() { _ = consumer.close(milliseconds: 1_000) }
}

extension Optional where Wrapped == Span<UInt8> {
    /// A copy; empty where there is nothing.
    var bytes: [UInt8] {
        guard let span = self else { return [] }
        return [UInt8](capacity: span.count) { copy in
            for index in span.indices { copy.append(span[index]) }
        }
    }
}
