import Fleet
import Foundation
import Testing

@testable import Rules
@testable import Telemetry

/// What a rule must find, and beside it what looks alike and must not wake anyone.
@Suite("Faults and near misses") struct NearMissTests {
    private func training(hosts: Int = 2, step: Int64 = 5_000) throws -> Scenario {
        let scenario = Scenario(book: try Scenario.shipped(), step: step)
        for host in 1...hosts { scenario.host("h\(host)", job: "llm-7") }
        return scenario
    }

    private func rules(_ scenario: Scenario) -> Set<String> {
        Set(scenario.findings.map(\.key.rule))
    }

    // Memory.

    @Test func `a remapping that waits for three days is overdue, one of 71 hours is not`() throws {
        let scenario = Scenario(book: try Scenario.shipped(), step: 60_000)
        scenario.period = 60
        scenario.host("h1", devices: 2, Shape.idle)
        scenario.play(minutes: 20)
        scenario.behave([0, 1]) { second, noise in
            var shown = Shape.idle(second, &noise)
            shown?[.remapPending] = 1
            return shown
        }
        scenario.play(minutes: 71 * 60)
        #expect(rules(scenario) == ["mem-remap-pending"], "\(scenario.story)")
        // One of them is reset in time.
        scenario.behave([1], Shape.idle)
        scenario.play(minutes: 90)
        let finding = try #require(scenario.fired("mem-remap-overdue").first)
        #expect(scenario.fired("mem-remap-overdue").count == 1)
        #expect(finding.key.subject.name == "nvidia/h1-0")
        #expect(finding.runbook.hasSuffix("has waited for 3 days."), "\(finding.runbook)")
    }

    @Test func `a row that waits for remapping has not failed, and the other way round`() throws {
        let scenario = try training()
        scenario.play(minutes: 12)
        scenario.behave([2], Shape.training(with: [.remapPending: 1]))
        scenario.behave([9], Shape.training(with: [.remapFailed: 1]))
        scenario.play(minutes: 5)
        #expect(
            scenario.findings.map(\.key.description).sorted() == [
                "mem-remap-failed on device nvidia/h2-1",
                "mem-remap-pending on device nvidia/h1-2",
            ], "\(scenario.story)")
    }

    @Test func `rows that were remapped in order are no remapping that waits or failed`() throws {
        let scenario = try training()
        for device in 0..<16 { scenario.count(device, .remapCorrected, 2) }
        scenario.play(minutes: 12)
        scenario.count(4, .remapCorrected, 5)
        scenario.count(4, .remapUncorrected, 1)
        scenario.play(minutes: 20)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
    }

    @Test func `memory that fills and then stays, or grows for days, is no leak`() throws {
        let scenario = try training()
        scenario.play(minutes: 20)
        let begin = scenario.second
        scenario.behave([0]) { second, noise in
            var shown = Shape.training(second, &noise)
            // A caching allocator: from half to 92 % within 25 minutes, and there it stays.
            let minutes = Float(second - begin) / 60
            shown?[.memUsed] = min(7.36e10, 4.2e10 + 3.16e10 * minutes / 25)
            return shown
        }
        scenario.behave([1]) { second, noise in
            var shown = Shape.training(second, &noise)
            // A gigabyte in ten hours, from 70 %.
            shown?[.memUsed] = 5.6e10 + 1e9 * Float(second - begin) / 36_000 + noise.normal(1e7)
            return shown
        }
        scenario.play(minutes: 180)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
    }

    @Test func `memory that a job gives back within ten minutes is no orphan`() throws {
        let scenario = Scenario(book: try Scenario.shipped())
        let devices = scenario.host("h1", job: "llm-7")
        scenario.play(minutes: 20)
        // The job ends; its processes take nine minutes to die.
        scenario.assign(devices, job: "")
        scenario.behave(devices) { second, noise in
            var shown = Shape.idle(second, &noise)
            shown?[.memUsed] = 7e10
            return shown
        }
        scenario.play(minutes: 9)
        scenario.behave(devices, Shape.idle)
        scenario.play(minutes: 30)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
    }

    @Test func `a driver's own memory on a free device is no orphan`() throws {
        let scenario = Scenario(book: try Scenario.shipped())
        scenario.host("h1") { second, noise in
            var shown = Shape.idle(second, &noise)
            shown?[.memUsed] = 9e8
            return shown
        }
        scenario.play(minutes: 40)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
    }

    // Jobs.

    @Test func `an honest pause of four minutes is no stall`() throws {
        let scenario = try training()
        scenario.play(minutes: 30)
        for _ in 0..<3 {
            scenario.behave(Array(0..<16), Shape.idle)
            scenario.play(minutes: 4)
            scenario.behave(Array(0..<16), Shape.training)
            scenario.play(minutes: 30)
        }
        #expect(!rules(scenario).contains("job-stall"), "\(scenario.story)")
        // Such pauses are usual by now: three times as long is one.
        scenario.behave(Array(0..<16), Shape.idle)
        let start = scenario.second
        scenario.play(minutes: 11)
        #expect(scenario.fired("job-stall").isEmpty, "\(scenario.story)")
        scenario.play(minutes: 4)
        let delay = try #require(scenario.delay(of: "job-stall", from: start))
        #expect(delay >= 660 && delay <= 840)
    }

    @Test func `a job that ends is no stall`() throws {
        let scenario = try training()
        scenario.play(minutes: 30)
        scenario.behave(Array(0..<16), Shape.idle)
        scenario.play(minutes: 1)
        scenario.assign(Array(0..<16), job: "")
        scenario.play(minutes: 40)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
    }

    // Heat.

    private func heating(
        from begin: Int, _ perMinute: Float, upTo most: Float
    )
        -> Scenario
        .Behaviour
    {
        { second, noise in
            var shown = Shape.training(second, &noise)
            let risen = 62 + perMinute * Float(second - begin) / 60
            shown?[.tempCore] = (min(risen, most) + noise.normal(0.3)).rounded()
            return shown
        }
    }

    @Test func `a device that heats up is told before it slows down`() throws {
        let scenario = try training()
        scenario.play(minutes: 20)
        let begin = scenario.second
        scenario.behave([5], heating(from: begin, 1.2, upTo: 86))
        scenario.play(minutes: 19)
        #expect(rules(scenario) == ["thm-margin-forecast"], "\(scenario.story)")
        let finding = try #require(scenario.fired("thm-margin-forecast").first)
        #expect(finding.key.subject.name == "nvidia/h1-5")
        // 87 °C would be reached after 21 minutes.
        let delay = try #require(scenario.delay(of: "thm-margin-forecast", from: begin))
        #expect(delay <= 18 * 60, "\(delay)")
        #expect(finding.summary.hasPrefix("GPU 5 on h1 is at 8"), "\(finding.summary)")
        let words = try #require(finding.evidence.first).phrase
        #expect(
            words.contains("rises 1.") && words.contains(" °C a minute, at 87 °C in "), "\(words)")
    }

    @Test func `a device that warms up to its working heat is not told`() throws {
        let scenario = try training()
        scenario.play(minutes: 20)
        let begin = scenario.second
        // Hot, but steady; and one that climbs fast and stops at 78.
        scenario.behave([5], Shape.training(with: [.tempCore: 83]))
        scenario.behave([6], heating(from: begin, 2.5, upTo: 78))
        scenario.behave([7], heating(from: begin, 0.2, upTo: 90))
        scenario.play(minutes: 90)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
    }

    @Test func `less than half a rack that heats up is not the cooling of the rack`() throws {
        let scenario = try training(hosts: 3)
        scenario.play(minutes: 20)
        let begin = scenario.second
        scenario.behave(Array(0..<8), heating(from: begin, 1.2, upTo: 86))
        scenario.play(minutes: 18)
        #expect(rules(scenario) == ["thm-margin-forecast"], "\(scenario.story)")
        #expect(scenario.fired("thm-margin-forecast").count == 8)
    }

    @Test func `a rack that starts to work warms up and says nothing`() throws {
        let scenario = Scenario(book: try Scenario.shipped())
        for host in 1...2 { scenario.host("h\(host)", job: "llm-7", Shape.idle) }
        scenario.play(minutes: 20)
        let begin = scenario.second
        scenario.behave(Array(0..<16)) { second, noise in
            var shown = Shape.training(second, &noise)
            // With a time constant of three minutes, from 33 to 79 °C.
            let share = 1 - exp(-Float(second - begin) / 180)
            shown?[.tempCore] = (33 + 46 * share + noise.normal(0.3)).rounded()
            return shown
        }
        scenario.play(minutes: 60)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
    }

    // PCIe.

    @Test func `replays beyond the bit error rate are told, those within are not`() throws {
        let scenario = try training()
        scenario.count(1, .pcieReplays, 1_000)
        scenario.count(2, .pcieReplays, 1_000)
        scenario.play(minutes: 10)
        let start = scenario.second
        var replays = 1_000.0
        // Four a tick are 24 a minute, seven are 42.
        for _ in 0..<36 {
            replays += 7
            scenario.count(1, .pcieReplays, replays)
            scenario.count(2, .pcieReplays, 1_000 + (replays - 1_000) / 7 * 4)
            scenario.play(seconds: 10)
        }
        #expect(
            scenario.findings.map(\.key.description) == ["pcie-replays on device nvidia/h1-1"],
            "\(scenario.story)")
        let delay = try #require(scenario.delay(of: "pcie-replays", from: start))
        #expect(delay >= 180 && delay <= 210)
        let finding = try #require(scenario.findings.first)
        #expect(
            finding.summary.hasPrefix(
                "GPU 1 on h1: pcie.replays 42 per minute (limit above 31), since "),
            "\(finding.summary)")
    }

    @Test func `a burst of replays is no link that replays`() throws {
        let scenario = try training()
        scenario.count(1, .pcieReplays, 5)
        scenario.play(minutes: 10)
        scenario.count(1, .pcieReplays, 305)
        scenario.play(minutes: 30)
        #expect(scenario.findings.isEmpty, "\(scenario.story)")
    }
}
