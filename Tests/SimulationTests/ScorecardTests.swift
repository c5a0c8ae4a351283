import Fleet
import Telemetry
import TestSupport
import Testing

@testable import Simulation

/// `live` minutes into the demo.
private func live(_ minutes: Double) -> Instant {
    epoch + .milliseconds(Int64(minutes * 60_000))
}

@Suite("Scorecard") struct ScorecardTests {
    let simulator: FleetSimulator
    let labels: [FaultLabel]

    init() throws {
        simulator = try FleetSimulator(
            DemoScenario(seed: 1, liveStart: epoch, losesHost: true).plan)
        labels = simulator.labels
    }

    private func page(
        _ id: String, _ rules: [String], _ entity: Entity, at minutes: Double,
        devices: [String] = []
    ) -> ReceivedPage {
        ReceivedPage(
            id: id, rules: rules, entity: entity, devices: devices, firstEvent: live(minutes),
            firstWall: live(minutes), severity: .high)
    }

    private func device(_ ordinal: Int) -> Entity {
        Entity(kind: .device, name: simulator.identities[ordinal].id)
    }

    private func card(_ pages: ReceivedPage...) -> Scorecard {
        Scorecard(labels: labels, pages: pages, topology: simulator.topology)
    }

    private func row(_ card: Scorecard, _ id: String) throws -> Scorecard.Row {
        try #require(card.rows.first { $0.id == id })
    }

    @Test func `labels say what, where, since when and which rule should speak`() throws {
        #expect(
            labels.map(\.id) == [
                "F18-0001", "F01-0002", "F07-0003", "F15-0004", "F16-0005", "F02-0006",
            ])
        #expect(
            labels.map(\.place) == [
                "sweep-eval", "gpu-node-0005 gpu 3", "gpu-node-0006 gpu 1",
                "gpu-node-0003 gpu 5", "vision-ft", "gpu-node-0008",
            ])
        #expect(labels.map(\.isPageClass) == [false, true, true, true, true, true])
        #expect(labels[3].job == "llm-pretrain")
        #expect(labels[3].expected == ["job-straggler"])
        #expect(labels[2].detectable == labels[2].start + .seconds(240))
        #expect(labels[4].members.count == 8)
    }

    @Test func `the table names what was found, what was missed and what was made up`() throws {
        var straggler = page("c", ["clk-stuck-low", "job-straggler"], device(21), at: 25.5)
        straggler.highestTier = .two
        straggler.isAcknowledged = true
        straggler.costPerHour = Money(dollars: 26.42)
        let job = Entity(kind: .job, name: "vision-ft")
        var hang = page("d", ["job-hang"], job, at: 34.25)
        hang.costPerHour = Money(dollars: 55.04)
        hang.highestTier = .three
        let card = card(
            straggler, hang,
            page("a", ["evt-xid", "tel-device-absent"], device(35), at: 2.98),
            page("b", ["job-stall"], Entity(kind: .job, name: "sweep-eval"), at: 0),
            page("e", ["mem-leak"], device(60), at: 30))
        try expectSnapshot(
            card.text,
            """
            fault                    where                found by       delay   tier  acked  $/h
            F18-0001 idle_allocated  sweep-eval           (job-stall)    6m      1     no     $0.00
            F01-0002 off_bus         gpu-node-0005 gpu 3  evt-xid        0s      1     no     $0.00
            F07-0003 hw_thermal      gpu-node-0006 gpu 1  MISSED         -       -     -      -
            F15-0004 straggler       gpu-node-0003 gpu 5  job-straggler  11m30s  2     yes    $26.42
            F16-0005 hang            vision-ft            job-hang       3m15s   3     no     $55.04
            F02-0006 host_down       gpu-node-0008        MISSED         -       -     -      -

            found: 3 of 6
            missed that must page: F07-0003, F02-0006
            pages that no fault explains: mem-leak on gpu-node-0008 gpu 4 at 02:30:00
            """)
        #expect(card.missedPageClass == ["F07-0003", "F02-0006"])
        #expect(card.falsePages.map(\.id) == ["e"])
        #expect(card.recall == 0.5)
    }

    @Test func `a page that comes one interval early counts, one that comes earlier does not`()
        throws
    {
        let early = page("a", ["tel-device-absent"], device(35), at: 3 - 10.0 / 60)
        #expect(try row(card(early), "F01-0002").isExpected)
        let tooEarly = page("a", ["tel-device-absent"], device(35), at: 3 - 10.1 / 60)
        #expect(try row(card(tooEarly), "F01-0002").page == nil)
        #expect(card(tooEarly).falsePages.count == 1)
    }

    @Test func `a page counts until the grace after the end is over`() throws {
        // The hang ends at 46 minutes, its grace is five.
        let job = Entity(kind: .job, name: "vision-ft")
        #expect(try row(card(page("a", ["job-hang"], job, at: 51)), "F16-0005").isExpected)
        #expect(try row(card(page("a", ["job-hang"], job, at: 51.01)), "F16-0005").page == nil)
    }

    @Test func `an ancestor or descendant may be blamed, a neighbour may not`() throws {
        func found(_ entity: Entity) throws -> Bool {
            try row(card(page("a", ["job-straggler"], entity, at: 25)), "F15-0004").isExpected
        }
        #expect(try found(device(21)))
        #expect(try found(Entity(kind: .host, name: "gpu-node-0003")))
        #expect(try found(Entity(kind: .job, name: "llm-pretrain")))
        #expect(try found(Entity(kind: .cluster, name: "prod-a")))
        #expect(try !found(device(20)))
        #expect(try !found(Entity(kind: .host, name: "gpu-node-0002")))
        #expect(try !found(Entity(kind: .job, name: "vision-ft")))
    }

    @Test func `the wrong rank stays wrong although the page lists the whole job`() throws {
        let wrong = page(
            "a", ["job-straggler"], device(20), at: 25, devices: labels[3].members)
        #expect(card(wrong).missedPageClass.contains("F15-0004"))
        #expect(card(wrong).falsePages.map(\.id) == ["a"])
    }

    @Test func `a consequence is neither false nor enough`() throws {
        let only = page("a", ["clk-stuck-low"], device(21), at: 22)
        let row = try row(card(only), "F15-0004")
        #expect(!row.isExpected && row.rule == "clk-stuck-low")
        #expect(card(only).falsePages.isEmpty)
        #expect(card(only).missedPageClass.contains("F15-0004"))
    }

    @Test func `the expected rule wins over an earlier consequence, and both are counted`() throws {
        let card = card(
            page("a", ["clk-stuck-low"], device(21), at: 20),
            page("b", ["job-straggler"], device(21), at: 26))
        let row = try row(card, "F15-0004")
        #expect(row.rule == "job-straggler")
        #expect(row.delay == .seconds(12 * 60))
        #expect(row.pages == 2)
    }

    @Test func `the delay of what creeps up counts from when it can be known`() throws {
        let card = card(page("a", ["thm-margin-forecast"], device(41), at: 11))
        #expect(try row(card, "F07-0003").delay == .zero)
    }
}

@Suite("Pacer") struct PacerTests {
    @Test func `ten seconds of wall time are a hundred of event time at ten to one`() {
        let pacer = Pacer(wallStart: epoch, eventStart: live(-60), compression: 10)
        #expect(pacer.eventTime(atWall: epoch + .seconds(10)) == live(-60) + .seconds(100))
        #expect(pacer.wallTime(ofEvent: live(-60) + .seconds(100)) == epoch + .seconds(10))
        #expect(pacer.eventTime(atWall: epoch) == live(-60))
    }

    @Test(arguments: [0, -1, .nan, .infinity])
    func `a compression that no clock can follow is real time`(_ compression: Double) {
        let pacer = Pacer(wallStart: epoch, eventStart: epoch, compression: compression)
        #expect(pacer.eventTime(atWall: epoch + .seconds(5)) == epoch + .seconds(5))
    }
}

@Suite("Demo") struct DemoTests {
    @Test func `no two faults of the demo touch the same device`() throws {
        let labels = try FleetSimulator(DemoScenario(seed: 1, liveStart: epoch).plan).labels
        let touched = labels.flatMap(\.members)
        #expect(Set(touched).count == touched.count)
        #expect(labels.allSatisfy { $0.expected.count > 0 })
    }

    @Test func `the history is quiet and the parked job never runs`() throws {
        let scenario = DemoScenario(seed: 1, liveStart: epoch)
        let simulator = try FleetSimulator(scenario.plan)
        let first = simulator.labels.map(\.start).min()
        #expect(first == epoch - .seconds(360))
        let walk = Int(DemoScenario.history.seconds / 10) - 40
        let busy = series(simulator, 57, .utilBusy, walk..<walk + 340)
        #expect(busy.count == 340 && busy.allSatisfy { $0 == 0 })
        var batch = MessageBatch()
        var walker = simulator
        walker.jump(to: epoch - .seconds(400))
        while walker.next(upTo: epoch, messagesMax: .max, into: &batch) {}
        let own = batch.messages.filter { batch.keyText(of: $0) == simulator.identities[57].id }
        let allocated = own.filter { batch.text(of: $0).contains(#""job":"sweep-eval""#) }
        #expect(allocated.allSatisfy { $0.eventTime >= epoch - .seconds(360) })
        #expect((34...37).contains(allocated.count))
        #expect(own.count > allocated.count)
    }

    @Test func `every fault of the demo shows in the messages`() throws {
        let scenario = DemoScenario(seed: 1, liveStart: epoch, losesHost: true)
        let simulator = try FleetSimulator(scenario.plan)
        func value(_ device: Int, _ metric: Metric, at minutes: Double) -> Double? {
            var tick = Tick()
            let start = epoch - DemoScenario.history
            let step = Int((live(minutes) - start).seconds / 10)
            return simulator.tick(of: device, at: step, into: &tick) ? tick[metric] : nil
        }
        #expect(value(35, .utilBusy, at: 2.5) != nil)
        #expect(value(35, .utilBusy, at: 3.5) == nil)
        #expect(value(41, .throttleReasons, at: 11.5) == 0)
        #expect(value(41, .throttleReasons, at: 12.5) == 0x48)
        #expect((value(21, .clockCore, at: 20) ?? 0) < 0.89 * 1_980)
        #expect((value(20, .clockCore, at: 20) ?? 0) > 0.95 * 1_980)
        #expect(value(50, .linkBytes, at: 32) == 0)
        #expect(value(60, .utilBusy, at: 41.5) != nil)
        #expect(value(60, .utilBusy, at: 42.5) == nil)
    }
}
