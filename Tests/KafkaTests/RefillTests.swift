import Testing

@testable import Kafka

@Suite("Refilling the queue") struct RefillTests {
    @Test func `a quarter of either limit is when the queue is worth filling`() {
        func answers(_ gauge: RefillGauge?, _ bytes: Int...) -> [Bool?] {
            var gauge = gauge
            return bytes.map { gauge?.take(bytes: $0) }
        }
        let gauge = RefillGauge(recordsMax: 1_000, bytesMax: 4_000)
        #expect(answers(gauge, 999, 1, 999) == [false, true, false], "it begins anew")
        #expect(answers(gauge, 5_000) == [true], "one record may be more than the limit")
        #expect(answers(RefillGauge(recordsMax: 8, bytesMax: 4_000), 0, 0) == [false, true])
        #expect(answers(RefillGauge(recordsMax: 1, bytesMax: 1), 0) == [true])
    }

    @Test func `limits come from the operator, else from us`() {
        guard KafkaLibrary.sleepsWhenFull else {
            #expect(RefillGauge([:]) == nil)
            return
        }
        var small = RefillGauge(["queued.max.messages.kbytes": "8"])
        #expect([2_047, 1].map { small?.take(bytes: $0) } == [false, true])
        var ours = RefillGauge([:])
        #expect([1 << 23, 1 << 23].map { ours?.take(bytes: $0) } == [false, true])
    }

    /// Each fetch brings 50 records and fills the queue, so without the wake-up librdkafka 2.0.2
    /// takes forty seconds.
    @Test func `a small queue does not make librdkafka sleep`() throws {
        let broker = try BrokerProcess(topics: ["t:1"])
        var writer = try Writer(broker.bootstrap, ["batch.num.messages": "50", "linger.ms": "100"])
        let payload = String(repeating: "x", count: 1_000)
        for _ in 0..<2_000 { try writer.write("t", payload) }
        #expect(writer.reports().count == 2_000)
        _ = writer.producer.close()

        var reader = try Reader(
            broker.bootstrap, topics: ["t"], batchMax: 20,
            ["queued.max.messages.kbytes": "40", "fetch.message.max.bytes": "10000"]
        ) { _ in .earliest }
        #expect(try reader.read(seconds: 20) { $0.records.count == 2_000 })
        let inOrder = reader.records.map(\.offset).elementsEqual(0..<2_000)
        #expect(inOrder, "\(reader.records.count) records came")
        #expect(reader.consumer.holes == OffsetHoles() && reader.consumer.repeats == 0)
        _ = reader.close()
    }
}
