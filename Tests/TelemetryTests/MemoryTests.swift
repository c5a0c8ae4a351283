import Fleet
import TestSupport
import Testing

@testable import Telemetry

/// What one-value-per-message sources leave to the reader: sums, quotients, transitions.
@Suite("Memory") struct MemoryTests {
    @Test func `a sum waits until its parts are known and complete`() throws {
        var harness = Harness()
        var rows: [Int] = []
        for second in 0..<3 {
            try harness.feed(Fixture.dcgm("DCGM_FI_PROF_PCIE_TX_BYTES", "100", at: second * 15))
            rows.append(harness.batch.rows.count)
            try harness.feed(Fixture.dcgm("DCGM_FI_PROF_PCIE_RX_BYTES", "20", at: second * 15))
            rows.append(harness.batch.rows.count)
        }
        #expect(rows == [0, 0, 0, 1, 1, 2], "half a sum is never given")
        #expect(harness.value(.pcieBytes) == 120)
        #expect(harness.batch.tally.points == 6)
        #expect(harness.isConsistent)
    }

    @Test func `a part that stays away for three rounds is no longer waited for`() throws {
        var harness = Harness()
        for second in 0..<2 {
            try harness.feed(Fixture.dcgm("DCGM_FI_PROF_PCIE_TX_BYTES", "100", at: second * 15))
            try harness.feed(Fixture.dcgm("DCGM_FI_PROF_PCIE_RX_BYTES", "20", at: second * 15))
        }
        var rows: [Int] = []
        for second in 2..<7 {
            try harness.feed(Fixture.dcgm("DCGM_FI_PROF_PCIE_TX_BYTES", "100", at: second * 15))
            rows.append(harness.batch.rows.count)
        }
        #expect(rows == [1, 1, 1, 2, 3])
        #expect(harness.value(.pcieBytes) == 100)
        #expect(harness.isConsistent)
    }

    @Test func `a late or repeated part does not disturb the round`() throws {
        var harness = Harness()
        func both(_ second: Int) throws {
            try harness.feed(Fixture.dcgm("DCGM_FI_PROF_PCIE_TX_BYTES", "100", at: second))
            try harness.feed(Fixture.dcgm("DCGM_FI_PROF_PCIE_RX_BYTES", "20", at: second))
        }
        try both(0)
        try both(15)
        try both(0)
        try both(15)
        #expect(harness.batch.rows.count == 1)
        try both(30)
        #expect(harness.batch.rows.count == 2)
        #expect(harness.value(.pcieBytes) == 120)
        #expect(harness.isConsistent)
    }

    @Test func `the total of memory and the width of a link come from several names`() throws {
        var harness = Harness()
        for second in 0..<2 {
            for (name, value) in [
                ("DCGM_FI_DEV_FB_USED", "10"), ("DCGM_FI_DEV_FB_FREE", "20"),
                ("DCGM_FI_DEV_FB_RESERVED", "2"), ("DCGM_FI_DEV_PCIE_LINK_WIDTH", "8"),
                ("DCGM_FI_DEV_PCIE_MAX_LINK_WIDTH", "16"), ("DCGM_FI_DEV_PCIE_LINK_GEN", "4"),
                ("DCGM_FI_DEV_PCIE_MAX_LINK_GEN", "4"),
            ] {
                try harness.feed(Fixture.dcgm(name, value, at: second * 15))
            }
        }
        #expect(harness.value(.memTotal) == 33_554_432)
        #expect(harness.value(.memUsed) == 10_485_760)
        #expect(harness.value(.pcieWidthRatio) == 0.5)
        #expect(harness.value(.pcieGenRatio) == 1)
        #expect(harness.isConsistent)
    }

    @Test func `counters of bytes become rates and a reset starts from zero`() throws {
        var harness = Harness()
        func feed(_ second: Int, tx: Int, rx: Int) throws {
            for (name, value) in [("amd_gpu_xgmi_link_tx", tx), ("amd_gpu_xgmi_link_rx", rx)] {
                try harness.feed(
                    Fixture.dcgm(name, "\(value)", at: second, labels: #","serial_number":"S""#))
            }
        }
        try feed(0, tx: 1_000, rx: 1_000)
        try feed(10, tx: 2_000, rx: 1_000)
        #expect(harness.value(.linkBytes) == nil)
        try feed(20, tx: 3_000, rx: 1_500)
        #expect(harness.value(.linkBytes) == 150_000)
        try feed(30, tx: 500, rx: 1_500)
        #expect(harness.value(.linkBytes) == 50_000)
        #expect(harness.isConsistent)
    }

    @Test func `links that report one by one are added up`() throws {
        var harness = Harness()
        for second in 0..<2 {
            for link in 0..<18 {
                try harness.feed(
                    Fixture.dcgm(
                        "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_TOTAL", "\(link)", at: second * 15,
                        labels: #","nvlink":"\#(link)""#))
            }
        }
        #expect(harness.value(.linkErrors) == 153)
        #expect(harness.batch.readings.count == 1)
        #expect(harness.isConsistent)
    }

    @Test func `the worst link decides and ports are averaged`() throws {
        var harness = Harness()
        for second in 0..<2 {
            for (link, score) in [("tray1.chip3.ici0.int", 0), ("tray1.chip3.ici1.int", 6)] {
                try harness.feed(
                    """
                    {"name":"ici_link_health","tags":{"accelerator_id":"1-0","link":"\(link)"},\
                    "timestamp":"2026-11-21T07:00:0\(second)Z","kind":"absolute",\
                    "gauge":{"value":\(score)}}
                    """)
            }
            for port in 0..<4 {
                try harness.feed(
                    """
                    {"name":"habanalabs_nic_port_status","tags":{"uuid":"g","port":"\(port)"},\
                    "timestamp":"2026-11-21T07:00:0\(second)Z","kind":"absolute",\
                    "gauge":{"value":\(port == 3 ? 0 : 1)}}
                    """)
            }
        }
        #expect(harness.value("google/1-0", .linkHealth) == Double(Float(0.4)))
        #expect(harness.value("intel/g", .linkHealth) == 0.75)
        #expect(harness.isConsistent)
    }

    @Test func `increments add up to a counter`() throws {
        var harness = Harness()
        for (second, increment) in [2, 3, 0, 5].enumerated() {
            try harness.feed(
                Fixture.dcgm(
                    "DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "\(increment)", at: second, kind: "counter"
                ).replacing("absolute", with: "incremental"))
        }
        #expect(harness.batch.readings.map(\.value) == [2, 5, 5, 10])
        try harness.feed(
            Fixture.dcgm("DCGM_FI_DEV_GPU_TEMP", "5").replacing("absolute", with: "incremental"))
        #expect(harness.batch.tally.ignored == 1, "half a gauge")
        #expect(harness.isConsistent)
    }

    @Test func `a sticky fault speaks when it changes and not when it is first seen`() throws {
        var harness = Harness()
        for (second, code) in [79, 79, 43, 43, 0, 43, 43].enumerated() {
            try harness.feed(Fixture.dcgm("DCGM_FI_DEV_XID_ERRORS", "\(code)", at: second))
        }
        #expect(harness.faults == [43, 43])
        #expect(harness.batch.faults[0].text == "XID 43")
        #expect(harness.batch.faults[0].time.milliseconds == 1_795_244_402_000)
        #expect(harness.value(.faultCode) == 43)
        try harness.feed(Fixture.dcgm("DCGM_FI_DEV_XID_ERRORS", "79", at: 0))
        #expect(harness.faults == [43, 43], "an older sample is no transition")
        #expect(harness.isConsistent)
    }

    @Test func `a sticky fault that starts at zero speaks at once`() throws {
        var harness = Harness()
        try harness.feed(Fixture.dcgm("DCGM_FI_DEV_XID_ERROR", "0", at: 0))
        try harness.feed(Fixture.dcgm("DCGM_FI_DEV_XID_ERROR", "79", at: 1))
        #expect(harness.faults == [79])
    }

    @Test func `a count of faults speaks when it grows`() throws {
        var harness = Harness()
        for (second, count) in [0, 1, 1, 3, 2, 3].enumerated() {
            try harness.feed(
                Fixture.dcgm(
                    "DCGM_EXP_XID_ERRORS_COUNT", "\(count)", at: second, labels: #","xid":"94""#))
        }
        #expect(harness.faults == [94, 94, 94])
        #expect(harness.batch.rows.isEmpty)
        try harness.feed(Fixture.dcgm("DCGM_EXP_XID_ERRORS_COUNT", "1", at: 9))
        #expect(harness.batch.tally.outOfRange == 1, "no code, no fault")
        #expect(harness.isConsistent)
    }

    @Test func `of two names for one metric the better one is believed`() throws {
        var harness = Harness()
        try harness.feed(Fixture.dcgm("DCGM_FI_DEV_MEM_COPY_UTIL", "40", at: 0))
        #expect(harness.value(.utilMembw) == Double(Float(0.4)), "until a better one is heard")
        try harness.feed(Fixture.dcgm("DCGM_FI_PROF_DRAM_ACTIVE", "0.5", at: 1))
        try harness.feed(Fixture.dcgm("DCGM_FI_DEV_MEM_COPY_UTIL", "41", at: 1))
        #expect(harness.value(.utilMembw) == 0.5)
        #expect(harness.batch.tally.ignored == 1)
        try harness.feed(Fixture.dcgm("DCGM_FI_DEV_MEM_COPY_UTIL", "42", at: 601))
        #expect(harness.value(.utilMembw) == Double(Float(0.42)), "and after ten minutes' silence")
        #expect(harness.isConsistent)
    }

    @Test func `a narrowed link shows against the widest it ever was`() throws {
        var harness = Harness()
        func feed(_ width: Int, _ second: Int) throws {
            try harness.feed(
                "nvidia_smi,uuid=GPU-1 pcie_link_width_current=\(width)i "
                    + "\(1_795_244_400 + second)000000000")
        }
        try feed(16, 0)
        try feed(8, 10)
        #expect(harness.value(.pcieWidthRatio) == 0.5)
        try feed(16, 20)
        #expect(harness.value(.pcieWidthRatio) == 1)
    }

    @Test func `what is remembered survives in a checkpoint`() throws {
        var before = Harness()
        try before.feed(Fixture.dcgm("DCGM_FI_DEV_XID_ERRORS", "0", at: 0))
        for second in 0..<2 {
            try before.feed(Fixture.dcgm("DCGM_FI_PROF_PCIE_TX_BYTES", "100", at: second))
            try before.feed(Fixture.dcgm("DCGM_FI_PROF_PCIE_RX_BYTES", "20", at: second))
        }
        try before.feed(Fixture.dcgm("DCGM_FI_PROF_PCIE_TX_BYTES", "200", at: 2))
        var after = Harness()
        for device in before.directory.devices { after.directory.restore(device) }
        after.decoder.remembered = before.decoder.remembered
        #expect(after.decoder.remembered == before.decoder.remembered)
        try after.feed(Fixture.dcgm("DCGM_FI_PROF_PCIE_RX_BYTES", "20", at: 2))
        #expect(after.value(.pcieBytes) == 220)
        try after.feed(Fixture.dcgm("DCGM_FI_DEV_XID_ERRORS", "79", at: 3))
        #expect(after.faults == [79])
    }

    @Test func `memory is bounded and what does not fit is counted`() throws {
        var harness = Harness { $0.rememberedMax = 2 }
        for gpu in 0..<5 {
            try harness.feed(
                Fixture.dcgm("DCGM_FI_DEV_XID_ERRORS", "0", at: gpu)
                    .replacing("GPU-1", with: "GPU-\(gpu)"))
        }
        #expect(harness.decoder.remembered.count == 2)
        #expect(harness.decoder.statistics.memoryRefused == 3)
        #expect(harness.batch.rows.count == 5, "the values themselves are not lost")
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func `numbers are found again whatever was added and taken back`(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var table = ScalarTable()
        var expected: [UInt64: DecoderMemory.Scalar] = [:]
        for step in 0..<2_000 {
            let key =
                UInt64.random(in: 0..<200, using: &generator) << 32
                | UInt64.random(in: 30..<34, using: &generator) << 24 | 2 << 20
                | UInt64.random(in: 0..<2, using: &generator)
            let isAdded = UInt64.random(in: 0..<3, using: &generator) > 0
            let value = isAdded ? DecoderMemory.Scalar(value: Double(step), time: 1) : nil
            table[key] = value
            expected[key] = value
        }
        #expect(table.count == expected.count, "seed \(seed)")
        for device in 0..<200 as Range<UInt64> {
            for metric in 30..<34 as Range<UInt64> {
                for part in 0..<2 as Range<UInt64> {
                    let key = device << 32 | metric << 24 | 2 << 20 | part
                    #expect(table[key] == expected[key], "seed \(seed), key \(key)")
                }
            }
        }
    }
}
