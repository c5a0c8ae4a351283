import Foundation
import Testing

@Suite(.serialized, .ownThread) struct EscalationTests {
    @Test func `a page climbs over a crash and an acknowledged one stays silent`() throws {
        let broker = try BrokerProcess(topics: ["telemetry:4", "tocsin.alerts:1", "tocsin.dlq:1"])
        defer { broker.stop() }
        try Site.run { try EscalationScenario(bootstrap: broker.bootstrap).play(on: $0) }
    }
}

@Suite(.serialized, .ownThread, .realKafka) struct RealKafkaEscalationTests {
    @Test func `a page climbs over a crash on a real cluster just the same`() throws {
        guard let kafka = RealKafka.found() else { return }
        let run = "acceptance-\(UUID().uuidString.prefix(8))"
        let names = EscalationScenario.Names(
            telemetry: "\(run)-telemetry", alerts: "\(run)-alerts", deadLetters: "\(run)-dlq",
            group: run)
        let admin = try TopicAdmin(kafka.bootstrap)
        try #require(admin.create(names.telemetry, partitions: 4))
        try #require(admin.create(names.alerts, partitions: 1))
        try #require(admin.create(names.deadLetters, partitions: 1))
        try Site.run {
            try EscalationScenario(bootstrap: kafka.bootstrap, names: names).play(on: $0)
        }
    }
}
