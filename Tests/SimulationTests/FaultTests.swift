import Fleet
import Foundation
import Telemetry
import Testing

@testable import Simulation

/// The same fleet with and without one fault, compared value by value.
struct Comparison {
    let clean: FleetSimulator
    let faulty: FleetSimulator
    let fault: Fault
    private static let start = Duration.seconds(600)
    private static let length = Duration.seconds(600)

    init(_ kind: Fault.Kind, of target: Fault.Target) throws {
        var plan = FleetPlan.dev(seed: 21, start: epoch)
        clean = try FleetSimulator(plan)
        fault = Fault(kind, of: target, at: Comparison.start, for: Comparison.length)
        plan.faults = [fault]
        faulty = try FleetSimulator(plan)
    }

    struct Difference: Hashable {
        let device: Int
        let metric: String
    }

    /// What differs within `seconds` of the simulation.
    func differences(_ seconds: Range<Int>) -> Set<Difference> {
        var (left, right) = (clean, faulty)
        var (before, after) = (Tick(), Tick())
        var found: Set<Difference> = []
        for device in clean.identities.indices {
            for step in seconds.lowerBound / 10..<seconds.upperBound / 10 {
                let speaks = left.remembered(device, at: step, into: &before)
                guard speaks == right.remembered(device, at: step, into: &after) else {
                    found.insert(Difference(device: device, metric: "silent"))
                    continue
                }
                guard speaks else { continue }
                for definition in Vocabulary.canonical {
                    let (old, new) = (before[definition.metric], after[definition.metric])
                    guard old != new, !(old.isNaN && new.isNaN) else { continue }
                    found.insert(Difference(device: device, metric: definition.name))
                }
            }
        }
        return found
    }

    func tick(_ device: Int, at seconds: Int) -> Tick {
        var tick = Tick()
        _ = faulty.tick(of: device, at: seconds / 10, into: &tick)
        return tick
    }

    func value(_ device: Int, _ metric: Metric, at seconds: Int) -> Double {
        tick(device, at: seconds)[metric]
    }

    func cleanValue(_ device: Int, _ metric: Metric, at seconds: Int) -> Double {
        var tick = Tick()
        _ = clean.tick(of: device, at: seconds / 10, into: &tick)
        return tick[metric]
    }
}

@Suite("Faults") struct FaultTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let kind: Fault.Kind
        let target: Fault.Target
        let devices: Set<Int>
        /// Metrics that may differ while it lasts.
        let metrics: Set<String>
        var testDescription: String { kind.catalogue.name }
    }

    static let heat: Set<String> = ["temp.core", "temp.mem", "temp.margin"]
    static let all: Set<String> = [
        "util.busy", "util.sm", "util.tensor", "util.membw", "mem.used", "power.draw",
        "clock.core", "link.bytes", "pcie.bytes", "throttle.reasons",
    ]

    static let cases: [Case] = [
        Case(
            kind: .offBus(announced: true), target: .device(35), devices: Set(32..<40),
            metrics: ["silent", "host.devices_visible"]),
        Case(kind: .hostDown, target: .host(3), devices: Set(24..<32), metrics: ["silent"]),
        Case(
            kind: .uncorrectableECC, target: .device(5), devices: [5],
            metrics: ["ecc.uncorrected", "fault.code"]),
        Case(
            kind: .remapFailed, target: .device(5), devices: [5],
            metrics: ["remap.failed", "fault.code"]),
        Case(
            kind: .hardwareThermal(ramp: .seconds(240)), target: .device(41), devices: [41],
            metrics: heat.union(["clock.core", "power.draw", "throttle.reasons"])),
        Case(
            kind: .powerBrake, target: .host(1), devices: Set(8..<16),
            metrics: heat.union(["clock.core", "power.draw", "throttle.reasons"])),
        Case(
            kind: .clockStuck(megahertz: 1_200), target: .device(50), devices: [50],
            metrics: heat.union(["clock.core", "power.draw", "throttle.reasons"])),
        Case(
            kind: .linkErrors(perSecond: 2), target: .device(12), devices: [12],
            metrics: ["link.errors"]),
        Case(
            kind: .straggler(slowdown: 0.12), target: .device(21), devices: Set(0..<32),
            metrics: heat.union(["clock.core", "power.draw", "util.tensor", "link.bytes"])),
        Case(
            kind: .hang, target: .workload("vision-ft"), devices: Set(48..<56),
            metrics: heat.union(all)),
        Case(
            kind: .crashAllocated, target: .workload("vision-ft"), devices: Set(48..<56),
            metrics: heat.union(all).subtracting(["mem.used"])),
        Case(
            kind: .idleAllocated, target: .workload("chat-api"), devices: Set(32..<48),
            metrics: heat.union(all)),
        Case(
            kind: .trafficDrop(factor: 0.6), target: .workload("chat-api"),
            devices: Set(32..<48),
            metrics: heat.union(all).subtracting(["mem.used", "clock.core", "throttle.reasons"])),
        Case(
            kind: .flatline, target: .device(2), devices: [2],
            metrics: heat.union(all).union(["temp.inlet"])),
    ]

    @Test(arguments: cases)
    func `a fault changes what it says, where and when it says, and nothing else`(
        _ one: Case
    )
        throws
    {
        let comparison = try Comparison(one.kind, of: one.target)
        #expect(comparison.differences(480..<590).isEmpty)
        let during = comparison.differences(600..<1_200)
        #expect(Set(during.map(\.device)) == one.devices)
        let metrics = Set(during.map(\.metric))
        #expect(
            metrics.isSubset(of: one.metrics),
            "also \(metrics.subtracting(one.metrics).sorted())")
        // A counter stays; all else is as if nothing had been, once the heat has gone.
        let after = Set(comparison.differences(2_400..<2_460).map(\.metric))
        #expect(after.isSubset(of: ["ecc.uncorrected", "link.errors", "fault.code"]))
    }

    @Test func `a thermal slowdown creeps up, and halves the clock at the top`() throws {
        let comparison = try Comparison(
            .hardwareThermal(ramp: .seconds(240)), of: .device(41))
        let before = comparison.value(41, .tempCore, at: 590)
        let half = comparison.value(41, .tempCore, at: 720)
        #expect(before < 60)
        #expect(half > before + 10 && half < 85)
        #expect(comparison.value(41, .throttleReasons, at: 720) == 0)
        let top = comparison.tick(41, at: 900)
        #expect(top[.tempCore] >= 90)
        #expect(Int(top[.throttleReasons]) & 0x48 == 0x48)
        #expect(top[.clockCore] == 990)
        #expect(comparison.value(41, .tempCore, at: 1_260) < 80)
    }

    @Test func `a straggler slows its peers and keeps its own share`() throws {
        let comparison = try Comparison(.straggler(slowdown: 0.12), of: .device(21))
        let (now, device) = (900, 21)
        let clock = comparison.value(device, .clockCore, at: now)
        #expect(abs(clock / comparison.cleanValue(device, .clockCore, at: now) - 0.88) < 0.001)
        #expect(
            comparison.value(device, .utilTensor, at: now)
                == comparison.cleanValue(device, .utilTensor, at: now))
        for peer in [0, 20, 31] {
            let ratio =
                comparison.value(peer, .utilTensor, at: now)
                / comparison.cleanValue(peer, .utilTensor, at: now)
            #expect(abs(ratio - 0.88) < 0.001)
            #expect(
                comparison.value(peer, .clockCore, at: now)
                    == comparison.cleanValue(peer, .clockCore, at: now))
        }
    }

    @Test func `a hung collective is busy, flat and silent on its links`() throws {
        let comparison = try Comparison(.hang, of: .workload("vision-ft"))
        for device in 48..<56 {
            let power = (620..<1_190).filter { $0 % 10 == 0 }.map {
                comparison.value(device, .powerDraw, at: $0)
            }
            #expect((0.25...0.55).contains(mean(power) / 700))
            #expect(deviation(power) / mean(power) < 0.015)
            let tick = comparison.tick(device, at: 900)
            #expect(tick[.utilBusy] == 1)
            #expect(tick[.utilTensor] == 0)
            #expect(tick[.linkBytes] == 0)
        }
    }

    @Test func `a power brake asserts bit 0x80 and halves clock and power`() throws {
        let comparison = try Comparison(.powerBrake, of: .host(1))
        let tick = comparison.tick(9, at: 900)
        #expect(Int(tick[.throttleReasons]) & 0x80 == 0x80)
        #expect(abs(tick[.powerDraw] / comparison.cleanValue(9, .powerDraw, at: 900) - 0.5) < 1e-9)
        #expect(tick[.tempCore] < comparison.cleanValue(9, .tempCore, at: 900) - 8)
    }

    @Test func `link errors come at their rate, and stay counted`() throws {
        let comparison = try Comparison(.linkErrors(perSecond: 2), of: .device(12))
        let first = comparison.value(12, .linkErrors, at: 590)
        let middle = comparison.value(12, .linkErrors, at: 900)
        let last = comparison.value(12, .linkErrors, at: 1_300)
        #expect((580...620).contains(middle - first))
        #expect(last - first == 1_200)
    }

    @Test func `a device off the bus says so, then nothing`() throws {
        var plan = FleetPlan.dev(seed: 4, start: epoch)
        plan.faults = [
            Fault(
                .offBus(announced: true), of: .device(35), at: .seconds(600), for: .seconds(300))
        ]
        let (batch, simulator) = try messages(plan, for: .seconds(1_200))
        let id = simulator.identities[35].id
        let own = batch.messages.filter { batch.keyText(of: $0) == id }
        let (start, end) = (epoch + .seconds(600), epoch + .seconds(900))
        #expect(!own.contains { $0.eventTime >= start && $0.eventTime < end })
        #expect(own.contains { $0.eventTime >= end })
        let events = own.filter { $0.faults > 0 }
        #expect(events.count == 1)
        let event = try #require(events.first)
        #expect(event.eventTime < start && event.eventTime >= start - .seconds(5))
        #expect(batch.text(of: event).contains(#""code":79"#))
        #expect(simulator.tally.silent == 30)
    }

    @Test func `an uncorrectable error comes with its cascade within two seconds`() throws {
        var plan = FleetPlan.dev(seed: 4, start: epoch)
        plan.delivery = .perfect
        plan.faults = [
            Fault(.uncorrectableECC, of: .device(1), at: .seconds(60), for: .seconds(60))
        ]
        let (batch, _) = try messages(plan, for: .seconds(120))
        let events = batch.messages.filter { $0.faults > 0 }
        let codes = events.map { event in
            [48, 94, 45].first { batch.text(of: event).contains("\"code\":\($0),") }
        }
        #expect(codes == [48, 94, 45])
        let last = try #require(events.last)
        let first = try #require(events.first)
        #expect(last.eventTime - first.eventTime < .seconds(2))
    }

    @Test func `a pipeline outage holds messages back and loses none`() throws {
        var plan = FleetPlan.dev(seed: 4, start: epoch)
        plan.delivery = .perfect
        plan.faults = [
            Fault(
                .pipelineOutage(hostShare: 0.5), of: .fleet, at: .seconds(300),
                for: .seconds(240))
        ]
        let (batch, simulator) = try messages(plan, for: .seconds(900))
        let held = batch.messages.filter { $0.deliveryTime != $0.eventTime }
        #expect(held.count == 4 * 8 * 24)
        #expect(simulator.tally.heldBack == UInt64(held.count))
        let end = epoch + .seconds(540)
        #expect(held.allSatisfy { $0.deliveryTime >= end && $0.deliveryTime <= end + .seconds(31) })
        // The step that begins with the last moment of the pull is still on its way.
        #expect(simulator.tally.taken - simulator.tally.messages == 64)
    }

    struct Refusal: Sendable {
        let fault: Fault
        let says: String
    }

    @Test(arguments: [
        Refusal(
            fault: Fault(.hostDown, of: .host(8), at: .zero, for: .seconds(1)),
            says: "fault host_down names host 8 of 8"),
        Refusal(
            fault: Fault(.hostDown, of: .device(1), at: .zero, for: .seconds(1)),
            says: "fault host_down cannot befall device 1"),
        Refusal(
            fault: Fault(.hang, of: .workload("x"), at: .zero, for: .seconds(1)),
            says: "fault hang names workload x; there are llm-pretrain, chat-api, vision-ft"),
        Refusal(
            fault: Fault(.flatline, of: .device(64), at: .zero, for: .seconds(1)),
            says: "fault flatline names device 64 of 64"),
        Refusal(
            fault: Fault(.flatline, of: .device(63), at: .zero, for: .zero),
            says: "fault flatline lasts 0s: make it longer"),
        Refusal(
            fault: Fault(.straggler(slowdown: 0.1), of: .device(40), at: .zero, for: .seconds(1)),
            says: "fault straggler needs a rank of a training job; device 40 is none"),
    ])
    func `a fault that cannot happen is refused in words`(_ refusal: Refusal) {
        var plan = FleetPlan.dev(seed: 1, start: epoch)
        plan.faults = [refusal.fault]
        #expect(throws: SimulationError(refusal.says)) { try FleetSimulator(plan) }
    }
}
