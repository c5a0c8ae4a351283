import Foundation
import Testing

@testable import Kafka

/// What the mock cluster only pretends: real retention, real rights, real rebalances.
@Suite(.serialized, .realKafka) struct RealKafkaTests {
    /// Names are new in each run: a cluster named by the environment may keep old ones.
    private let run = UUID().uuidString.prefix(8)

    private func topic(_ name: String, _ partitions: Int32, _ kafka: RealKafka) throws -> String {
        let name = "tocsin-test-\(name)-\(run)"
        let admin = try TopicAdmin(kafka.bootstrap)
        try #require(admin.create(name, partitions: partitions))
        return name
    }

    private func fill(
        _ topic: String, partitions: Int32, count: Int, _ kafka: RealKafka, from: Int = 0
    ) throws {
        var writer = try Writer(kafka.bootstrap)
        for index in from..<(from + count) {
            try writer.write(topic, partition: Int32(index) % partitions, "\(index)")
        }
        let reports = writer.reports()
        #expect(reports.count == count && reports.first?.error == nil)
        _ = writer.producer.close()
    }

    @Test func `a record with headers and a tombstone make the round trip`() throws {
        guard let kafka = RealKafka.found() else { return }
        let topic = try topic("trip", 1, kafka)
        var writer = try Writer(kafka.bootstrap)
        try writer.write(topic, key: "k", "v", headers: [("h", [0x31])])
        try writer.write(topic, key: "k", nil)
        #expect(writer.reports().map(\.offset) == [0, 1])
        #expect(writer.producer.close().outcome == .closed)
        var reader = try Reader(kafka.bootstrap, topics: [topic], group: "\(run)-trip") { _ in
            .committed(fallback: .earliest)
        }
        #expect(try reader.read(headers: true) { $0.consumer.isCaughtUp(0) })
        #expect(
            reader.records == [
                Copied(partition: 0, offset: 0, key: "k", payload: "v", headers: ["h=1"]),
                Copied(partition: 0, offset: 1, key: "k", payload: nil),
            ])
        try reader.consumer.commit(
            [Position(partition: 0, offset: 2)], waitingMilliseconds: 10_000)
        #expect(reader.close() == .closed)

        var again = try Reader(kafka.bootstrap, topics: [topic], group: "\(run)-trip") { _ in
            .committed(fallback: .earliest)
        }
        #expect(try again.read { $0.events.contains(.caughtUp(partition: 0, offset: 2)) })
        #expect(again.records == [] && again.consumer.position(of: 0) == 2)
        #expect(again.close() == .closed)
    }

    @Test func `what retention took is told as a gap, and reading goes on at the log's start`()
        throws
    {
        guard let kafka = RealKafka.found() else { return }
        let topic = try topic("gap", 2, kafka)
        try fill(topic, partitions: 2, count: 200, kafka)
        let admin = try TopicAdmin(kafka.bootstrap)
        #expect(admin.deleteRecords(topic, partition: 1, before: 60))

        var reader = try Reader(kafka.bootstrap, topics: [topic], group: "\(run)-gap") { _ in
            .at(10)
        }
        #expect(try reader.read { $0.records.count == 90 + 40 })
        let one = try #require(reader.consumer.partitions.firstIndex { $0.number == 1 })
        #expect(reader.events.contains(.outOfRange(OffsetGap(partition: one, from: 10, to: 60))))
        #expect(reader.records.first { $0.partition == 1 }?.offset == 60)
        #expect(reader.consumer.offsetsExpired == 50 && reader.consumer.holes.count == 0)

        // While it reads: the other partition is not disturbed.
        try reader.consumer.pause([one])
        try fill(topic, partitions: 2, count: 100, kafka, from: 200)
        #expect(try reader.read { $0.records.count == 90 + 40 + 50 })
        #expect(admin.deleteRecords(topic, partition: 1, before: 130))
        try reader.consumer.resume([one])
        #expect(try reader.read { $0.records.count == 90 + 40 + 50 + 20 })
        #expect(reader.events.contains(.outOfRange(OffsetGap(partition: one, from: 100, to: 130))))
        #expect(reader.close() == .closed)
    }

    @Test func `an offset past the end of the log is told, too`() throws {
        guard let kafka = RealKafka.found() else { return }
        let topic = try topic("future", 1, kafka)
        try fill(topic, partitions: 1, count: 10, kafka)
        var reader = try Reader(kafka.bootstrap, topics: [topic], group: "\(run)-future") { _ in
            .at(500)
        }
        #expect(try reader.read { $0.records.count == 10 })
        #expect(reader.events.contains(.outOfRange(OffsetGap(partition: 0, from: 500, to: 0))))
        #expect(reader.consumer.offsetsExpired == 0)
        #expect(reader.close() == .closed)
    }

    @Test func `a topic that does not exist is an error that names it`() throws {
        guard let kafka = RealKafka.found() else { return }
        let missing = "tocsin-test-missing-\(run)"
        var reader = try Reader(kafka.bootstrap, topics: [missing], group: "\(run)-m") { _ in
            .earliest
        }
        #expect(
            try reader.read { reader in
                reader.events.contains {
                    guard case .failed(let error, _, _) = $0 else { return false }
                    return error.kind == .unknownTopic && error.asked == "read \(missing)"
                }
            })
        _ = reader.close()
        let cluster = try Cluster.metadata(
            ["bootstrap.servers": kafka.bootstrap], topics: [missing], milliseconds: 10_000)
        #expect(cluster.failures[missing]?.kind == .unknownTopic && cluster.topics.isEmpty)
    }

    @Test func `a wrong password is an authentication error, not an outage`() throws {
        guard let kafka = RealKafka.found() else { return }
        guard let address = kafka.saslPlaintext else {
            print("skipped: TOCSIN_TEST_SASL_PLAINTEXT is not set")
            return
        }
        func properties(_ password: String) -> [String: String] {
            [
                "bootstrap.servers": address, "security.protocol": "sasl_plaintext",
                "sasl.mechanism": "PLAIN", "sasl.username": "tocsin", "sasl.password": password,
            ]
        }
        #expect(try Cluster.metadata(properties("pw"), milliseconds: 10_000).brokers >= 1)
        let error = #expect(throws: KafkaError.self) {
            try Cluster.metadata(properties("wrong"), milliseconds: 6_000)
        }
        #expect(error?.kind == .authentication, "\(String(describing: error))")
        #expect(error?.description.contains("wrong") == false)
    }

    @Test func `two members share by cooperation, and nothing is lost or read twice`() throws {
        guard let kafka = RealKafka.found() else { return }
        let topic = try topic("group", 6, kafka)
        try fill(topic, partitions: 6, count: 600, kafka)
        func commit(_ consumer: inout Consumer, _ partitions: [Int]) throws(KafkaError) {
            let positions = partitions.map {
                Position(partition: $0, offset: consumer.position(of: $0) ?? 0)
            }
            try consumer.commit(positions, waitingMilliseconds: 10_000)
        }
        func member() throws -> Reader {
            try Reader(kafka.bootstrap, topics: [topic], group: "\(run)-group") { _ in
                .committed(fallback: .earliest)
            }
        }
        var first = try member()
        #expect(try first.read { $0.records.count == 600 })
        var second = try member()
        let end = ContinuousClock.now + .seconds(90)
        while second.consumer.assignment.count < 3, ContinuousClock.now < end {
            try first.step { consumer, event in
                if case .revoked(let partitions) = event { try commit(&consumer, partitions) }
            }
            try second.step()
        }
        #expect(first.consumer.assignment.count == 3 && second.consumer.assignment.count == 3)
        // Cooperative: what stays was never taken away.
        #expect(first.events.count { if case .revoked = $0 { true } else { false } } == 1)
        try fill(topic, partitions: 6, count: 600, kafka, from: 600)
        while first.records.count + second.records.count < 1_200, ContinuousClock.now < end {
            try first.step()
            try second.step()
        }
        #expect(first.records.count == 900 && second.records.count == 300)

        // One leaves in order: the other takes its partitions where it stopped.
        try commit(&second.consumer, second.consumer.assignment)
        #expect(second.close() == .closed)
        try fill(topic, partitions: 6, count: 60, kafka, from: 1_200)
        #expect(try first.read(seconds: 30) { $0.records.count == 960 })
        #expect(Set(first.records.map { "\($0.partition)/\($0.offset)" }).count == 960)
        #expect(first.close() == .closed)
    }
}
