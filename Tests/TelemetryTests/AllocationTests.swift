import CAllocations
import Fleet
import Testing

@testable import Telemetry

/// After the first messages of a producer, a message asks for no memory.
@Suite struct AllocationTests {
    @Test func `the counter sees what Swift allocates`() {
        let before = allocations_of_this_thread()
        var grown: [Int] = []
        for number in 0..<100 { grown.append(number) }
        #expect(grown.count == 100)
        #expect(allocations_of_this_thread() > before)
    }

    @Test(arguments: [
        (WireFormat.native, true), (.native, false), (.telegrafJSON, true), (.telegrafJSON, false),
        (.influx, true), (.influx, false), (.auto, true), (.auto, false),
    ])
    func `a message asks for no memory in the steady state`(
        _ format: WireFormat, learns: Bool
    )
        throws
    {
        var harness = Harness(format) { if !learns { $0.shapeBytesMax = 0 } }
        let messages = (0..<200).map { Self.message(format, $0) }
        // What is learned, and the columns at their full length.
        try Self.feed(&harness, messages, rounds: 3)
        let before = allocations_of_this_thread()
        try Self.feed(&harness, messages, rounds: 60)
        let after = allocations_of_this_thread()
        #expect(after == before, "\(after - before) allocations in 12,000 messages")
        #expect(harness.decoder.statistics.messages == 12_600)
        #expect(harness.decoder.statistics.shapeHits > (learns ? 12_000 : 0) || !learns)
        #expect(harness.isConsistent)
    }

    private static func feed(
        _ harness: inout Harness, _ messages: [[UInt8]], rounds: Int
    ) throws(Undecodable) {
        for _ in 0..<rounds {
            harness.batch.rows.removeAll(keepingCapacity: true)
            harness.batch.lanes.removeAll(keepingCapacity: true)
            harness.batch.readings.removeAll(keepingCapacity: true)
            harness.batch.tally = Tally()
            // By index, because an unoptimised iterator asks for memory.
            for index in 0..<messages.count { try harness.feed(messages[index]) }
        }
    }

    /// One of 20 devices, with numbers of many widths.
    private static func message(_ format: WireFormat, _ number: Int) -> [UInt8] {
        let device = number % 20
        let busy = "0.\(number * 7_919 % 10_000 + 1)"
        let text =
            switch format {
            case .influx:
                "nvidia_smi,host=h\(device),index=0,uuid=GPU-\(device) utilization_gpu="
                    + "\(number % 101)i,power_draw=\(90 + number).\(number % 100),fan_speed=\(busy),"
                    + "memory_used=\(number * 500)i,pcie_link_gen_current=5i,"
                    + "pcie_tx_util=1i,pcie_rx_util=2i 1795248000000000000\n"
            case .telegrafJSON:
                #"{"fields":{"utilization_gpu":\#(number % 101),"power_draw":\#(busy),"#
                    + #""fan_speed":\#(busy),"pcie_link_gen_current":5,"memory_free":1},"#
                    + #""name":"nvidia_smi","tags":{"host":"h\#(device)","uuid":"GPU-\#(device)"},"#
                    + #""timestamp":1795248000}"#
            default:
                Fixture.native(
                    #""util.busy":\#(busy),"temp.core":\#(30 + number % 50),"#
                        + #""energy.total":\#(number * 1_234_567_891)"#, device: "nvidia/\(device)",
                    more: #","host":"h\#(device)","labels":{"job":"a"}"#)
            }
        return Array(text.utf8)
    }
}
