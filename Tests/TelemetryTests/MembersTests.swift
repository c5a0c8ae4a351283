import Bytes
import Fleet
import TestSupport
import Testing

@testable import Telemetry

/// Native messages in one pass: a faster way to the same result, or none.
@Suite struct MembersTests {
    private static func direct(_ change: (inout DecoderSettings) -> Void = { _ in }) -> Harness {
        Harness(.native) {
            $0.shapeBytesMax = 0
            change(&$0)
        }
    }

    private static func onTape(_ change: (inout DecoderSettings) -> Void = { _ in }) -> Harness {
        direct {
            $0.readsDirectly = false
            change(&$0)
        }
    }

    @Test func `a message of known keys and labels needs no tape, whatever their order`() throws {
        var harness = Self.direct()
        let members = [
            #""v":1"#, #""ts":1795248000000"#, #""device":"nvidia/GPU-1""#,
            #""m":{"temp.core":61,"mem.used":74813800448,"energy.total":123456789012,"own.x":-1.5}"#,
        ]
        try harness.feed("{\(members.joined(separator: ","))}")
        #expect(harness.decoder.statistics.memberHits == 0)
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
            try harness.feed("{\(order.map { members[$0] }.joined(separator: ","))}")
        }
        // The first key of a message is another literal than one that follows a comma.
        #expect(harness.decoder.statistics.memberHits == 4)
        #expect(harness.value(.tempCore) == 61)
        #expect(harness.value(.energyTotal) == 123_456_789_012)
        #expect(harness.batch.tally.points == 20)
        #expect(harness.isConsistent)
    }

    @Test func `white space as Python writes it costs nothing, and is one run of labels`() throws {
        for learns in [false, true] {
            var harness = Harness(.native) { if !learns { $0.shapeBytesMax = 0 } }
            for number in 0..<4 {
                try harness.feed(
                    #"{"v": 1, "ts": 179524800\#(number)000, "device": "nvidia/GPU-1", "#
                        + #""host": "h", "index": 3, "labels": {"job": "a", "team": "b"}, "#
                        + #""m": {"util.busy": 0.5, "temp.core": 6\#(number)}, "e": []}"#
                        + (number == 3 ? "\n" : ""))
            }
            let statistics = harness.decoder.statistics
            #expect(learns ? statistics.shapeHits == 2 : statistics.memberHits == 3)
            #expect(harness.value(.tempCore) == 63)
            #expect(harness.label(.job) == "a" && harness.label(.host) == "h")
            #expect(harness.isConsistent)
        }
    }

    @Test(arguments: [
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1","m":{"temp.core":61}"#,
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1","m":{"temp.core":61}}}"#,
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1","m":{"temp.core":61}},"#,
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1","m":{"temp.core":61,}}"#,
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1","m":{"temp.core":061}}"#,
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1","m":{"temp.core":61.}}"#,
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1","m":{"temp.core":nul}}"#,
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1","m":{,"temp.core":61}}"#,
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1"{"m":{"temp.core":61}}"#,
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1,"m":{"temp.core":61}}"#,
        #"{"v":1,"ts":1e40,"device":"nvidia/GPU-1","m":{"temp.core":61}}"#,
        #"{"v":11,"ts":1795248000000,"device":"nvidia/GPU-1","m":{"temp.core":61}}"#,
        #"{"v":2,"ts":1795248000000,"device":"nvidia/GPU-1","m":{"temp.core":61}}"#,
        #"{"ts":1795248000000,"device":"nvidia/GPU-1","m":{"temp.core":61}}"#,
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1"}"#,
        #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-1","m":{"temp.core":61},"e":[}"#,
    ])
    func `what the tape refuses is refused although its keys are known`(_ text: String) throws {
        var harness = Self.direct()
        var plain = Self.onTape()
        for _ in 0..<3 { try harness.feed(Fixture.native(#""temp.core":61"#)) }
        #expect(harness.decoder.statistics.memberHits == 2)
        let (refusal, expected) = (harness.refusal(text), plain.refusal(text))
        #expect(refusal != nil && refusal == expected)
        #expect(harness.batch.rows.count == 3)
        // And nothing of it stays.
        try harness.feed(Fixture.native(#""temp.core":62"#))
        #expect(harness.value(.tempCore) == 62)
    }

    @Test func `keys at the end of messages are noted once, however often they are learned`() throws
    {
        var harness = Self.direct()
        for number in 0..<100 {
            // New labels are read in full, and teach their keys.
            try harness.feed(
                #"{"v":1,"ts":1795248000000,"device":"nvidia/GPU-\#(number)","#
                    + #""m":{"temp.core":61,"mem.used":7},"e":[]}"#)
            try harness.feed(
                #"{"device":"amd/GPU-\#(number)","v":1,"m":{"temp.core":61,"mem.used":7}}"#)
        }
        // v, ts, device, m and e, two metrics, and the two that stand for beginnings.
        #expect(harness.decoder.members.entries.count == 9)
        #expect(harness.decoder.statistics.labelMisses == 200)
        #expect(harness.isConsistent)
    }

    @Test func `labels that stood apart are not taken for ones without what stood between`() throws
    {
        var harness = Self.direct()
        let apart =
            #"{"v":1,"device":"nvidia/GPU-1","ts":1795248000000,"host":"h","m":{"temp.core":6}}"#
        for _ in 0..<3 { try harness.feed(apart) }
        let joined =
            #"{"v":1,"device":"nvidia/GPU-1""host":"h","ts":1795248000000,"m":{"temp.core":6}}"#
        #expect(harness.refusal(joined) == .malformed)
        #expect(harness.refusal(joined) == .malformed)
        #expect(harness.batch.rows.count == 3)
    }

    @Test(arguments: [UInt64.max, 0])
    func `labels that begin alike are told apart by how they end`(_ hashMask: UInt64) throws {
        var harness = Self.direct { $0.hashMask = hashMask }
        let prefix = String(repeating: "x", count: 90)
        for round in 0..<60 {
            for end in ["a", "b", "bc"] {
                try harness.feed(
                    #"{"v":1,"ts":1795248000000,"host":"\#(prefix)","device":"d/\#(end)","labels":{"#
                        + #""job":"\#(end)"},"m":{"temp.core":\#(round + 10)}}"#)
                #expect(harness.value("d/\(end)", .tempCore) == Double(round + 10))
            }
        }
        #expect(harness.decoder.statistics.memberHits > 150)
        #expect(harness.ids == ["d/a", "d/b", "d/bc"])
        #expect(harness.batch.rows.count == 180)
    }

    @Test func `keys learned before the names were forgotten are forgotten with them`() throws {
        var harness = Self.direct { $0.namesMax = 3 }
        for number in 0..<40 {
            try harness.feed(
                Fixture.native(#""temp.core":\#(number + 20),"own.\#(number / 3 % 5)":1"#))
            #expect(harness.value(.tempCore) == Double(number + 20))
        }
        #expect(harness.decoder.statistics.nameClears > 0)
        #expect(harness.decoder.statistics.memberHits > 0)
        #expect(harness.isConsistent)
    }

    @Test func `messages that teach no layout are soon read directly`() throws {
        var harness = Harness(.native)
        // A layout has no place for a time that is a text.
        let odd =
            #"{"v":1,"ts":"2026-11-21T08:00:00Z","device":"nvidia/GPU-1","m":{"temp.core":61}}"#
        for _ in 0..<200 { try harness.feed(odd) }
        #expect(harness.decoder.statistics.memberHits > 150)
        for _ in 0..<200 { try harness.feed(Fixture.native(#""temp.core":61"#)) }
        #expect(harness.decoder.statistics.shapeHits > 100)
        #expect(harness.batch.rows.count == 400)
        #expect(harness.isConsistent)
    }
}

extension MembersTests {
    @Test(arguments: [2, 8, 4_321, 77_777] as [UInt64], [UInt64.max, 0])
    func `the direct way says exactly what the tape says`(_ seed: UInt64, hashMask: UInt64) {
        var random = SeededGenerator(seed: seed)
        let isAuto = random.below(2) == 0
        func harness(_ isDirect: Bool) -> Harness {
            Harness(isAuto ? .auto : .native) {
                $0.shapeBytesMax = 0
                $0.readsDirectly = isDirect
                $0.hashMask = hashMask
                if seed == 8 { $0.opaqueFormats = [] }
            }
        }
        var direct = harness(true)
        var tape = harness(false)
        var texts: [String] = []
        for number in 0..<4_000 {
            let bytes = Self.message(&random)
            texts.append(String(decoding: bytes, as: UTF8.self))
            let refused = (direct.refusal(bytes), tape.refusal(bytes))
            guard refused.0 == refused.1 else {
                Issue.record("seed \(seed), message \(number), \(refused): \(texts)")
                return
            }
            // A few together, because to compare them takes longer than to read them.
            guard random.below(8) == 0 else { continue }
            guard Self.digest(direct) == Self.digest(tape), direct.isConsistent else {
                Issue.record("seed \(seed), message \(number) or one of before it: \(texts)")
                return
            }
            texts.removeAll()
            Self.empty(&direct)
            Self.empty(&tape)
        }
        #expect(direct.decoder.statistics.memberHits > 500, "seed \(seed)")
        #expect(tape.decoder.statistics.memberHits == 0, "seed \(seed)")
    }

    private static func empty(_ harness: inout Harness) {
        let partitions = harness.batch.partitions
        harness.batch.removeAll()
        harness.batch.partitions = partitions
    }

    /// A native message of one of a few producers: mostly sound, sometimes odd, now and then broken.
    private static func message(_ random: inout SeededGenerator) -> [UInt8] {
        let producer = random.below(4)
        let space = producer == 1 ? " " : ""
        var metrics: [String] = []
        var names = [
            "util.busy", "temp.core", "power.draw", "pcie.bytes", "own.thing", "mem.used",
            "energy.total", "ecc.corrected", "throttle.reasons", "clock.core", "v", "m",
        ]
        if random.below(20) == 0 { names.append("DCGM_FI_DEV_GPU_TEMP") }
        if random.below(40) == 0 { names.append("a.name.that.is.too.long.for.a.literal") }
        if producer == 2 { names.reverse() }
        for name in names where random.below(9) > 0 {
            metrics.append("\"\(name)\":\(space)\(number(name, &random))")
        }
        if random.below(25) == 0 { metrics.append("\"temp.core\":\(number("temp.core", &random))") }
        if random.below(25) == 0 {
            metrics.append("\"energy.total\":\(number("energy.total", &random))")
        }
        if random.below(25) == 0 { metrics.append(#""te\u006dp.core":5"#) }
        let time = 1_795_248_000_000 + random.below(random.below(40) == 0 ? 100_000_000 : 50_000)
        let stamp =
            switch random.below(12) {
            case 0: "\(time / 1_000)"
            case 1: #""2026-11-21T08:00:00.123Z""#
            case 2: "\(time).5"
            case 3: "null"
            default: "\(time)"
            }
        let index = random.below(5)
        // A device that two of them tell of has other labels each time, and is looked at closely.
        let owner = random.below(12) == 0 ? 9 : producer
        let odd = random.below(40)
        let job = odd == 0 ? "a}" : odd < 5 ? "job-b" : "a"
        var members = [
            "\"v\":\(space)1", "\"ts\":\(space)\(stamp)",
            "\"device\":\(space)\"nvidia/GPU-6b0d549b-6f03-675a-1600-a35a099\(owner)\(index)\"",
        ]
        if producer != 3 { members.append("\"host\":\(space)\"node-\(index % 2)\"") }
        if producer > 0 { members.append("\"index\":\(space)\(index * 3)") }
        if producer < 2 {
            members.append("\"labels\":\(space){\"job\":\(space)\"\(job)\",\(space)\"team\":\"t\"}")
        }
        if random.below(12) == 0 { members.append("\"note\":\(space)\"text, with {marks}\"") }
        members.append("\"m\":\(space){\(metrics.joined(separator: ",\(space)"))}")
        switch random.below(30) {
        case 0: members.append(#""e":[{"type":"fault","code":79}]"#)
        case 1: members.append(#""e":[]"#)
        case 2: members.append(#""e":null"#)
        case 3: members.swapAt(random.below(members.count), random.below(members.count))
        case 4: members.append(members[random.below(members.count)])
        default: break
        }
        var bytes = Array("{\(members.joined(separator: ",\(space)"))}".utf8)
        if random.below(14) == 0 {
            let marks = Array(#"",}{:0.x\ "#.utf8)
            bytes[random.below(bytes.count)] = marks[random.below(marks.count)]
        }
        if random.below(40) == 0 { bytes.removeSubrange(random.below(bytes.count)...) }
        if random.below(40) == 0, !bytes.isEmpty {
            bytes[random.below(bytes.count)] = UInt8(truncatingIfNeeded: random.next())
        }
        return bytes
    }

    private static func number(_ name: String, _ random: inout SeededGenerator) -> String {
        switch random.below(1_500) {
        case 0: return "-1"
        case 1: return "9223372036854775794"
        case 2: return "1e999"
        case 3: return "NaN"
        case 4...9: return "null"
        case 10: return #""37""#
        case 11: return "2147483632"
        case 12: return "01"
        case 13: return "1e1"
        case 14: return "true"
        case 15: return "[1]"
        default: break
        }
        return switch name {
        case "util.busy":
            random.below(9) == 0 ? "0.30000000000000004" : "0.\(1 + random.below(9_999))"
        case "temp.core", "DCGM_FI_DEV_GPU_TEMP":
            "\(10 + random.below(90))" + (random.below(5) == 0 ? ".25" : "")
        case "clock.core": "\(1_000 + random.below(900))"
        case "throttle.reasons": "\(random.below(300))"
        case "power.draw": "\(random.below(700)).\(random.below(1_000))"
        case "own.thing": "-\(random.below(1_000)).5"
        default: "\(random.below(random.below(2) == 0 ? 1_000 : 1_000_000_000_000))"
        }
    }

    private static func digest(_ harness: Harness) -> String {
        let lanes = harness.batch.lanes.map { vector in
            (0..<16).map { vector[$0].isNaN ? 1 : vector[$0].bitPattern }
        }
        let seen = harness.directory.devices.map { "\($0.id) \($0.lastSeen) \($0.labels.pairs)" }
        let statistics = harness.decoder.statistics
        return
            "\(harness.batch.rows) \(lanes) \(harness.batch.readings) \(harness.batch.faults) "
            + "\(harness.batch.tally) \(seen) \(harness.decoder.remembered) "
            + "\(statistics.labelHits) \(statistics.labelMisses) \(statistics.undecodable)"
    }
}

/// The loads that those rest on: whatever is asked, they stay inside.
@Suite struct MemberWordsTests {
    private static let strange = [
        Int.min, Int.min + 7, -1_000, -64, -9, -1, Int.max - 64, Int.max - 7, Int.max,
    ]

    private static func word(
        _ bytes: [UInt8], _ key: KeyLiteral, _ at: Int, _ first: UInt8
    )
        -> UInt64?
    { bytes.span.word(behind: key, at: at, first: first) }

    private static func matches(
        _ bytes: [UInt8], _ key: KeyLiteral, _ at: Int, _ first: UInt8
    )
        -> Bool
    { bytes.span.matches(key, at: at, first: first) }

    private static func first(_ bytes: [UInt8], _ byte: UInt8, _ start: Int) -> Int {
        bytes.span.first(byte, from: start)
    }

    private static func isSame(
        _ one: [UInt8], _ start: Int, _ length: Int, _ other: [UInt8]
    )
        -> Bool
    { one.span.isSame(start, length, other.span, at: start) }

    @Test func `a key matches its own bytes and no others, and gives the word behind it`() {
        let bytes = (0..<140).map { UInt8(truncatingIfNeeded: $0 &* 11 &+ 3) }
        for length in 1...KeyLiteral.lengthMax {
            let key = KeyLiteral(bytes.span, 5..<5 + length)
            let behind = (0..<8).reduce(0 as UInt64) {
                $0 | UInt64(bytes[5 + length + $1]) << UInt64($1 * 8)
            }
            #expect(Self.word(bytes, key, 5, bytes[5]) == behind)
            #expect(Self.matches(bytes, key, 5, bytes[5]))
            for changed in 5..<5 + length {
                var other = bytes
                other[changed] ^= 1
                #expect(Self.word(other, key, 5, bytes[5]) == nil)
                #expect(Self.matches(other, key, 5, bytes[5]) == false)
                // The first one, and only that, may be another by agreement.
                #expect((Self.word(other, key, 5, bytes[5] ^ 1) != nil) == (changed == 5))
            }
            for offset in Self.strange + [77, 140] {
                #expect(Self.word(bytes, key, offset, 0) == nil)
            }
            for offset in Self.strange + [109, 140] {
                #expect(!Self.matches(bytes, key, offset, 0))
            }
        }
        let nothing = [UInt8](repeating: 0xFF, count: 140)
        #expect(Self.word([UInt8](repeating: 0, count: 140), KeyLiteral(), 5, 0) == nil)
        #expect(Self.word(nothing, KeyLiteral(), 5, 0xFF) == nil)
    }

    @Test func `a byte is found where it stands first, and nowhere else`() {
        for count in 0...150 {
            var bytes = [UInt8](repeating: 7, count: count)
            #expect(Self.first(bytes, 9, 0) == count)
            for start in Self.strange {
                #expect(Self.first(bytes, 9, start) == count)
            }
            guard count > 0 else { continue }
            for place in Set([0, count / 3, count / 2, count - 1]) {
                bytes[place] = 9
                #expect(Self.first(bytes, 9, 0) == place, "\(count)")
                #expect(Self.first(bytes, 9, place) == place)
                #expect(Self.first(bytes, 9, place + 1) == count)
                bytes[place] = 7
            }
        }
    }

    @Test func `long runs are the same when they are, and never outside`() {
        let one = (0..<260).map { UInt8(truncatingIfNeeded: $0) }
        for length in [0, 1, 8, 63, 64, 65, 127, 128, 129, 200, 256] + [-1, 261, .max, .min] {
            for start in Array(0...4) + Self.strange {
                let isInside = length >= 0 && length <= 260 && start >= 0 && start <= 260 - length
                #expect(Self.isSame(one, start, length, one) == isInside)
                guard isInside else { continue }
                for changed in start..<start + length {
                    var other = one
                    other[changed] ^= 0x80
                    #expect(!Self.isSame(one, start, length, other), "\(length) \(changed)")
                }
            }
        }
    }

    @Test func `a block's hash depends on each of its bytes and on nothing else`() {
        let bytes = (0..<90).map { UInt8(truncatingIfNeeded: $0 &* 29) }
        func hash(_ bytes: [UInt8], _ start: Int) -> UInt64 { bytes.span.hashOfBlock(start) }
        var seen: Set<UInt64> = [hash(bytes, 10)]
        for changed in 0..<90 {
            for bit in 0..<8 {
                var other = bytes
                other[changed] ^= 1 << UInt8(bit)
                let isInside = (10..<74).contains(changed)
                #expect(seen.insert(hash(other, 10)).inserted == isInside)
            }
        }
        for start in Self.strange + [27, 90] { #expect(hash(bytes, start) == 0) }
    }

    @Test(arguments: [5, 66, 777] as [UInt64])
    func `a long integer reads as it does anywhere else`(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var taken = 0
        for _ in 0..<30_000 {
            let digits = 1 + random.below(18)
            var text = String((0..<digits).map { _ in Character("\(random.below(10))") })
            if random.below(8) == 0 { text += [".5", "e3", "E3", "x", " "][random.below(5)] }
            let bytes = Array((text + ",").utf8) + [UInt8](repeating: 0, count: 40)
            let long = Number.long(bytes.span, at: 0, bytes.span.word(at: 0))
            guard let long else { continue }
            taken += 1
            let parsed = Number.parse(bytes.span, at: 0)
            guard long.value == parsed?.value, long.end == parsed?.end,
                long.isInteger == parsed?.isInteger
            else {
                Issue.record("seed \(seed): \(text) read as \(long)")
                return
            }
        }
        #expect(taken > 5_000, "seed \(seed)")
    }
}
