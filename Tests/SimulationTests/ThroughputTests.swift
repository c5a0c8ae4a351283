import Fleet
import Foundation
import Testing

@testable import Simulation

/// Run with `TOCSIN_MEASURE=1` in a release build; a debug build measures nothing.
@Suite("Throughput", .serialized) struct ThroughputTests {
    @Test(arguments: [PayloadFormat.native, .telegraf(.seconds), .vector])
    func `a fleet of 8192 is cheap`(_ format: PayloadFormat) throws {
        guard ProcessInfo.processInfo.environment["TOCSIN_MEASURE"] == "1" else {
            print("throughput: TOCSIN_MEASURE is not set, skipped")
            return
        }
        var plan = FleetPlan(seed: 1, hosts: 1_024, start: epoch)
        plan.format = format
        plan.workloads = [
            Workload("train", .train, team: "a", devices: 0..<6_000),
            Workload("serve", .inference, team: "b", devices: 6_000..<8_000),
        ]
        var simulator = try FleetSimulator(plan)
        var batch = MessageBatch()
        simulator.next(upTo: epoch + .seconds(40), messagesMax: .max, into: &batch)
        let before = simulator.tally
        var bytes = 0
        // Processor time: other work on the machine must not count.
        let begin = clock()
        for second in stride(from: 40, through: 340, by: 1) {
            batch.removeAll()
            simulator.next(upTo: epoch + .seconds(second), messagesMax: .max, into: &batch)
            bytes += batch.bytes.count
        }
        let seconds = Double(clock() - begin) / 1_000_000
        let messages = Double(simulator.tally.messages - before.messages)
        let points = Double(simulator.tally.points - before.points)
        let rate = messages / seconds
        print(
            "throughput \(format): \(Int(rate)) messages/s, \(Int(points / seconds))"
                + " points/s, \(Int(Double(bytes) / messages)) B/message")
        #expect(rate > 300_000)
    }
}
