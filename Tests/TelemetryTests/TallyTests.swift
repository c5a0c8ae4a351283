import Fleet
import TestSupport
import Testing

@testable import Telemetry

/// Every value of a message that can be decoded ends in exactly one place.
@Suite("Tally") struct TallyTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let description: String
        let message: String
        let counter: @Sendable (Tally) -> UInt64
        var testDescription: String { description }

        init(
            _ message: String, _ description: String,
            _ counter: @escaping @Sendable (Tally) -> UInt64
        ) {
            (self.description, self.message, self.counter) = (description, message, counter)
        }
    }

    static let cases: [Case] = [
        Case(dcgm("9223372036854775794"), "the 64-bit blank", \.sentinel),
        Case(dcgm("9.223372036854776e18"), "the 64-bit blank as a double", \.sentinel),
        Case(dcgm("-9223372036854775808"), "the lowest integer", \.sentinel),
        Case(dcgm("2147483632"), "the 32-bit blank", \.sentinel),
        Case(dcgm("2147483647"), "the last of the 32-bit blanks", \.sentinel),
        Case(dcgm("2147483631"), "a number below the blanks", \.outOfRange),
        Case(dcgm("2147483648"), "a number above the blanks", \.outOfRange),
        Case(dcgm("140737488355328"), "the blank of doubles", \.sentinel),
        Case(dcgm("140737488355330.0"), "not supported, as a double", \.sentinel),
        Case(dcgm("140737488355327"), "a number below the blank of doubles", \.outOfRange),
        Case(dcgm("\"N/A\""), "not available", \.sentinel),
        Case(dcgm("\"[N/A]\""), "not available in brackets", \.sentinel),
        Case(dcgm("\"[Not Supported]\""), "not supported", \.sentinel),
        Case(dcgm("\"<<<NOT_SUPPORTED>>>\""), "DCGM's text", \.sentinel),
        Case(dcgm("\"\""), "an empty text", \.sentinel),
        Case(dcgm("\"hot\""), "a word", \.notANumber),
        Case(dcgm("NaN"), "Python's NaN", \.notANumber),
        Case(dcgm("Infinity"), "Python's infinity", \.notANumber),
        Case(dcgm("1e400"), "a number beyond Double", \.notANumber),
        Case(dcgm("-1e400"), "a number below Double", \.notANumber),
        Case(dcgm("0"), "a temperature of nothing", \.outOfRange),
        Case(dcgm("120.001"), "just above the range", \.outOfRange),
        Case(dcgm("-5"), "below the range", \.outOfRange),
    ]

    private static func dcgm(_ value: String) -> String {
        Fixture.dcgm("DCGM_FI_DEV_GPU_TEMP", value)
    }

    @Test(arguments: cases)
    func `a value that is none is counted and never seen`(_ example: Case) throws {
        var harness = Harness()
        try harness.feed(example.message)
        #expect(example.counter(harness.batch.tally) == 1)
        #expect(harness.batch.tally.rejected == 1)
        #expect(harness.batch.tally.points == 1)
        #expect(harness.batch.rows.isEmpty)
    }

    @Test func `a counter of bytes may look like a small blank`() throws {
        var harness = Harness()
        try harness.feed(Fixture.native(#""mem.used":2147483640,"energy.total":140737488355328"#))
        #expect(harness.value(.memUsed) == Double(Float(2_147_483_640)))
        #expect(harness.value(.energyTotal) == 140_737_488_355_328)
        #expect(harness.batch.tally.rejected == 0)
    }

    @Test func `values at both ends of their range are taken`() throws {
        var harness = Harness()
        for definition in Vocabulary.canonical {
            for value in [definition.valid.lowerBound, definition.valid.upperBound] {
                try harness.feed(Fixture.native(#""\#(definition.name)":\#(value)"#))
                let seen = harness.value(definition.metric)
                #expect(seen == (definition.kind == .counter ? value : Double(Float(value))))
            }
        }
        #expect(harness.batch.tally.rejected == 0)
        #expect(harness.isConsistent)
    }

    @Test func `readings and lanes of one row are each one point`() throws {
        var harness = Harness()
        try harness.feed(
            Fixture.native(#""mem.total":1e10,"ecc.corrected":5,"temp.core":"61","gone":null"#))
        #expect(harness.batch.tally.points == 3)
        #expect(harness.batch.rows.map(\.points) == [2, 1])
        let lanes = harness.batch.lanes.map { lanes in lanes.indices.count { !lanes[$0].isNaN } }
        #expect(lanes == [1, 1], "a counter's lane stays empty for its rate")
        #expect(harness.batch.readings.count == 1)
        #expect(harness.batch.readings[0].lane == UInt8(Metric.eccCorrected.lane))
        #expect(harness.isConsistent)
    }
}

extension TallyTests {
    @Test func `one row that names very many devices is written in turns`() throws {
        var harness = Harness { $0.opaqueFormats = [.auto] }
        let names = Catalogue.shared.everything.map(\.name).filter { !$0.contains("{") }
            .filter { !$0.contains("smi") || !$0.contains("/") }
        let opaque = (0..<200).map { "x\($0)" }
        let fields = (names + opaque).map { "\($0)=1" }.joined(separator: ",")
        try harness.feed(
            "all,uuid=u,serial_number=s,accelerator_id=a,instance_id=i,neuroncore=1,GPU_I_ID=1,"
                + "hw.id=1,host=h,vendor=v,index=1 \(fields) 1795248000000000000")
        #expect(harness.batch.rows.count > Record.rowsMax)
        #expect(harness.batch.tally.points == UInt64(names.count + opaque.count))
        #expect(harness.isConsistent)
    }
}

@Suite("Fuzz") struct FuzzTests {
    private static let corpus: [[UInt8]] = [
        Fixture.native, Fixture.influx, Fixture.influx + Fixture.influx, Fixture.telegraf,
        #"{"metrics":[\#(Fixture.telegraf),\#(Fixture.telegraf)]}"#, Fixture.vector,
        #"{"metric":\#(Fixture.vector)}"#, "[\(Fixture.vector),\(Fixture.vector)]",
        Fixture.adapter, Fixture.dcgm("DCGM_FI_DEV_XID_ERRORS", "79"),
        Fixture.dcgm("DCGM_FI_PROF_PCIE_TX_BYTES", "1"),
        Fixture.dcgm("DCGM_EXP_XID_ERRORS_COUNT", "2", labels: #","xid":"79""#),
        "prometheus,UUID=GPU-1,GPU_I_ID=2 DCGM_FI_DEV_GPU_TEMP=60,DCGM_FI_PROF_SM_ACTIVE=0.5 1",
    ].map { Array($0.utf8) }

    private static let pieces: [[UInt8]] = [
        "99999999999999999999999", "1e999", "-1e-999", "NaN", "{\"a\":", "[", "]", "}", "\\u0000",
        "\\ud800", "\\", "\"", ":", ",", "null", "true", "\u{0}", "\n", " ", "=",
        "9223372036854775794",
        String(repeating: "[", count: 40), String(repeating: "9", count: 600), "\"m\":{", "é",
        "\"metrics\":[{}]", "\"v\":1,", "\"ts\":-1,", "\"tags\":3,", "1763712000000000000",
    ].map { Array($0.utf8) }

    private func mutated(_ random: inout SeededGenerator) -> [UInt8] {
        var bytes = Self.corpus[random.below(Self.corpus.count)]
        for _ in 0...random.below(3) {
            guard !bytes.isEmpty else { break }
            let place = random.below(bytes.count)
            switch random.below(8) {
            case 0: bytes.removeSubrange(place...)
            case 1: bytes[place] ^= 1 << UInt8(random.below(8))
            case 2: bytes[place] = UInt8(truncatingIfNeeded: random.next())
            case 3:
                bytes.insert(contentsOf: Self.pieces[random.below(Self.pieces.count)], at: place)
            case 4: bytes.removeSubrange(place..<min(bytes.count, place + 1 + random.below(20)))
            case 5: bytes.removeSubrange(..<place)
            case 6:
                let other = Self.corpus[random.below(Self.corpus.count)]
                bytes.replaceSubrange(place..., with: other[random.below(other.count)...])
            default:
                let end = min(bytes.count, place + 1 + random.below(30))
                bytes.insert(contentsOf: bytes[place..<end], at: place)
            }
        }
        return bytes
    }

    @Test(arguments: [UInt64](1...8))
    func `no bytes trap, and a refused message leaves nothing behind`(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var harness = Harness(seed % 4 == 0 ? WireFormat.allCases[random.below(6)] : .auto) {
            $0.labelSetsMax = 500
            $0.namesMax = 300
            $0.opaqueFormats = seed % 3 == 0 ? Set(WireFormat.allCases) : [.native]
            $0.hashMask = seed % 5 == 0 ? 3 : .max
            $0.depthMax = 16
        }
        harness.directory = Directory(devicesMax: 200)
        for round in 0..<26_000 {
            if harness.batch.rows.count > 200 {
                let partitions = harness.batch.partitions
                harness.batch.removeAll()
                harness.batch.partitions = partitions
            }
            let before = harness.batch
            let refusal = harness.refusal(mutated(&random))
            if refusal != nil {
                guard harness.batch.rows.count == before.rows.count,
                    harness.batch.lanes.count == before.lanes.count,
                    harness.batch.readings.count == before.readings.count,
                    harness.batch.faults.count == before.faults.count,
                    harness.batch.tally == before.tally
                else {
                    Issue.record("seed \(seed), round \(round): traces of a refused message")
                    return
                }
            }
            guard harness.isConsistent else {
                Issue.record("seed \(seed), round \(round): \(harness.batch.tally)")
                return
            }
        }
        #expect(harness.directory.count <= 200)
        #expect(harness.decoder.statistics.undecodable > 1_000)
        #expect(harness.decoder.statistics.undecodable < 25_000)
    }

    @Test func `every beginning of every message is read or refused without harm`() {
        for message in Self.corpus {
            var harness = Harness()
            for end in 0...message.count {
                _ = harness.refusal(Array(message[..<end]))
                #expect(harness.isConsistent)
            }
        }
    }

    @Test(arguments: [UInt64](31...32))
    func `a message read twice from a fresh start says the same`(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<500 {
            let bytes = mutated(&random)
            var (one, two) = (Harness(), Harness { $0.hashMask = 0 })
            let (first, second) = (one.refusal(bytes), two.refusal(bytes))
            #expect(first == second, "seed \(seed)")
            #expect(one.batch.tally == two.batch.tally, "seed \(seed)")
            #expect(one.ids == two.ids, "seed \(seed)")
        }
    }
}
