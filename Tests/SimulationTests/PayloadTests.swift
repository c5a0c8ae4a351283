import Fleet
import Foundation
import Telemetry
import Testing

@testable import Simulation

/// A payload through an independent parser.
func object(_ batch: MessageBatch, _ message: SimulatedMessage) throws -> [String: Any] {
    let parsed = try JSONSerialization.jsonObject(with: Data(batch.bytes[message.payload]))
    return try #require(parsed as? [String: Any])
}

@Suite("Payloads") struct PayloadTests {
    private func plan(_ format: PayloadFormat) -> FleetPlan {
        var plan = FleetPlan.dev(seed: 2, start: epoch)
        plan.format = format
        plan.faults = [
            Fault(
                .offBus(announced: true), of: .device(40), at: .seconds(60), for: .seconds(60)),
            Fault(.powerBrake, of: .host(1), at: .seconds(20), for: .seconds(90)),
            Fault(.remapFailed, of: .device(3), at: .seconds(30), for: .seconds(90)),
        ]
        return plan
    }

    @Test func `native messages say the numbers of the tick, and as many as they claim`() throws {
        let (batch, simulator) = try messages(plan(.native), for: .seconds(120))
        var tick = Tick()
        for message in batch.messages where message.faults == 0 {
            let json = try object(batch, message)
            #expect(json["v"] as? Int == 1)
            #expect(json["ts"] as? Int64 == message.eventTime.milliseconds)
            #expect(json["device"] as? String == batch.keyText(of: message))
            let values = try #require(json["m"] as? [String: Double])
            #expect(values.count == message.points)
            let device = try #require(
                simulator.identities.firstIndex { $0.id == batch.keyText(of: message) })
            let step = Int((message.eventTime.milliseconds - epoch.milliseconds) / 10_000)
            _ = simulator.tick(of: device, at: step, into: &tick)
            #expect(tick.time == message.eventTime)
            for definition in Vocabulary.canonical {
                guard let value = values[definition.name] else { continue }
                let wanted = tick[definition.metric]
                #expect(
                    abs(value - wanted) <= 0.51 && abs(value - wanted) <= abs(wanted) * 1e-3 + 0.5)
                #expect(definition.valid.contains(value), "\(definition.name) \(value)")
            }
        }
    }

    @Test func `a native message is this text`() throws {
        var quiet = plan(.native)
        quiet.delivery = .perfect
        let (batch, simulator) = try messages(quiet, for: .seconds(60))
        let own = batch.messages.filter { batch.keyText(of: $0) == simulator.identities[40].id }
        let message = try #require(own.first)
        let text = batch.text(of: message)
        let id = simulator.identities[40].id
        #expect(id.utf8.count == "nvidia/GPU-".count + 36)
        let head =
            #"{"v":1,"ts":\#(message.eventTime.milliseconds),"device":"\#(id)","#
            + #""host":"gpu-node-0006","index":0,"kind":"gpu","vendor":"nvidia","#
            + #""model":"h100-sxm5-80gb","labels":{"region":"us-east-1","cluster":"prod-a","#
            + #""rack":"r02","service":"chat-api","job_kind":"infer","team":"serving"},"#
            + #""m":{"util.busy":0."#
        #expect(text.hasPrefix(head), "\(text)")
        let event = batch.text(of: try #require(own.first { $0.faults > 0 }))
        let tail = #""m":{},"e":[{"type":"fault","code":79,"text":"GPU has fallen off the bus"}]}"#
        #expect(event.hasSuffix(tail), "\(event)")
    }

    @Test func `ranks are labelled inside a job, and unallocated devices belong to nobody`() throws
    {
        let (batch, simulator) = try messages(plan(.native), for: .seconds(20))
        func labels(_ device: Int) throws -> [String: String] {
            let message = try #require(
                batch.messages.first { batch.keyText(of: $0) == simulator.identities[device].id })
            return try #require(try object(batch, message)["labels"] as? [String: String])
        }
        #expect(try labels(21)["job"] == "llm-pretrain")
        #expect(try labels(21)["rank"] == "21")
        #expect(try labels(49)["rank"] == "1")
        #expect(try labels(60).keys.sorted() == ["cluster", "rack", "region"])
    }

    @Test func `telegraf messages are one line with integers, words and tags`() throws {
        let (batch, _) = try messages(plan(.telegraf(.seconds)), for: .seconds(120))
        #expect(batch.messages.count > 600)
        var brakes = 0
        var failures = 0
        for message in batch.messages {
            #expect(batch.text(of: message).hasSuffix("}\n"))
            let json = try object(batch, message)
            #expect(json["name"] as? String == "nvidia_smi")
            #expect(json["timestamp"] as? Int64 == message.eventTime.milliseconds / 1_000)
            let tags = try #require(json["tags"] as? [String: String])
            #expect("nvidia/\(tags["uuid"] ?? "")" == batch.keyText(of: message))
            #expect(tags["host"]?.hasPrefix("gpu-node-000") == true)
            let fields = try #require(json["fields"] as? [String: Any])
            #expect(fields.values.count { $0 is NSNumber } == message.points)
            #expect(fields["memory_total"] as? Int == 81_559)
            let used = try #require(fields["memory_used"] as? Int)
            let free = try #require(fields["memory_free"] as? Int)
            #expect(abs(used + free - 81_559) <= 1)
            brakes += fields["clocks_event_reason_hw_power_brake_slowdown"] as? Int ?? 0
            failures += fields["remapped_rows_failure"] as? String == "Yes" ? 1 : 0
        }
        #expect((70...74).contains(brakes))
        #expect((8...10).contains(failures))
    }

    @Test func `vector messages carry one value each`() throws {
        let (batch, simulator) = try messages(plan(.vector), for: .seconds(60))
        #expect(batch.messages.allSatisfy { $0.points == 1 })
        #expect(simulator.tally.points == simulator.tally.messages)
        var names: Set<String> = []
        for message in batch.messages {
            let json = try object(batch, message)
            names.insert(try #require(json["name"] as? String))
            let text = try #require(json["timestamp"] as? String)
            #expect(Instant(rfc3339: text.utf8) == message.eventTime)
            let body = try #require((json["gauge"] ?? json["counter"]) as? [String: Double])
            #expect(body["value"]?.isFinite == true)
            let tags = try #require(json["tags"] as? [String: String])
            #expect("nvidia/\(tags["UUID"] ?? "")" == batch.keyText(of: message))
        }
        #expect(names.count == 20)
        let xid = batch.messages.filter {
            let text = batch.text(of: $0)
            return text.contains("XID_ERRORS") && text.contains(#""value":79}"#)
        }
        #expect(xid.count == 1)
    }

    @Test func `a name with quotes, controls and emoji stays a name`() throws {
        var plan = FleetPlan(seed: 1, hosts: 1, start: epoch)
        let name = "a\"b\\c\u{1}\n🔔"
        plan.workloads = [Workload(name, .train, team: "é", devices: 0..<8)]
        for format in [PayloadFormat.native, .telegraf(.milliseconds), .vector] {
            plan.format = format
            let (batch, _) = try messages(plan, for: .seconds(20))
            let json = try object(batch, try #require(batch.messages.first))
            let labels = (json["labels"] ?? json["tags"]) as? [String: String]
            #expect(labels?["job"] == name)
            #expect(labels?["team"] == "é")
        }
    }

    struct Number: Sendable {
        let value: Double
        let decimals: Int
        let text: String
    }

    @Test(arguments: [
        Number(value: 0, decimals: 3, text: "0"),
        Number(value: -0.000_1, decimals: 3, text: "0"),
        Number(value: -1.5, decimals: 1, text: "-1.5"),
        Number(value: 0.999_999_9, decimals: 6, text: "1"),
        Number(value: 0.050_1, decimals: 6, text: "0.0501"),
        Number(value: 671.42, decimals: 3, text: "671.42"),
        Number(value: 85_520_809_984, decimals: 0, text: "85520809984"),
        Number(value: 8.999e15, decimals: 0, text: "8999000000000000"),
        Number(value: 1e18, decimals: 0, text: "1e+18"),
        Number(value: 9, decimals: 0, text: "9"),
        Number(value: 10, decimals: 0, text: "10"),
        Number(value: 999.999_9, decimals: 3, text: "1000"),
    ])
    func `numbers are written short and exact`(_ number: Number) {
        var bytes: [UInt8] = []
        bytes.append(number.value, decimals: number.decimals)
        #expect(String(decoding: bytes, as: UTF8.self) == number.text)
    }
}
