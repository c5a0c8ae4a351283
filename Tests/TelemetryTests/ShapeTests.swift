import Bytes
import Fleet
import TestSupport
import Testing

@testable import Telemetry

/// Learned layouts: a faster way to the same result, or none.
@Suite struct ShapeTests {
    private static let plain = Fixture.native(
        #""util.busy":0.5,"temp.core":61,"energy.total":1000"#, more: #","host":"h1""#)

    @Test func `a message laid out as one before it is read the short way`() throws {
        var harness = Harness(.native)
        try harness.feed(Self.plain)
        #expect(harness.decoder.statistics.shapeHits == 0)
        try harness.feed(
            #"{"v":1,"ts":1795248000500,"device":"nvidia/GPU-1","host":"h1","m":{"#
                + #""util.busy":0.25,"temp.core":63.5,"energy.total":123456789012}}"#)
        #expect(harness.decoder.statistics.shapeHits == 1)
        #expect(harness.value(.utilBusy) == 0.25)
        #expect(harness.value(.tempCore) == 63.5)
        #expect(harness.value(.energyTotal) == 123_456_789_012)
        #expect(harness.batch.rows.last?.time.milliseconds == 1_795_248_000_500)
        #expect(harness.directory.devices[0].lastSeen.milliseconds == 1_795_248_000_500)
        #expect(harness.isConsistent)
    }

    @Test func `labels of another length are read in full once and then the short way`() throws {
        var harness = Harness(.native)
        for id in ["GPU-1", "GPU-22", "GPU-333", "GPU-1", "GPU-22", "GPU-333"] {
            try harness.feed(Fixture.native(#""temp.core":61"#, device: "nvidia/\(id)"))
        }
        #expect(harness.decoder.statistics.shapeHits == 3)
        #expect(harness.ids == ["nvidia/GPU-1", "nvidia/GPU-22", "nvidia/GPU-333"])
    }

    @Test(arguments: [
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1","m":{"temp.core":61}"#,
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1","m":{"temp.core":61}} x"#,
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1","m":{"temp.core":061}}"#,
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1","m":{"temp.core":61.}}"#,
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1,"m":{"temp.core":61}}"#,
        #"{"v":1,"ts":1e40,"device":"nvidia/GPU-1","m":{"temp.core":61}}"#,
        #"{"v":2,"ts":1795248000000,"device":"nvidia/GPU-1","m":{"temp.core":61}}"#,
    ])
    func `what the parser refuses is refused although its layout is nearly known`(
        _ text: String
    ) throws {
        var harness = Harness(.native)
        for _ in 0..<3 { try harness.feed(Fixture.native(#""temp.core":61"#)) }
        var fresh = Harness(.native) { $0.shapeBytesMax = 0 }
        let (refusal, plain) = (harness.refusal(text), fresh.refusal(text))
        #expect(refusal != nil && refusal == plain)
        #expect(harness.batch.rows.count == 3)
    }

    @Test func `a topic of ever new layouts is read in bounded memory`() throws {
        var harness = Harness(.native) { $0.shapeBytesMax = 2_000 }
        for number in 0..<500 {
            try harness.feed(Fixture.native(#""temp.core":61,"x":"\#(number)""#))
        }
        #expect(harness.decoder.statistics.shapeClears > 0)
        #expect(harness.batch.rows.count == 500)
        #expect(harness.decoder.shapes.literalCount <= 2_000)
    }

    @Test func `layouts learned before the names were forgotten are forgotten with them`() throws {
        var harness = Harness(.native) { $0.namesMax = 3 }
        for number in 0..<40 {
            let value = number + 20
            try harness.feed(Fixture.native(#""temp.core":\#(value),"own.\#(number % 5)":1"#))
            #expect(harness.value(.tempCore) == Double(value))
        }
        #expect(harness.decoder.statistics.nameClears > 0)
        #expect(harness.isConsistent)
    }

    @Test func `a line of influx is learned, with parts of sums and a best that is remembered`()
        throws
    {
        func line(_ device: Int, _ power: String, _ generation: Int) -> String {
            "nvidia_smi,host=h,uuid=GPU-\(device) power_draw=\(power),encoder_stats_session_count=1i,"
                + "pcie_link_gen_current=\(generation)i,pcie_tx_util=1i,pcie_rx_util=2i "
                + "1795248000000000000\n"
        }
        var harness = Harness(.influx)
        for device in 0..<2 { try harness.feed(line(device, "99.5", 4)) }
        #expect(harness.decoder.statistics.shapeHits == 0)
        try harness.feed(line(0, "671.42", 2))
        try harness.feed(line(1, "700", 5))
        #expect(harness.decoder.statistics.shapeHits == 2)
        #expect(harness.value("nvidia/GPU-0", .powerDraw) == Double(Float(671.42)))
        #expect(harness.value("nvidia/GPU-0", .pcieGenRatio) == 0.5)
        #expect(harness.value("nvidia/GPU-1", .pcieGenRatio) == 1)
        #expect(harness.value("nvidia/GPU-1", .pcieBytes) == 3_000)
        #expect(harness.batch.tally.ignored == 4)
        #expect(harness.isConsistent)
        // A time that is no integer is as wrong in a known layout as in a new one.
        #expect(harness.refusal(line(0, "671.42", 2).replacing("000000\n", with: "0.5\n")) != nil)
    }

    @Test func `labels whose hashes are equal stay two devices`() throws {
        // Every hash is the same: only the bytes tell the runs of labels apart.
        var harness = Harness(.native) { $0.hashMask = 0 }
        for round in 0..<4 {
            for index in 1...2 {
                try harness.feed(
                    Fixture.native(
                        #""temp.core":\#(20 * index + round)"#, device: "nvidia/GPU-\(index)"))
            }
        }
        #expect(harness.decoder.statistics.shapeHits >= 4)
        #expect(harness.ids == ["nvidia/GPU-1", "nvidia/GPU-2"])
        #expect(harness.value("nvidia/GPU-1", .tempCore) == 23)
        #expect(harness.value("nvidia/GPU-2", .tempCore) == 43)
        #expect(harness.batch.rows.map(\.device.value) == [0, 1, 0, 1, 0, 1, 0, 1])
    }

    @Test func `labels that begin like others, and go on, stay another device`() throws {
        let long = (0..<9).map { "\"rack-label-\($0)\":\"the same in all\"" }
        let more = long.joined(separator: ",")
        var harness = Harness(.native)
        for round in 0..<6 {
            for job in ["", #","labels":{"job":"a"}"#, #","labels":{"job":"a",\#(more)}"#] {
                try harness.feed(
                    Fixture.native(
                        #""temp.core":\#(40 + round)"#, device: "nvidia/\(more.count)-GPU-1",
                        more: job))
                try harness.feed(
                    Fixture.native(
                        #""temp.core":\#(60 + round)"#, device: "nvidia/\(more.count)-GPU-2",
                        more: job))
            }
        }
        #expect(harness.batch.rows.map(\.device.value) == (0..<36).map { UInt32($0 % 2) })
        #expect(harness.value("nvidia/\(more.count)-GPU-1", .tempCore) == 45)
        #expect(harness.value("nvidia/\(more.count)-GPU-2", .tempCore) == 65)
        // A device that has a job again, or no more, is looked at closely.
        #expect(harness.decoder.statistics.shapeHits == 10)
        #expect(harness.isConsistent)
    }

    @Test func `nanoseconds are read to the millisecond when their first digits change`() throws {
        var harness = Harness(.influx)
        let times: [Int64] = [
            1_794_248_000_000, 1_794_248_000_001, 1_794_999_999_999, 1_795_000_000_000,
            1_795_000_000_001, 999_999_999_999, 1_000_000_000_000,
        ]
        for time in times {
            try harness.feed("nvidia_smi,host=h,uuid=GPU-1 power_draw=99.5 \(time)123456\n")
            #expect(harness.batch.rows.last?.time.milliseconds == time)
        }
        #expect(harness.decoder.statistics.shapeHits == UInt64(times.count - 1))
        #expect(harness.refusal("nvidia_smi,host=h,uuid=GPU-1 power_draw=99.5 1.5\n") != nil)
    }

    @Test func `a text that stands for a number has a layout for each thing that it says`() throws {
        var short = Harness(.auto)
        var long = Harness(.auto) { $0.shapeBytesMax = 0 }
        let texts = [#""No""#, #""Yes""#, #""[N/A]""#, #""soon""#]
        for round in 0..<40 {
            let text = texts[round / 2 % texts.count]
            // Now and then out of its range, so that all values are taken one by one.
            let power = round % 7 == 6 ? "-5" : "\(100 + round).5"
            let lines = [
                "nvidia_smi,host=h,uuid=GPU-1 power_draw=\(power),remapped_rows_pending=\(text),"
                    + "remapped_rows_failure=\(text) 1795248000000000000\n",
                #"{"fields":{"remapped_rows_pending":\#(text),"power_draw":\#(power)},"name":"#
                    + #""nvidia_smi","tags":{"host":"h","uuid":"GPU-2"},"timestamp":1795248000}"#,
                Fixture.native(
                    #""temp.core":\#(30 + round),"remap.pending":\#(text)"#,
                    device: "nvidia/GPU-3"),
            ]
            for line in lines {
                try short.feed(line)
                try long.feed(line)
                #expect(Self.digest(short) == Self.digest(long), "\(round) \(line)")
            }
        }
        #expect(short.decoder.statistics.shapeHits == 3 * 40 - 3 * 4)
        #expect(short.isConsistent)
    }

    @Test func `other labels where an expected message lay are not taken for its own`() throws {
        func message(_ device: Int, _ value: Int) -> [UInt8] {
            Array(
                Fixture.native(
                    "\"temp.core\":\(value)", device: "nvidia/GPU-0000\(device)",
                    more: ",\"host\":\"gpu-node-0017\""
                ).utf8)
        }
        var harness = Harness(.native)
        for turn in 0..<8 {
            for device in 1...2 { try harness.feed(message(device, 30 + turn)) }
        }
        var memory = message(1, 50)
        let address = memory.span.address
        for _ in 0..<4 { harness.decoder.expect(memory.span, harness.directory) }
        for (index, byte) in message(2, 61).enumerated() { memory[index] = byte }
        #expect(memory.span.address == address, "it is expected to hold the other message")
        let hits = harness.decoder.statistics.shapeHits
        try harness.feed(memory)
        #expect(harness.value("nvidia/GPU-00002", .tempCore) == 61)
        #expect(harness.value("nvidia/GPU-00001", .tempCore) == 37)
        #expect(harness.decoder.statistics.shapeHits == hits + 1)
    }

    @Test(arguments: [3, 2_026] as [UInt64])
    func `what is asked for ahead changes nothing of what is read`(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let messages: [[UInt8]] = (0..<600).map { number in
            // Whatever comes may be anything: nothing of it is believed before it is read.
            if generator.chance(0.05) { return [] }
            if generator.chance(0.05) {
                return (0..<generator.below(90)).map { _ in
                    UInt8(truncatingIfNeeded: generator.next())
                }
            }
            let device = generator.below(number < 300 ? 5 : 40)
            return Array(
                Fixture.native(
                    "\"temp.core\":\(generator.below(90)),\"util.busy\":0.\(generator.below(99))",
                    device: "nvidia/GPU-\(device)", more: ",\"host\":\"h\(device / 8)\""
                ).utf8)
        }
        var plain = Harness(.native)
        var ahead = Harness(.native)
        for (number, message) in messages.enumerated() {
            // Sometimes too late, not at all, or for a message that never comes.
            let coming = messages[min(number + generator.below(5), messages.count - 1)]
            ahead.decoder.expect(coming.span, number == 450 ? Directory() : ahead.directory)
            #expect(ahead.refusal(message) == plain.refusal(message))
        }
        #expect(Self.digest(ahead) == Self.digest(plain), "seed \(seed)")
        #expect(ahead.decoder.statistics.shapeHits == plain.decoder.statistics.shapeHits)
        #expect(plain.decoder.statistics.shapeHits > 400 && ahead.isConsistent)
    }

    @Test(arguments: [1, 7, 1_234, 99_999] as [UInt64])
    func `the short way says exactly what the parser says`(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var short = Harness(.auto)
        var long = Harness(.auto) { $0.shapeBytesMax = 0 }
        for number in 0..<4_000 {
            let bytes = Self.message(&random)
            let refused = (short.refusal(bytes), long.refusal(bytes))
            let text = String(decoding: bytes, as: UTF8.self)
            guard refused.0 == refused.1, Self.digest(short) == Self.digest(long) else {
                Issue.record("seed \(seed), message \(number), \(refused): \(text)")
                return
            }
            short.batch.removeAll()
            long.batch.removeAll()
            for partition in 0..<2 {
                let name = Partition(topic: "telemetry", number: Int32(partition))
                short.batch.partitions.append(name)
                long.batch.partitions.append(name)
            }
        }
        #expect(short.decoder.statistics.shapeHits > 300, "seed \(seed)")
        #expect(long.decoder.statistics.shapeHits == 0, "seed \(seed)")
    }

    @Test(arguments: [2, 8, 4_321, 77_777] as [UInt64])
    func `a number is read the short way as the parser reads it however it is written`(
        _ seed: UInt64
    ) {
        var random = SeededGenerator(seed: seed)
        var short = Harness(.auto)
        var long = Harness(.auto) { $0.shapeBytesMax = 0 }
        // Layouts of a few numbers, so that each of them meets many ways to write its own.
        for number in 0..<6_000 {
            let fields = (0..<4).map { "\"own.\($0)\":\(Self.literal(&random))" }
            let job = String(repeating: "j", count: 1 + random.below(random.below(9) == 0 ? 40 : 2))
            let more = random.below(3) == 0 ? "" : ",\"energy.total\":\(Self.literal(&random))"
            let text =
                random.below(2) == 0
                ? #"{"v":1,"ts":\#(1_795_248_000_000 + number),"m":{\#(fields.joined(separator: ","))"#
                    + #"\#(more)},"device":"d/\#(random.below(3))","labels":{"job":"\#(job)"}}"#
                : "nvidia_smi,host=h,job=\(job),uuid=GPU-\(random.below(3)) "
                    + "power_draw=\(Self.literal(&random)),memory_used=\(Self.literal(&random))i,"
                    + "pcie_link_gen_current=\(Self.literal(&random))i"
                    + (random.below(2) == 0 ? "" : " \(1_795_248_000_000 + number)000000\n")
            var bytes = Array(text.utf8)
            if random.below(20) == 0 {
                bytes.removeLast(1 + random.below(min(70, bytes.count - 1)))
            }
            let refused = (short.refusal(bytes), long.refusal(bytes))
            guard refused.0 == refused.1, Self.digest(short) == Self.digest(long) else {
                Issue.record("seed \(seed), message \(number), \(refused): \(text)")
                return
            }
            for (index, partition) in short.batch.partitions.enumerated() where index == 0 {
                short.batch.removeAll()
                long.batch.removeAll()
                short.batch.partitions = [partition, partition]
                long.batch.partitions = [partition, partition]
            }
        }
        #expect(short.decoder.statistics.shapeHits > 800, "seed \(seed)")
    }

    @Test(arguments: [3, 12, 2_222, 55_555] as [UInt64])
    func `what busy devices and idle ones say is read the short way as the parser reads it`(
        _ seed: UInt64
    ) {
        var random = SeededGenerator(seed: seed)
        var short = Harness(.native)
        var long = Harness(.native) { $0.shapeBytesMax = 0 }
        for number in 0..<9_000 {
            let isIdle = random.below(3) == 0
            // Now and then one says something else.
            let fields = (0..<8).map { place in
                if random.below(400) == 0 { return "\"own.\(place)\":\(Self.literal(&random))" }
                let digits = 100 + random.below(900)
                let busy = "0.\(random.below(9) == 0 ? digits / 10 : digits)"
                return "\"own.\(place)\":\(isIdle ? "0" : busy)"
            }
            let more = random.below(5) == 0 ? ",\"temp.core\":\(20 + random.below(60))" : ""
            let m = "\"m\":{\(fields.joined(separator: ","))\(more)}"
            // Labels before the numbers or behind them, of three lengths, and seldom of another.
            let device = random.below(3)
            let length = random.below(200) == 0 ? random.below(40) : device
            let job = String(repeating: "j", count: 1 + length)
            let labels = #""device":"d/\#(device)","labels":{"job":"\#(job)"}"#
            let isBefore = random.below(2) == 0
            let text =
                "{\"v\":1,\"ts\":\(1_795_248_000_000 + number),"
                + "\(isBefore ? labels : m),\(isBefore ? m : labels)}"
            var bytes = Array(text.utf8)
            if random.below(300) == 0 { bytes.removeLast(1 + random.below(bytes.count - 1)) }
            let refused = (short.refusal(bytes), long.refusal(bytes))
            guard refused.0 == refused.1, Self.digest(short) == Self.digest(long) else {
                Issue.record("seed \(seed), message \(number), \(refused): \(text)")
                return
            }
            let partitions = short.batch.partitions
            short.batch.removeAll()
            long.batch.removeAll()
            short.batch.partitions = partitions
            long.batch.partitions = partitions
        }
        #expect(short.decoder.statistics.shapeHits > 7_000, "seed \(seed)")
        #expect(short.decoder.shapes.tree.copies > 0, "seed \(seed)")
    }

    /// A number of any width, mostly sound.
    private static func literal(_ random: inout SeededGenerator) -> String {
        func digits(_ count: Int) -> String {
            let first = count == 0 ? "" : String(1 + random.below(9))
            return first + (1..<max(count, 1)).map { _ in String(random.below(10)) }.joined()
        }
        switch random.below(24) {
        case 0: return "-\(digits(1 + random.below(6)))"
        case 1: return "-0"
        case 2: return "\(digits(1)).\(digits(1 + random.below(3)))e\(random.below(4))"
        case 3: return "1E\(random.below(400))"
        case 4: return "0\(digits(1 + random.below(3)))"
        case 5: return "\(digits(2))."
        case 6: return ".\(digits(2))"
        case 7: return digits(14 + random.below(8))
        case 8: return "\(digits(1 + random.below(12))).\(digits(1 + random.below(12)))"
        case 9: return "0.\(digits(1 + random.below(20)))"
        case 10: return "\(digits(3)).\(digits(2))x"
        case 11...15: return digits(1 + random.below(16))
        case 16...19: return "0.\(digits(4))"
        default: return "\(digits(1 + random.below(4))).\(digits(1 + random.below(4)))"
        }
    }

    /// A message of one of a few producers: mostly sound, sometimes odd, now and then broken.
    private static func message(_ random: inout SeededGenerator) -> [UInt8] {
        let number = { (random: inout SeededGenerator) -> String in
            switch random.below(60) {
            case 0: "-1"
            case 1: "9223372036854775794"
            case 2: "1e999"
            case 3: "NaN"
            case 4: "null"
            case 5: #""37""#
            case 6: "2147483632"
            case 7: "01"
            default: random.below(2) == 0 ? "\(random.below(100))" : "0.\(random.below(1_000))"
            }
        }
        let index = random.below(3)
        let time = 1_795_248_000_000 + random.below(random.below(40) == 0 ? 100_000_000 : 50_000)
        var fields: [String] = []
        let names =
            random.below(2) == 0
            ? ["util.busy", "temp.core", "power.draw", "pcie.bytes", "own.thing", "mem.used"]
            : [
                "utilization_gpu", "memory_used", "memory_total", "power_draw", "fan_speed",
                "clocks_event_reasons_counters_sw_power_cap", "pcie_link_gen_current",
                "pcie_tx_util", "pcie_rx_util", "encoder_stats_session_count",
            ]
        for name in names where random.below(25) > 0 {
            fields.append("\"\(name)\":\(number(&random))")
        }
        if random.below(20) == 0 { fields.append("\"temp.core\":\(number(&random))") }
        let job = random.below(15) == 0 ? "job-b" : "a"
        let line = fields.map { field in
            let parts = field.replacing("\"", with: "").split(separator: ":")
            return "\(parts[0])=\(parts[1])\(random.below(3) == 0 ? "i" : "")"
        }
        let text =
            random.below(3) == 0
            ? "nvidia_smi,host=h,job=\(job),uuid=GPU-\(index) \(line.joined(separator: ","))"
                + (random.below(9) == 0 ? "" : " \(time)000000\n")
            : names[0] == "util.busy"
                ? #"{"v":1,"ts":\#(time),"device":"nvidia/GPU-\#(index)","labels":{"job":"\#(job)"},"#
                    + #""m":{\#(fields.joined(separator: ","))}}"#
                : #"{"fields":{\#(fields.joined(separator: ","))},"name":"nvidia_smi","tags":{"#
                    + #""host":"h","uuid":"GPU-\#(index)","job":"\#(job)"},"timestamp":\#(time / 1_000)}"#
        var bytes = Array(text.utf8)
        if random.below(12) == 0 {
            let marks = Array(#"",}{:0.x"#.utf8)
            bytes[random.below(bytes.count)] = marks[random.below(marks.count)]
        }
        if random.below(40) == 0 {
            bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
        }
        return bytes
    }

    private static func digest(_ harness: Harness) -> String {
        let lanes = harness.batch.lanes.map { vector in
            // Adding nothing takes the sign from a zero, which a first value lacks in the parser too.
            (0..<16).map { vector[$0].isNaN ? 1 : (vector[$0] + 0).bitPattern }
        }
        let seen = harness.directory.devices.map { "\($0.id) \($0.lastSeen) \($0.labels.pairs)" }
        return
            "\(harness.batch.rows) \(lanes) \(harness.batch.readings) \(harness.batch.faults) "
            + "\(harness.batch.tally) \(seen) \(harness.decoder.remembered)"
    }
}
