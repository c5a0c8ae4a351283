import Testing

@testable import Kafka

@Suite struct KafkaConfigurationTests {
    @Test func `every wrong key is reported at once, in librdkafka's own words`() {
        let problems = KafkaConfiguration.check(
            [
                "bootstrap.servers": "h:1", "fetch.wait.max.ms": "soon", "sesion.timeout.ms": "1",
                "enable.auto.commit": "true", "test.mock.num.brokers": "3",
                "plugin.library.paths": "/x.so",
            ], role: .consumer)
        #expect(
            problems.map(\.description) == [
                "enable.auto.commit: not allowed: a position is committed only together with the "
                    + "findings that it stands for",
                "fetch.wait.max.ms: Invalid value for configuration property "
                    + "\"fetch.wait.max.ms\"",
                "plugin.library.paths: not allowed: it loads foreign code into this process",
                "sesion.timeout.ms: No such configuration property: \"sesion.timeout.ms\"",
                "test.mock.num.brokers: not allowed: it replaces the real cluster by one inside "
                    + "this process",
            ])
    }

    @Test(arguments: KafkaRole.allCases)
    func `what we set ourselves is accepted by this library`(_ role: KafkaRole) {
        let ours = KafkaConfiguration.defaults(role)
        #expect(Set(ours.map(\.key)).count == ours.count)
        let pairs = Dictionary(uniqueKeysWithValues: ours.map { ($0.key, $0.value) })
        #expect(KafkaConfiguration.check(pairs, role: role) == [])
        for (key, _) in KafkaConfiguration.required(role) {
            #expect(KafkaConfiguration.forbidden(key, role) != nil, "\(key) could be overridden")
        }
    }

    @Test func `a key may be forbidden to one role and free to the other`() {
        #expect(!KafkaConfiguration.check(["acks": "1"], role: .producer).isEmpty)
        #expect(KafkaConfiguration.check(["acks": "1"], role: .consumer).isEmpty)
        #expect(!KafkaConfiguration.check(["isolation.level": "x"], role: .consumer).isEmpty)
    }

    @Test func `a secret is never shown and a zero byte never passed on`() {
        let problems = KafkaConfiguration.check(["sasl.password": "a\u{0}b"], role: .consumer)
        #expect(problems.map(\.value) == ["***"])
        #expect(problems.map(\.reason) == ["holds a zero byte"])
    }

    @Test func `known keys can be suggested`() {
        let keys = KafkaConfiguration.knownKeys()
        #expect(keys.contains("session.timeout.ms") && keys.contains("auto.offset.reset"))
        #expect(keys == keys.sorted() && keys.count > 100)
    }

    @Test func `SCRAM is warned about up to 2.6.0 and not from 2.6.1 on`() {
        let scram = ["security.protocol": "sasl_ssl", "sasl.mechanism": "SCRAM-SHA-512"]
        func warned(_ number: Int32) -> [String] {
            KafkaConfiguration.warnings(scram, libraryNumber: number, version: "2.0.2")
        }
        #expect(warned(0x0206_00ff).count == 1)
        #expect(warned(0x0200_02ff).first?.contains("2.6.1") == true)
        #expect(warned(0x0206_01ff) == [])
        let plain = ["security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN"]
        #expect(KafkaConfiguration.warnings(plain) == [])
    }

    @Test func `careless security is warned about by name`() {
        func warned(_ pairs: [String: String]) -> Int { KafkaConfiguration.warnings(pairs).count }
        #expect(warned(["enable.ssl.certificate.verification": "false"]) == 1)
        #expect(warned(["enable.ssl.certificate.verification": "true"]) == 0)
        #expect(warned(["ssl.endpoint.identification.algorithm": "none"]) == 1)
        #expect(warned(["security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN"]) == 1)
        #expect(warned(["sasl.mechanism": "PLAIN"]) == 1)
    }

    @Test func `opening without brokers, group or topics says what is missing`() {
        func reason(_ properties: [String: String], _ topics: [String]) -> String {
            do throws(KafkaError) {
                let consumer = try Consumer.open(properties, topics: topics) { _ in .earliest }
                _ = consumer.close()
                return "opened"
            } catch {
                return "\(error.kind): \(error.reason)"
            }
        }
        #expect(reason(["group.id": "g"], ["t"]) == "configuration: bootstrap.servers is not set")
        #expect(
            reason(["bootstrap.servers": "h:1"], ["t"]) == "configuration: group.id is not set")
        #expect(
            reason(["bootstrap.servers": "h:1", "group.id": "g"], [])
                == "configuration: no topics are set")
        #expect(
            reason(["bootstrap.servers": "h:1", "group.id": "g", "acks": "1", "x": "y"], ["t"])
                == "configuration: x: No such configuration property: \"x\"")
    }

    @Test func `a hole counts its offsets and remembers the first`() {
        var holes = OffsetHoles()
        holes.note(partition: 3, from: 10, to: 11)
        holes.note(partition: 4, from: 0, to: .max)
        #expect(holes.count == 2 && holes.largest == UInt64(Int64.max))
        #expect(holes.offsets == UInt64(Int64.max) + 1)
        #expect(holes.first == OffsetGap(partition: 3, from: 10, to: 11))
    }
}
