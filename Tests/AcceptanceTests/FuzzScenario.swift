import Fleet
import Foundation
import Kafka
import Simulation

/// A million messages, most of them broken in one of ten ways, in every format that is understood.
///
/// Message *n* depends on the seed, on *n* and on the clock of its block of messages alone, so that
/// a dead letter can be compared with what was sent.
struct FuzzScenario {
    static let messages = 1_000_000
    static let partitions = 32
    static let seed: UInt64 = 0x7063_7369
    private static let blockSize = 10_000
    /// The broker keeps 5 MiB of each partition.
    private static let inFlightMax: Int64 = 200_000

    let bootstrap: String

    init(_ bootstrap: String) { self.bootstrap = bootstrap }

    func play(on site: Site) throws {
        var wishes = Site.Wishes()
        wishes.topics = [("telemetry", "auto")]
        // A mutated time that lies ahead would make the sample at the end a late one.
        wishes.telemetry = "{future_skew: 1s, devices_max: 5000}"
        try site.configure(bootstrap, wishes)
        let daemon = try site.start()
        try daemon.waitUntilReady()

        var publisher = try Publisher(bootstrap, topic: "telemetry")
        var clocks: [Instant] = []
        for start in stride(from: 0, to: Self.messages, by: Self.blockSize) {
            clocks.append(wallClock())
            let block = Block(at: clocks[clocks.count - 1])
            for number in start..<min(start + Self.blockSize, Self.messages) {
                let key = number % 16 == 0 ? nil : block.key(number)
                try publisher.publish(
                    block.message(number), key: key, partition: Int32(number % Self.partitions))
            }
            try publisher.wait(for: daemon, behindAtMost: Self.inFlightMax)
        }
        try publisher.flush()
        try eventually("all of it is read", within: 120) {
            try daemon.stored("telemetry") == Int64(Self.messages) ? true : nil
        }

        let metrics = try daemon.metrics()
        let counted = metrics.samples.filter { $0.key.hasPrefix("tocsin_messages_total") }
        try require(
            metrics.sum("tocsin_messages_total") == Self.messages, "seed \(Self.seed): \(counted)")
        try require(
            counted.count == 3 && counted.values.allSatisfy { $0 > 10_000 },
            "some outcome is rare: \(counted)")
        try require(
            metrics.sum("tocsin_offset_gaps_total") == 0
                && metrics.sum("tocsin_records_expired_total") == 0
                && metrics.sum("tocsin_dead_letters_lost_total") == 0, "\(metrics.samples)")
        try require(
            metrics.sum("tocsin_point_outcomes_total") == metrics.sum("tocsin_points_total"),
            "not every point ends")
        let dead = metrics["tocsin_messages_total{outcome=\"dead_letter\"}"]
        try require(metrics.sum("tocsin_dead_letters_total") == dead, "reasons do not add up")
        try examineDeadLetters(dead, clocks)
        try require(try daemon.get("/healthz").status == 200, "not healthy")
        try applyOneMore(daemon, &publisher)
        daemon.signal(SIGTERM)
        try daemon.requireOrderlyEnd()
    }

    /// After all that, a good sample is a good sample.
    private func applyOneMore(_ daemon: DaemonProcess, _ publisher: inout Publisher) throws {
        let name = "tocsin_point_outcomes_total{outcome=\"applied\"}"
        let before = try daemon.metrics()
        var batch = MessageBatch()
        Agent(999, on: "acc-after").say(at: wallClock(), in: &batch)
        try publisher.publish(batch)
        try publisher.flush()
        try eventually("one more sample is applied", within: 20) {
            try daemon.metrics()[name] == before[name] + batch.messages[0].points ? true : nil
        }
        try require(
            try daemon.metrics().sum("tocsin_messages_total") == Self.messages + 1, "miscounted")
    }

    /// What the topic still holds of the dead letters: each names what was sent, and why not.
    private func examineDeadLetters(_ count: Int, _ clocks: [Instant]) throws {
        var consumer = try Consumer.open(
            ["bootstrap.servers": bootstrap, "group.id": "dlq"], topics: ["tocsin.dlq"],
            start: { _ in .earliest })
        let reasons: Set<String> = [
            "empty", "too_large", "unknown_format", "malformed", "not_utf8", "too_deep",
            "missing_field", "bad_timestamp", "unsupported_version",
        ]
        var block = (number: -1, block: Block(at: .distantPast))
        var seen = 0
        var examined = 0
        var trouble = ""
        let end = ContinuousClock.now + .seconds(180)
        var isDone = false
        while !isDone {
            _ = try consumer.poll(milliseconds: 100) { record, payload, _ in
                seen += 1
                guard seen % 101 == 0, trouble.isEmpty else { return }
                examined += 1
                let headers = Dictionary(
                    record.headers().map {
                        ($0.name, String(decoding: $0.value ?? [], as: UTF8.self))
                    }, uniquingKeysWith: { first, _ in first })
                guard headers["tocsin_topic"] == "telemetry",
                    let partition = Int(headers["tocsin_partition"] ?? ""),
                    let offset = Int(headers["tocsin_offset"] ?? ""),
                    let position = Int(headers["tocsin_position"] ?? ""), position >= 0,
                    reasons.contains(headers["tocsin_reason"] ?? "")
                else {
                    trouble = "headers \(headers)"
                    return
                }
                let number = offset * Self.partitions + partition
                if block.number != number / Self.blockSize {
                    let index = number / Self.blockSize
                    block = (index, Block(at: clocks[index]))
                }
                if block.block.message(number) != payload.bytes {
                    trouble = "message \(number) of seed \(Self.seed) is not its dead letter"
                }
                let sent = number % 16 == 0 ? [] : block.block.key(number)
                if sent != record.withKey({ $0.bytes }) {
                    trouble = "message \(number) lost its key"
                }
            }
            while consumer.nextEvent() != nil {}
            let assigned = consumer.assignment
            isDone = assigned.count == 8 && assigned.allSatisfy { consumer.isCaughtUp($0) }
            try require(ContinuousClock.now < end, "the dead letters were not read in 180 s")
        }
        let written = consumer.assignment.reduce(0) {
            $0 + (consumer.watermarks(of: $1)?.high ?? 0)
        }
        _ = consumer.close(milliseconds: 1_000)
        try require(trouble.isEmpty, trouble)
        try require(written == Int64(count), "\(count) dead letters, \(written) in their topic")
        try require(examined > 100, "only \(examined) of \(seen) were looked at")
    }
}

/// Ten thousand messages around one moment.
private struct Block {
    private let samples: [[UInt8]]
    private let wild: [[UInt8]]
    private let deep: [[UInt8]]

    init(at now: Instant) {
        let milliseconds = now.milliseconds
        let text = now.rfc3339
        samples = (0..<4).flatMap { device in
            Block.valid(device, milliseconds, text).map { Array($0.utf8) }
        }
        wild = Block.wild(milliseconds, text)
        let head = Array("{\"v\":1,\"ts\":\(milliseconds),\"m\":".utf8)
        let tail = Array(",\"device\":\"nvidia/GPU-d\"}".utf8)
        var deep: [[UInt8]] = []
        for depth in [40, 200, 1_500] {
            let open = [UInt8](repeating: UInt8(ascii: "["), count: depth)
            let close = [UInt8](repeating: UInt8(ascii: "]"), count: depth)
            deep.append(open)
            deep.append(head + open + close + tail)
            deep.append(Array(String(repeating: "{\"a\":", count: depth).utf8))
        }
        self.deep = deep
    }

    /// One sample in each format, of devices that only this format has.
    private static func valid(
        _ device: Int, _ milliseconds: Int64, _ text: String
    ) -> [String] {
        let host = "gpu-node-000\(device / 2)"
        let native = """
            {"v":1,"ts":\(milliseconds),"device":"nvidia/GPU-6b0d\(device)","host":"\(host)",\
            "index":\(device),"kind":"gpu","vendor":"nvidia","model":"h100-sxm5-80gb",\
            "labels":{"region":"us-east-1","rack":"r12","job":"llm-70b","job_kind":"train"},\
            "m":{"util.busy":1.0,"util.tensor":0.37,"mem.used":74813800448,"power.draw":655.7,\
            "temp.core":63,"clock.core":1980,"something.new":17}}
            """
        let influx = """
            nvidia_smi,arch=Hopper,host=\(host),index=\(device),name=NVIDIA\\ H100\\ 80GB\\ HBM3,\
            pstate=P0,uuid=GPU-7c1e\(device) clocks_current_sm=1980i,memory_used=71348i,\
            memory_total=81559i,temperature_gpu=57i,power_draw=671.42,driver_version="570.1" \
            \(milliseconds)000000
            """
        let telegraf = """
            {"fields":{"clocks_current_sm":1980,"memory_used":71348,"utilization_gpu":97,\
            "power_draw":671.42,"ecc_errors_volatile_dram_correctable":3},"name":"nvidia_smi",\
            "tags":{"host":"\(host)","index":"\(device)","name":"NVIDIA H100 80GB HBM3",\
            "uuid":"GPU-8d2f\(device)"},"timestamp":\(milliseconds / 1_000)}
            """
        let vector = """
            {"name":"DCGM_FI_DEV_POWER_USAGE","tags":{"UUID":"GPU-9e30\(device)",\
            "gpu":"\(device)","hostname":"\(host)","modelName":"NVIDIA H100"},\
            "timestamp":"\(text)","kind":"absolute","gauge":{"value":614.883}}
            """
        let adapter = """
            {"labels":{"Hostname":"\(host)","UUID":"GPU-af41\(device)","__name__":\
            "DCGM_FI_DEV_GPU_TEMP","gpu":"\(device)","job":"dcgm"},\
            "name":"DCGM_FI_DEV_GPU_TEMP","timestamp":"\(text)","value":"61"}
            """
        return [native, influx + "\n", telegraf, vector, adapter]
    }

    /// Numbers that no type holds, in every place that takes one.
    private static func wild(_ milliseconds: Int64, _ text: String) -> [[UInt8]] {
        let digits = String(repeating: "9", count: 400)
        let numbers = [
            "1e999", "-1e999", "1e308", "-1e-400", digits, "-\(digits)", "0.\(digits)",
            "9223372036854775807", "-9223372036854775808", "18446744073709551616", "1e18", "-0",
            "0e0", "1E+400", "00", "1.", ".5", "+1", "NaN", "Infinity", "0x10",
        ]
        var texts: [String] = []
        for number in numbers {
            texts.append(
                #"{"v":1,"ts":\#(milliseconds),"device":"nvidia/GPU-w","m":{"power.draw":\#(number),"#
                    + #""temp.core":50}}"#)
            texts.append(
                #"{"v":1,"ts":\#(number),"device":"nvidia/GPU-w","m":{"temp.core":50}}"#)
            texts.append(
                #"{"v":\#(number),"ts":\#(milliseconds),"device":"nvidia/GPU-w","#
                    + #""index":\#(number),"m":{"temp.core":50}}"#)
            texts.append(
                "nvidia_smi,uuid=GPU-w,host=h power_draw=\(number),memory_used=\(number)i "
                    + "\(milliseconds)000000")
            texts.append("nvidia_smi,uuid=GPU-w,host=h power_draw=1 \(number)")
            texts.append(
                #"{"name":"DCGM_FI_DEV_POWER_USAGE","tags":{"UUID":"GPU-w"},"timestamp":"\#(text)","#
                    + #""kind":"absolute","counter":{"value":\#(number)}}"#)
            texts.append(
                #"{"labels":{"UUID":"GPU-w","gpu":"\#(number)"},"name":"DCGM_FI_DEV_GPU_TEMP","#
                    + #""timestamp":"\#(text)","value":"\#(number)"}"#)
            texts.append(
                #"{"fields":{"power_draw":\#(number)},"name":"nvidia_smi","tags":{"uuid":"GPU-w"},"#
                    + #""timestamp":\#(number)}"#)
        }
        return texts.map { Array($0.utf8) }
    }

    /// The bits that decide about message `number`.
    private func bits(_ number: Int) -> UInt64 {
        var mixed = FuzzScenario.seed &+ UInt64(number) &* 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    func key(_ number: Int) -> [UInt8] { [UInt8(truncatingIfNeeded: bits(number) >> 56), 0xff] }

    /// The payload of message `number`; nil is a tombstone.
    func message(_ number: Int) -> [UInt8]? {
        let bits = bits(number)
        let choice = Int(truncatingIfNeeded: bits & 0xff)
        let first = Int(truncatingIfNeeded: (bits >> 8) & 0xffff)
        let second = Int(truncatingIfNeeded: (bits >> 24) & 0xffff)
        let third = Int(truncatingIfNeeded: (bits >> 40) & 0xffff)
        var bytes = samples[first % samples.count]
        let place = second % bytes.count
        switch choice {
        case 0..<20: break
        case 20..<60: bytes.removeSubrange(place...)
        case 60..<130: bytes[place] ^= 1 << UInt8(third % 8)
        case 130..<150:
            for step in 0..<8 {
                bytes[(second + step * third) % bytes.count] ^= 1 << UInt8(step)
            }
        case 150..<180: bytes = wild[second % wild.count]
        case 180..<190: bytes = deep[second % deep.count]
        case 190..<215: bytes[place] = third % 2 == 0 ? 0xff : 0xc0
        case 215..<220: bytes = []
        case 220..<226: return nil
        case 226..<240: bytes.replaceSubrange(place..., with: samples[third % samples.count])
        case 240..<248: bytes.insert(contentsOf: bytes[..<(place / 2)], at: place)
        default: bytes = (0..<(second % 40)).map { UInt8(truncatingIfNeeded: bits >> ($0 % 57)) }
        }
        return bytes
    }
}
