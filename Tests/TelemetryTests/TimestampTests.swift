import Fleet
import TestSupport
import Testing

@testable import Telemetry

@Suite("Timestamps") struct TimestampTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let text: String
        let milliseconds: Int64?
        var unit = TimestampUnit.automatic
        var testDescription: String { "\(text) \(unit)" }
    }

    static let cases: [Case] = [
        Case(text: "1795248000", milliseconds: 1_795_248_000_000),
        Case(text: "99999999999", milliseconds: 99_999_999_999_000),
        Case(text: "100000000000", milliseconds: 100_000_000_000),
        Case(text: "1795248000123", milliseconds: 1_795_248_000_123),
        Case(text: "99999999999999", milliseconds: 99_999_999_999_999),
        Case(text: "100000000000000", milliseconds: 100_000_000_000),
        Case(text: "1795248000123456", milliseconds: 1_795_248_000_123),
        Case(text: "99999999999999999", milliseconds: 99_999_999_999_999),
        Case(text: "100000000000000000", milliseconds: 100_000_000_000),
        Case(text: "1795248000123999999", milliseconds: 1_795_248_000_123),
        Case(text: #""1795248000123000000""#, milliseconds: 1_795_248_000_123),
        Case(text: #""1795248000""#, milliseconds: 1_795_248_000_000),
        Case(text: "1795248000.1234567", milliseconds: 1_795_248_000_123),
        Case(text: "1.795248e9", milliseconds: 1_795_248_000_000),
        Case(text: "0", milliseconds: 0),
        Case(text: "-1", milliseconds: -1_000),
        Case(text: "-1795248000123999999", milliseconds: -1_795_248_000_124),
        Case(text: #""2026-11-21T08:00:00Z""#, milliseconds: 1_795_248_000_000),
        Case(text: #""2026-11-21T08:00:00.1Z""#, milliseconds: 1_795_248_000_100),
        Case(text: #""2026-11-21T08:00:00.123456789Z""#, milliseconds: 1_795_248_000_123),
        Case(text: #""2026-11-21T10:00:00.5+02:00""#, milliseconds: 1_795_248_000_500),
        Case(text: #""2026-11-21 08:00:00z""#, milliseconds: 1_795_248_000_000),
        Case(text: #""2024-02-29T00:00:00Z""#, milliseconds: 1_709_164_800_000),
        Case(text: #""2023-02-29T00:00:00Z""#, milliseconds: nil),
        Case(text: #""2026-11-31T08:00:00Z""#, milliseconds: nil),
        Case(text: #""2026-11-21T24:00:00Z""#, milliseconds: nil),
        Case(text: #""2026-11-21T08:00:00.Z""#, milliseconds: nil),
        Case(text: #""2026-11-21T08:00:00.12xZ""#, milliseconds: nil),
        Case(text: #""2026-11-21T08:00:00""#, milliseconds: nil),
        Case(text: #""2026-11-21""#, milliseconds: nil),
        Case(text: #""""#, milliseconds: nil),
        Case(text: "true", milliseconds: nil),
        Case(text: "[1]", milliseconds: nil),
        Case(text: "1e300", milliseconds: nil),
        Case(text: "NaN", milliseconds: nil),
        Case(text: "9223372036854775807", milliseconds: 9_223_372_036_854),
        Case(text: "99999999999999999999999", milliseconds: nil),
        Case(text: "1795248000123", milliseconds: nil, unit: .seconds),
        Case(text: "1795248000", milliseconds: 1_795_248_000, unit: .milliseconds),
        Case(text: "1795248000123", milliseconds: 1_795_248_000, unit: .microseconds),
        Case(text: "1795248000", milliseconds: 1_795, unit: .nanoseconds),
    ]

    @Test(arguments: cases)
    func `every shape of a timestamp is read or refused`(_ example: Case) throws {
        var harness = Harness(.native) {
            $0.timestampUnit = example.unit
            $0.futureSkew = .seconds(1 << 40)
        }
        let text = #"{"v":1,"device":"x/1","m":{"temp.core":50},"ts":\#(example.text)}"#
        guard let milliseconds = example.milliseconds else {
            #expect(harness.refusal(text) == .badTimestamp)
            return
        }
        try harness.feed(text)
        #expect(harness.batch.rows[0].time.milliseconds == milliseconds)
    }

    @Test func `influx lines carry nanoseconds or nothing`() throws {
        var harness = Harness()
        try harness.feed("nvidia_smi,uuid=a temperature_gpu=50i 1795248000123999999\n")
        #expect(harness.batch.rows[0].time.milliseconds == 1_795_248_000_123)
        harness.recordTime = Instant(milliseconds: 42)
        try harness.feed("nvidia_smi,uuid=a temperature_gpu=50i")
        #expect(harness.batch.rows[1].time.milliseconds == 42)
        try harness.feed(#"{"v":1,"ts":null,"device":"x/1","m":{"temp.core":50}}"#)
        #expect(harness.batch.rows[2].time.milliseconds == 42)
    }

    @Test(arguments: [UInt64](21...23))
    func `the fast reading of RFC 3339 agrees with the careful one`(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<5_000 {
            let instant = Instant(
                milliseconds: Int64(random.next() % 300_000_000_000_000) - 40_000_000_000_000)
            var text = instant.rfc3339
            if random.below(4) == 0 {
                var bytes = Array(text.utf8)
                bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next() & 0x7F)
                text = String(decoding: bytes, as: UTF8.self)
            }
            let bytes = Array("\"\(text)\"".utf8)
            let node = Node(
                kind: .string, flag: false, start: 1, end: Int32(bytes.count - 1), next: 1,
                value: 0)
            var careful = Instant(rfc3339: text.utf8)
            if let read = careful, read < .distantPast || read > .distantFuture { careful = nil }
            #expect(
                Timestamp.read(bytes.span, node, unit: .automatic) == careful,
                "seed \(seed): \(text)")
        }
    }

    @Test func `the future begins beyond the skew and takes samples but no faults`() throws {
        var harness = Harness()
        harness.recordTime = Instant(milliseconds: harness.now.milliseconds - 5)
        func message(_ milliseconds: Int64) -> String {
            #"{"v":1,"ts":\#(milliseconds),"device":"x/1","m":{"temp.core":50,"util.busy":1},"#
                + #""e":[{"code":79}]}"#
        }
        try harness.feed(message(harness.now.milliseconds + 60_000))
        #expect(harness.batch.rows.count == 1)
        try harness.feed(message(harness.now.milliseconds + 60_001))
        #expect(harness.batch.rows.count == 1)
        #expect(harness.batch.tally.future == 2)
        #expect(harness.faults == [79, 79])
        #expect(harness.batch.faults[1].time == harness.recordTime)
        #expect(
            harness.directory.devices[0].lastSeen.milliseconds == harness.now.milliseconds + 60_000)
        #expect(harness.isConsistent)
    }
}
