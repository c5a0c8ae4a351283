import Testing

/// Much data, and bad data: the slowest of these tests.
@Suite(.serialized, .ownThread) struct VolumeTests {
    @Test func `recorded H100 telemetry adds up, pages nobody, and a GPU cut off is missed`() throws
    {
        let broker = try BrokerProcess(topics: ["telemetry:4", "tocsin.alerts:1", "tocsin.dlq:1"])
        defer { broker.stop() }
        guard let scenario = try RecordingScenario(broker.bootstrap) else {
            print("skipped: shared/data/gpu-h100-workloads is not here")
            return
        }
        try Site.run { try scenario.play(on: $0) }
    }

    @Test func `a million broken messages are counted, each of them, and none does harm`() throws {
        let topics = ["telemetry:\(FuzzScenario.partitions)", "tocsin.alerts:1", "tocsin.dlq:8"]
        let broker = try BrokerProcess(topics: topics)
        defer { broker.stop() }
        try Site.run { try FuzzScenario(broker.bootstrap).play(on: $0) }
    }
}
