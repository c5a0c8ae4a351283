import Fleet
import Testing

@testable import Telemetry

@Suite("Formats") struct FormatTests {
    @Test(arguments: [WireFormat.auto, .native])
    func `a native message becomes rows, labels and faults`(_ format: WireFormat) throws {
        var harness = Harness(format)
        try harness.feed(Fixture.native)
        #expect(harness.ids == ["nvidia/GPU-6b0d"])
        #expect(harness.value(.utilBusy) == 1)
        #expect(harness.value(.utilTensor) == Double(Float(0.37)))
        #expect(harness.value(.memUsed) == Double(Float(74_813_800_448)))
        #expect(harness.value(.powerLimit) == 700)
        #expect(harness.value(.clockCore) == 1_980)
        #expect(harness.batch.rows.map(\.group) == [0, 1])
        #expect(harness.batch.rows.map(\.points) == [6, 2])
        #expect(harness.batch.rows[0].time.milliseconds == 1_795_248_000_123)
        #expect(harness.faults == [79])
        #expect(harness.batch.faults[0].text == "GPU has fallen off the bus")
        let expected: KeyValuePairs<LabelKey, String> = [
            .region: "us-east-1", .cluster: "prod-a", .block: "su-07", .rack: "r12",
            .host: "gpu-node-0017", .slot: "4", .vendor: "nvidia", .model: "h100-sxm5-80gb",
            .kind: "gpu", .job: "llm-70b", .workload: "train", .team: "llm",
        ]
        #expect(harness.directory.devices[0].labels == Labels(expected))
        #expect(harness.isConsistent)
    }

    @Test(arguments: [WireFormat.auto, .influx])
    func `an influx line of nvidia_smi becomes canonical units`(_ format: WireFormat) throws {
        var harness = Harness(format)
        try harness.feed(Fixture.influx)
        #expect(harness.ids == ["nvidia/GPU-6b0d549b-6f03-675a-1600-a35a099950d8"])
        #expect(harness.label(.model) == "NVIDIA H100 80GB HBM3")
        #expect(harness.label(.host) == "gpu-node-0017")
        #expect(harness.value(.utilBusy) == 1)
        #expect(harness.value(.memUsed) == Double(Float(71_348 * 1_048_576)))
        #expect(harness.value(.powerDraw) == Double(Float(671.42)))
        #expect(harness.value(.throttleReasons) == 4)
        #expect(harness.value(.remapPending) == 0)
        #expect(harness.value(.pcieGenRatio) == 1)
        #expect(harness.batch.rows[0].time.milliseconds == 1_795_248_000_000)
        #expect(harness.batch.tally.points == 13, "the driver's version is no point")
        #expect(harness.isConsistent)
    }

    @Test(arguments: [WireFormat.auto, .telegrafJSON])
    func `Telegraf JSON adds up what belongs together`(_ format: WireFormat) throws {
        var harness = Harness(format)
        try harness.feed(Fixture.telegraf)
        #expect(harness.value(.pcieBytes) == 1_250_000)
        #expect(harness.value(.eccCorrected) == 7)
        #expect(harness.value(.remapFailed) == 1)
        #expect(harness.value(.tempMargin) == 24)
        #expect(harness.value(.throttlePowerTime) == 2.5)
        #expect(harness.batch.tally.points == 13)
        #expect(harness.batch.tally.ignored == 1, "encoder sessions")
        #expect(harness.isConsistent)
    }

    @Test func `a list of metrics and a list of lines are many records`() throws {
        var harness = Harness()
        try harness.feed(#"{"metrics":[\#(Fixture.telegraf),\#(Fixture.telegraf)]}"#)
        #expect(harness.batch.rows.count == 4)
        try harness.feed("# comment\n\n" + Fixture.influx + "\r\n" + Fixture.influx)
        #expect(harness.ids.count == 2)
        #expect(harness.isConsistent)
    }

    @Test(arguments: [WireFormat.auto, .vector])
    func `Vector sends one value in either of two wrappings`(_ format: WireFormat) throws {
        var harness = Harness(format)
        try harness.feed(Fixture.vector)
        try harness.feed(#"{"metric":\#(Fixture.vector)}"#)
        #expect(harness.ids == ["nvidia/GPU-604ac76c"])
        #expect(harness.value(.powerDraw) == Double(Float(614.883)))
        #expect(harness.batch.rows.count == 2)
        #expect(harness.label(.job) == "llm")
        #expect(harness.label(.rank) == "0")
        #expect(harness.label(.namespace) == "team-llm")
        #expect(harness.label(.slot) == "0000:0f:00.0")
        #expect(harness.isConsistent)
    }

    @Test func `Vector's tags may be lists and its distributions are counted`() throws {
        var harness = Harness()
        try harness.feed(
            #"{"name":"DCGM_FI_DEV_GPU_TEMP","tags":{"UUID":[null,"GPU-9","x"]},"kind":"absolute","#
                + #""gauge":{"value":50}}"#)
        #expect(harness.ids == ["nvidia/GPU-9"])
        #expect(harness.batch.rows[0].time == harness.recordTime, "no timestamp: the record's")
        try harness.feed(
            #"{"name":"x","kind":"incremental","distribution":{"samples":[],"statistic":"s"}}"#)
        #expect(harness.batch.tally.ignored == 1)
        try harness.feed(Fixture.dcgm("DCGM_FI_DEV_GPU_TEMP", "null", at: 9))
        #expect(harness.batch.tally.notANumber == 1)
        #expect(harness.isConsistent)
    }

    @Test(arguments: [WireFormat.auto, .prometheusAdapter])
    func `the adapter's values are text and its job is the scrape's`(_ format: WireFormat) throws {
        var harness = Harness(format)
        try harness.feed(Fixture.adapter)
        #expect(harness.value(.tempCore) == 61)
        #expect(harness.label(.host) == "gpu-node-0017")
        #expect(harness.label(.job).isEmpty)
        for word in ["NaN", "+Inf", "-Inf", "1e999"] {
            try harness.feed(Fixture.adapter.replacing(#""61""#, with: #""\#(word)""#))
        }
        #expect(harness.batch.tally.notANumber == 4)
        #expect(harness.decoder.statistics.labelMisses == 1, "the metric's name is no label")
        #expect(harness.isConsistent)
    }

    @Test func `all series of a device share one entry however its metric is called`() throws {
        var harness = Harness()
        for name in ["DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_SM_CLOCK"] {
            try harness.feed(
                Fixture.adapter.replacing("DCGM_FI_DEV_GPU_TEMP", with: name)
                    .replacing(#""61""#, with: #""120""#))
        }
        #expect(harness.decoder.statistics.labelMisses == 1)
        #expect(harness.decoder.statistics.labelHits == 2)
    }

    @Test func `white space and the order of keys change nothing`() throws {
        var harness = Harness()
        try harness.feed(
            "\n\t { \"m\" : { \"temp.core\" : 63 } , \"labels\" : { \"job\" : \"a\" } ,\r\n"
                + " \"device\" : \"x/1\" , \"ts\" : 1795248000000 , \"v\" : 1 } \n")
        try harness.feed(
            #" { "gauge" : {"value":61 } , "kind":"absolute","tags":{"UUID":"GPU-1"}, "#
                + #""name":"DCGM_FI_DEV_GPU_TEMP"}"#)
        try harness.feed(
            #"{"value":"61","timestamp":"2026-11-21T08:00:00Z","name":"DCGM_FI_DEV_GPU_TEMP", "#
                + #""labels":{"UUID":"GPU-2"}}"#)
        try harness.feed(
            #"{"timestamp":1795248000,"tags":{"uuid":"GPU-3"},"name":"nvidia_smi","#
                + #""fields":{"temperature_gpu":61}}"#)
        #expect(harness.ids == ["x/1", "nvidia/GPU-1", "nvidia/GPU-2", "nvidia/GPU-3"])
        #expect(harness.batch.tally.applied == 0)
        #expect(harness.batch.rows.count == 4)
    }

    struct Refused: Sendable, CustomTestStringConvertible {
        let text: String
        let reason: Undecodable.Reason
        var format = WireFormat.auto
        var testDescription: String { "\(reason): \(text.prefix(40))" }
    }

    static let refused: [Refused] = [
        Refused(text: "", reason: .empty),
        Refused(text: "  \n", reason: .empty),
        Refused(text: "# only a comment\n", reason: .empty),
        Refused(text: "7", reason: .unknownFormat),
        Refused(text: "\u{0A}\u{00}", reason: .unknownFormat),
        Refused(text: #"{"resourceMetrics":[]}"#, reason: .unknownFormat),
        Refused(text: "{}", reason: .unknownFormat),
        Refused(text: "[1]", reason: .unknownFormat),
        Refused(text: #"{"v":1,"m":{}"#, reason: .malformed),
        Refused(text: #"{"v":1,"m":{}} x"#, reason: .malformed),
        Refused(text: #"{"v":1,"m":{}}{}"#, reason: .malformed),
        Refused(text: #"{"v":1,"m":{"a":01}}"#, reason: .malformed),
        Refused(text: #"{"v":1,"m":{"a":1.}}"#, reason: .malformed),
        Refused(text: #"{"v":1,"m":{"a":.5}}"#, reason: .malformed),
        Refused(text: #"{"v":1,"m":{"a":+5}}"#, reason: .malformed),
        Refused(text: #"{"v":1,"m":{"a":1e}}"#, reason: .malformed),
        Refused(text: #"{"v":1,"m":{"a":-}}"#, reason: .malformed),
        Refused(text: #"{"v":1,"m":{"a":1,}}"#, reason: .malformed),
        Refused(text: #"{"v":1,,"m":{}}"#, reason: .malformed),
        Refused(text: #"{"v" 1,"m":{}}"#, reason: .malformed),
        Refused(text: #"{"v":1 "m":{}}"#, reason: .malformed),
        Refused(text: #"{"v":1,"m":[}}"#, reason: .malformed),
        Refused(text: #"{"v":1,"m":{"\x":1}}"#, reason: .malformed),
        Refused(text: #"{"v":1,"m":{"\u12g4":1}}"#, reason: .malformed),
        Refused(text: "{\"v\":1,\"m\":{\"a\tb\":1}}", reason: .malformed),
        Refused(text: #"{"v":1,"m":{"a":tru}}"#, reason: .malformed),
        Refused(text: #"{"v":1,"m":[1]}"#, reason: .malformed),
        Refused(text: #"{"v":2,"m":{"temp.core":1}}"#, reason: .unsupportedVersion),
        Refused(text: #"{"v":1}"#, reason: .missingField, format: .native),
        Refused(text: #"{"m":{}}"#, reason: .missingField, format: .native),
        Refused(text: #"{"v":1,"e":[{"text":"no code"}]}"#, reason: .missingField),
        Refused(text: #"{"v":1,"m":{},"ts":"yesterday"}"#, reason: .badTimestamp),
        Refused(text: #"{"v":1,"m":{},"ts":true}"#, reason: .badTimestamp),
        Refused(text: #"{"fields":{}}"#, reason: .missingField),
        Refused(text: #"{"name":"x","tags":{}}"#, reason: .missingField, format: .telegrafJSON),
        Refused(text: #"{"tags":{}}"#, reason: .missingField, format: .vector),
        Refused(text: #"{"labels":{}}"#, reason: .missingField, format: .prometheusAdapter),
        Refused(text: "cpu", reason: .malformed),
        Refused(text: "cpu usage", reason: .malformed),
        Refused(text: "cpu,host usage=1", reason: .malformed),
        Refused(text: "cpu,host=a usage=", reason: .malformed),
        Refused(text: "cpu,host=a usage=1 12x", reason: .malformed),
        Refused(text: "cpu,host=a usage=1 soon", reason: .badTimestamp),
        Refused(text: "cpu,host=a usage=\"open", reason: .malformed),
        Refused(text: "cpu,host=a usage=maybe", reason: .malformed),
    ]

    @Test(arguments: refused)
    func `what cannot be read is refused with its reason`(_ refused: Refused) {
        var harness = Harness(refused.format)
        #expect(harness.refusal(refused.text) == refused.reason)
        #expect(harness.batch.rows.isEmpty)
        #expect(harness.batch.tally == Tally())
        #expect(harness.decoder.statistics.undecodable == 1)
    }

    @Test func `depth and size are bounded exactly`() {
        func nested(_ depth: Int) -> String {
            #"{"v":1,"m":{},"x":"# + String(repeating: "[", count: depth - 1)
                + String(repeating: "]", count: depth - 1) + "}"
        }
        var harness = Harness(.native) { $0.depthMax = 8 }
        #expect(harness.refusal(nested(8)) == nil)
        #expect(harness.refusal(nested(9)) == .tooDeep)
        let message = Fixture.native(#""temp.core":50"#)
        var small = Harness(.native) { $0.messageBytesMax = message.utf8.count }
        #expect(small.refusal(message) == nil)
        #expect(small.refusal(message + " ") == .tooLarge)
        var deep = Harness()
        #expect(deep.refusal(String(repeating: "[", count: 100_000)) == .tooDeep)
    }

    @Test func `influx escapes are undone in tags, names and texts`() throws {
        var harness = Harness(.influx) { $0.opaqueFormats = [.influx] }
        try harness.feed(
            #"my\ probe,host=a\,b\=c\ d,index=1,vendor=ac\me odd\ \=\,name=3.5,note="a \"q\", b\\" "#
                + "1795248000000000000")
        #expect(harness.ids == [#"ac\me/a,b=c d/1"#])
        #expect(harness.vocabulary["odd =,name"] != nil)
        #expect(harness.batch.tally.points == 1)
        let metric = try #require(harness.vocabulary["odd =,name"])
        #expect(harness.value(metric) == 3.5)
    }

    @Test func `JSON escapes are undone and half a surrogate pair is no text`() throws {
        var harness = Harness()
        try harness.feed(
            Fixture.native(
                #""temp\u002ecore":50"#, device: #"a\/b\u00e9\ud83d\ude00"#,
                more: #","host":"q\"\\\t""#))
        #expect(harness.ids == ["a/bé😀"])
        #expect(harness.label(.host) == "q\"\\\t")
        #expect(harness.value(.tempCore) == 50)
        #expect(harness.refusal(Fixture.native("", device: #"\ud83d"#)) == nil, "never read")
        #expect(
            harness.refusal(Fixture.native(#""temp.core":50"#, device: #"\ud83d x"#)) == .notUTF8)
    }

    @Test func `labels that are kept must be UTF-8 and others need not`() {
        var harness = Harness()
        var bytes = Array(Fixture.native(#""temp.core":50"#, more: #","host":"a?b""#).utf8)
        let place = bytes.firstIndex(of: UInt8(ascii: "?")) ?? 0
        bytes[place] = 0xFF
        #expect(harness.refusal(bytes) == .notUTF8)
        var other = Array(
            Fixture.native(#""temp.core":50"#, more: #","labels":{"colour":"?"}"#).utf8)
        other[other.firstIndex(of: UInt8(ascii: "?")) ?? 0] = 0xFF
        #expect(harness.refusal(other) == nil)
    }

    @Test func `of equal keys the last one counts and the others are duplicates`() throws {
        var harness = Harness()
        try harness.feed(
            Fixture.native(#""temp.core":50,"temp.core":60,"energy.total":1,"energy.total":2"#))
        #expect(harness.value(.tempCore) == 60)
        #expect(harness.value(.energyTotal) == 2)
        #expect(harness.batch.tally.duplicate == 2)
        #expect(harness.isConsistent)
    }

    @Test func `a malformed tail leaves the batch as it was`() throws {
        var harness = Harness()
        try harness.feed(Fixture.influx)
        try harness.feed(Fixture.dcgm("DCGM_FI_DEV_XID_ERRORS", "0", at: 1))
        let (rows, tally) = (harness.batch.rows.count, harness.batch.tally)
        let (readings, faults) = (harness.batch.readings.count, harness.batch.faults.count)
        let remembered = harness.decoder.remembered
        #expect(harness.refusal(Fixture.influx + "broken line\n") == .malformed)
        let fault = Fixture.dcgm("DCGM_FI_DEV_XID_ERRORS", "79", at: 2)
        #expect(
            harness.refusal("[\(fault),{\"name\":\"x\",\"kind\":1,\"timestamp\":\"?\"}]")
                == .badTimestamp)
        #expect(harness.batch.rows.count == rows)
        #expect(harness.batch.lanes.count == rows)
        #expect(harness.batch.readings.count == readings)
        #expect(harness.batch.faults.count == faults)
        #expect(harness.batch.tally == tally)
        #expect(harness.decoder.remembered == remembered)
        try harness.feed(fault)
        #expect(harness.faults == [79], "the refused message had not used up the transition")
    }
}
