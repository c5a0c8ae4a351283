import Configuration
import Detection
import Fleet
import Testing

@testable import Rules
@testable import Telemetry

/// What must page, and how soon; what must not.
@Suite("The shipped rules") struct PackTests {
    private func training(hosts: Int = 2, rules: String? = nil) throws -> Scenario {
        let scenario = Scenario(book: try rules.map(Scenario.book) ?? Scenario.shipped())
        for host in 1...hosts { scenario.host("h\(host)", job: "llm-7") }
        return scenario
    }

    @Test func `the rules of the repository load without a problem`() throws {
        let book = try Scenario.shipped()
        #expect(book.rules.count >= 30)
        let pages = book.rules.filter { $0.mode == .live && $0.severity == .critical }
        #expect(pages.allSatisfy { !$0.runbook.isEmpty })
    }

    @Test func `four hours of training with checkpoints raise nothing`() throws {
        let scenario = try training(hosts: 1)
        scenario.behave(Array(0..<8), Shape.checkpointing)
        scenario.play(minutes: 240)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
    }

    @Test func `the start and the end of a job raise nothing`() throws {
        let scenario = Scenario(book: try Scenario.shipped())
        let devices = scenario.host("h1", Shape.idle)
        scenario.host("h2", job: "other")
        scenario.play(minutes: 10)
        scenario.assign(devices, job: "llm-8")
        // Loading: memory fills, the busy share jumps about.
        scenario.behave(devices) { second, noise in
            var shown = Shape.idle(second, &noise)
            shown?[.utilBusy] = 0.1 + 0.3 * noise.uniform()
            shown?[.powerDraw] = 110 + noise.normal(20)
            shown?[.memUsed] = 4e10 + noise.normal(2e9)
            return shown
        }
        scenario.play(minutes: 4)
        scenario.behave(devices, Shape.training)
        scenario.play(minutes: 60)
        scenario.assign(devices, job: "")
        scenario.behave(devices, Shape.idle)
        scenario.play(minutes: 45)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
    }

    @Test func `a power cap at full load raises nothing`() throws {
        let scenario = try training()
        let capped: [Metric: Float] = [.throttleReasons: 4, .clockCore: 1_755]
        scenario.behave(Array(0..<16), Shape.training(with: capped))
        scenario.play(minutes: 90)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
    }

    @Test func `a hung collective is found within four minutes and blames the job`() throws {
        let scenario = try training()
        scenario.behave(Array(0..<16), Shape.checkpointing)
        scenario.play(minutes: 70)
        scenario.behave(Array(0..<16), Shape.hung)
        let start = scenario.second
        scenario.play(minutes: 12)
        let finding = try #require(scenario.fired("job-hang").first)
        #expect(try #require(scenario.delay(of: "job-hang", from: start)) <= 240)
        #expect(scenario.findings.count == 1, "\(scenario.story)")
        #expect(finding.devices.count == 16)
        #expect(finding.cost == .hang && finding.lostFraction == 1)
        #expect(finding.summary.hasPrefix("job llm-7 hangs since "))
        #expect(finding.severity == .critical)
    }

    @Test func `a hang with one rank idle is still a hang`() throws {
        let scenario = try training()
        scenario.play(minutes: 20)
        scenario.behave(Array(0..<16), Shape.hung)
        scenario.behave([3], Shape.idle)
        scenario.play(minutes: 5)
        let finding = try #require(scenario.fired("job-hang").first)
        #expect(finding.devices.count == 15 && finding.blocked == ["nvidia/h1-3"])
    }

    @Test func `a job whose devices all go idle has stalled`() throws {
        let scenario = try training()
        scenario.play(minutes: 30)
        scenario.behave(Array(0..<16), Shape.idle)
        let start = scenario.second
        scenario.play(minutes: 45)
        #expect(scenario.findings.map(\.key.rule) == ["job-stall"], "\(scenario.story)")
        #expect(try #require(scenario.delay(of: "job-stall", from: start)) <= 360)
    }

    @Test func `a straggler of twelve percent is named within twenty minutes`() throws {
        let scenario = try training()
        scenario.play(minutes: 80)
        scenario.behave(
            [5], Shape.training(with: [.clockCore: 1_742, .utilTensor: 0.46]))
        // The others wait for it.
        let others = Array(0..<16).filter { $0 != 5 }
        scenario.behave(others) { second, noise in
            var shown = Shape.training(second, &noise)
            shown?[.utilTensor] = 0.37 + noise.normal(0.006)
            return shown
        }
        let start = scenario.second
        scenario.play(minutes: 25)
        let finding = try #require(scenario.fired("job-straggler").first)
        #expect(try #require(scenario.delay(of: "job-straggler", from: start)) <= 1_200)
        #expect(finding.devices == ["nvidia/h1-5"])
        #expect(finding.blocked.count == 15)
        #expect(
            finding.summary.hasPrefix("job llm-7 is slowed by GPU 5 on h1 since 11:")
                && finding.summary.hasSuffix(" UTC: median util.tensor -11 %"), "\(finding.summary)"
        )
        #expect(abs(finding.lostFraction - 0.12) < 0.03)
        #expect(finding.runbook.hasPrefix("Cordon GPU 5 on h1; expected speed-up 1"))
        #expect(scenario.findings.count == 1, "\(scenario.story)")
    }

    @Test func `a job that slows down as a whole names nobody`() throws {
        let scenario = try training()
        scenario.play(minutes: 80)
        scenario.behave(Array(0..<16)) { second, noise in
            var shown = Shape.training(second, &noise)
            shown?[.utilTensor] = 0.3 + noise.normal(0.006)
            return shown
        }
        scenario.play(minutes: 40)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
    }

    @Test func `an allocated and idle job is one finding after half an hour, with all devices`()
        throws
    {
        let scenario = Scenario(book: try Scenario.shipped())
        scenario.host("h1", job: "parked", Shape.idle)
        scenario.host("h2", job: "parked", Shape.idle)
        scenario.play(minutes: 29)
        #expect(scenario.findings.isEmpty)
        scenario.play(minutes: 6)
        #expect(scenario.fired("eff-idle-allocated").count == 1)
        let finding = try #require(scenario.findings.last)
        #expect(finding.devices.count == 16)
        #expect(finding.key.subject == Entity(kind: .job, name: "parked"))
        #expect(finding.cost == .idle && finding.lostFraction > 0.99)
        #expect(finding.severity == .medium)
        #expect(scenario.pages.isEmpty)
    }

    @Test func `a notebook may idle for an hour`() throws {
        let scenario = Scenario(book: try Scenario.shipped())
        let devices = scenario.host("h1", devices: 2, job: "nb", Shape.idle)
        for device in devices {
            var labels = scenario.directory.devices[device].labels
            labels[.workload] = "notebook"
            _ = scenario.directory.register(
                scenario.ids[device], labels: labels,
                origin: Partition(topic: "accel", number: 0), at: scenario.instant(0))
        }
        scenario.play(minutes: 58)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
        scenario.play(minutes: 5)
        #expect(scenario.fired("eff-idle-allocated").count == 1)
    }

    /// One metric set on one training device, and what must come of it.
    struct Case: Sendable, CustomTestStringConvertible {
        let rule: String
        let shown: [Metric: Float]
        /// Seconds from the fault within which the rule fires.
        let within: Int
        /// As long as this it may last without a word.
        let quietFor: Int
        let testDescription: String

        init(_ rule: String, _ shown: [Metric: Float], within: Int, quietFor: Int, _ words: String)
        {
            self.rule = rule
            self.shown = shown
            self.within = within
            self.quietFor = quietFor
            testDescription = words
        }

        static let all = [
            Case(
                "thm-hw-slowdown", [.throttleReasons: 0x40, .clockCore: 990], within: 90,
                quietFor: 40, "hardware thermal slowdown"),
            Case(
                "thm-sw-thermal", [.throttleReasons: 0x20, .clockCore: 1_600], within: 330,
                quietFor: 200, "software thermal slowdown"),
            Case(
                "pwr-brake", [.throttleReasons: 0x80, .powerDraw: 320], within: 60,
                quietFor: 20, "power brake"),
            Case(
                "clk-stuck-low", [.clockCore: 1_200], within: 360, quietFor: 240,
                "clock stuck low"),
            Case("lnk-degraded", [.linkHealth: 0.94], within: 150, quietFor: 90, "link down"),
            Case(
                "pcie-degraded", [.pcieWidthRatio: 0.5], within: 660, quietFor: 500,
                "PCIe width halved"),
            Case(
                "mem-remap-failed", [.remapFailed: 1], within: 15, quietFor: 0,
                "row remapping failed"),
            Case(
                "mem-remap-pending", [.remapPending: 1], within: 15, quietFor: 0,
                "row remapping pending"),
            Case(
                "tel-flatline", [.powerDraw: 641.357], within: 720, quietFor: 500,
                "a frozen power reading"),
        ]
    }

    @Test(arguments: Case.all)
    func `a fault of one device fires its rule in time, and a short one does not`(
        _ item: Case
    ) throws {
        let scenario = try training()
        scenario.play(minutes: 20)
        if item.quietFor > 0 {
            scenario.behave([6], Shape.training(with: item.shown))
            scenario.play(seconds: item.quietFor)
            scenario.behave([6], Shape.training)
            scenario.play(minutes: 20)
            #expect(scenario.findings.isEmpty, "\(scenario.story)")
        }
        scenario.behave([6], Shape.training(with: item.shown))
        let start = scenario.second
        scenario.play(seconds: item.within + 30)
        let delay = try #require(scenario.delay(of: item.rule, from: start))
        #expect(delay <= item.within && delay >= item.quietFor)
        #expect(Set(scenario.findings.map(\.key.rule)) == [item.rule], "\(scenario.story)")
        let finding = try #require(scenario.fired(item.rule).first)
        #expect(finding.devices.contains("nvidia/h1-6"))
        #expect(!finding.summary.contains("?") && !finding.runbook.contains("?"))
    }

    @Test func `one uncorrectable error is found at its reading, and a reboot is not one`() throws {
        let scenario = try training()
        for device in 0..<16 { scenario.count(device, .eccUncorrected, 3) }
        scenario.play(minutes: 15)
        scenario.count(2, .eccUncorrected, 0)
        scenario.play(minutes: 2)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
        scenario.count(2, .eccUncorrected, 1)
        let start = scenario.second
        scenario.play(minutes: 1)
        #expect(try #require(scenario.delay(of: "mem-ecc-uncorrected", from: start)) <= 10)
        let finding = try #require(scenario.findings.first)
        #expect(finding.summary.hasPrefix("GPU 2 on h1: increase of ecc.uncorrected 1"))
    }

    @Test func `link errors page by their rate, and a single replay does not`() throws {
        let scenario = try training()
        scenario.count(1, .linkErrors, 40)
        scenario.play(minutes: 10)
        scenario.count(1, .linkErrors, 41)
        scenario.play(minutes: 10)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
        var errors = 41.0
        for _ in 0..<18 {
            errors += 5
            scenario.count(1, .linkErrors, errors)
            scenario.play(seconds: 10)
        }
        #expect(scenario.findings.map(\.key.rule) == ["lnk-errors"])
    }

    @Test func `a host that counts one device less than usual says so`() throws {
        let scenario = try training()
        scenario.play(minutes: 20)
        scenario.behave(Array(0..<8), Shape.training(with: [.hostDevicesVisible: 7]))
        let start = scenario.second
        scenario.play(minutes: 1)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
        scenario.play(minutes: 1)
        #expect(try #require(scenario.delay(of: "tel-device-count", from: start)) <= 100)
        // All eight still send: somebody is lost, and nobody knows who.
        let finding = try #require(scenario.findings.first)
        #expect(
            finding.summary.hasPrefix("host h1 sees 7 of its 8 devices since 10:20:")
                && finding.summary.hasSuffix(" UTC; missing: not known which"), "\(finding.summary)"
        )
        #expect(finding.devices == ["unknown/h1-1"] && finding.labels[.model] == "H100")
    }

    @Test func `four slowed devices of a host are a power brake, not four thermal faults`() throws {
        let scenario = try training()
        scenario.play(minutes: 20)
        scenario.behave(Array(0..<5), Shape.training(with: [.throttleReasons: 8]))
        scenario.play(minutes: 4)
        #expect(scenario.findings.map(\.key.description) == ["pwr-brake on host h1"])
    }

    @Test func `memory that grows to its end is told an hour before`() throws {
        let scenario = try training()
        scenario.play(minutes: 20)
        let begin = scenario.second
        scenario.behave([0]) { second, noise in
            var shown = Shape.training(second, &noise)
            // From 60 to 80 GB in two hours.
            shown?[.memUsed] = 6e10 + 2e10 * Float(second - begin) / 7_200
            return shown
        }
        scenario.play(minutes: 120)
        let delay = try #require(scenario.delay(of: "mem-leak", from: begin))
        #expect(delay <= 3_900)
        #expect(scenario.findings.map(\.key.rule) == ["mem-leak"], "\(scenario.story)")
    }

    @Test func `memory without a job is an orphan`() throws {
        let scenario = Scenario(book: try Scenario.shipped())
        scenario.host("h1", devices: 2) { second, noise in
            var shown = Shape.idle(second, &noise)
            shown?[.memUsed] = 3e10
            return shown
        }
        scenario.play(minutes: 25)
        #expect(scenario.fired("mem-orphan").count == 2)
        #expect(scenario.findings.count == 2)
    }

    @Test func `a dead replica is found among its peers`() throws {
        let scenario = Scenario(book: try Scenario.shipped())
        let serving: Scenario.Behaviour = { second, noise in
            var shown = Shape.training(second, &noise)
            shown?[.utilBusy] = 0.5 + noise.normal(0.03)
            shown?[.utilTensor] = 0.12
            shown?[.powerDraw] = 380 + noise.normal(8)
            return shown
        }
        scenario.host("h1", service: "chat", serving)
        scenario.play(minutes: 20)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
        scenario.behave([2]) { second, noise in
            var shown = Shape.idle(second, &noise)
            shown?[.memUsed] = 7.36e10
            return shown
        }
        let start = scenario.second
        scenario.play(minutes: 8)
        #expect(try #require(scenario.delay(of: "inf-replica-outlier", from: start)) <= 360)
        #expect(scenario.findings.map(\.key.subject.name) == ["nvidia/h1-2"])
    }

    @Test func `a job that dies three times in an hour is a restart loop`() throws {
        let scenario = try training()
        scenario.play(minutes: 10)
        for _ in 0..<3 {
            scenario.behave(Array(0..<16), Shape.training)
            scenario.play(minutes: 12)
            scenario.behave(Array(0..<16), Shape.idle)
            scenario.play(minutes: 4)
        }
        #expect(scenario.fired("job-restart-loop").count == 1, "\(scenario.story)")
    }

    @Test func `half a rack that heats up is the cooling, not eight devices`() throws {
        let scenario = try training()
        scenario.play(minutes: 20)
        let begin = scenario.second
        scenario.behave(Array(0..<16)) { second, noise in
            var shown = Shape.training(second, &noise)
            let risen = 62 + 1.2 * Float(second - begin) / 60
            shown?[.tempCore] = (min(risen, 86) + noise.normal(0.3)).rounded()
            return shown
        }
        scenario.play(minutes: 18)
        #expect(scenario.pages.map(\.key.description) == ["thm-rack-heating on rack r1"])
    }
}
