import Fleet
import Telemetry
import TestSupport
import Testing

@testable import Rules

/// What the shipped figures promise (reference, rules and simulator 5.1 and 5.3).
@Suite(.serialized) struct CalibrationTests {
    @Test func `a member that runs five percent slow is named within twenty minutes`() throws {
        let scenario = Scenario(book: try Scenario.shipped())
        for host in ["h1", "h2"] { scenario.host(host, job: "llm-7", Shape.checkpointing) }
        scenario.play(minutes: 102)
        // The slow one works all the time; the others wait for it.
        for device in 0..<16 {
            scenario.behave([device]) { second, noise in
                var shown = Shape.checkpointing(second, &noise)
                guard let tensor = shown?[.utilTensor], tensor > 0 else { return shown }
                shown?[.utilTensor] = (device == 5 ? 0.42 : 0.399) + noise.normal(0.006)
                if device == 5 { shown?[.clockCore] = 1_881 - 15 * abs(noise.normal(1)) }
                return shown
            }
        }
        let start = scenario.second
        scenario.play(minutes: 25)
        let delay = try #require(scenario.delay(of: "job-straggler", from: start))
        print("a straggler of 5 % is named after \(delay) s")
        #expect(delay <= 1_200)
        #expect(scenario.fired("job-straggler").map(\.devices) == [["nvidia/h1-5"]])
    }

    @Test func `eight degrees over six hours are ticketed within five`() throws {
        let scenario = Scenario(book: try Scenario.shipped(), step: 60_000)
        scenario.period = 60
        scenario.host("h1", devices: 2, job: "llm-7")
        scenario.play(minutes: 26 * 60)
        let start = scenario.second
        scenario.behave([0]) { second, noise in
            var shown = Shape.training(second, &noise)
            let hours = Float(second - start) / 3_600
            shown?[.tempCore] = (62 + min(8, hours * 8 / 6) + noise.normal(0.4)).rounded()
            return shown
        }
        scenario.play(minutes: 6 * 60)
        let finding = try #require(scenario.shadow.first { $0.key.rule == "thm-drift" })
        let hours = (finding.at - scenario.instant(start)).seconds / 3_600
        print("a drift of 8 °C over 6 h is ticketed after \(hours) h")
        #expect(hours <= 5 && finding.key.subject.name == "nvidia/h1-0")
        #expect(scenario.shadow.filter { $0.key.rule == "thm-drift" }.count == 1)
    }

    /// The room breathes by 1.2 °C a day and 0.4 °C over hours; the sensor shows whole degrees.
    @Test func `six thousand device-days of a breathing room hold at most three false drifts`()
        throws
    {
        let shipped = try Scenario.shipped()
        let rule = try #require(shipped["thm-drift"])
        guard case .leaf(let leaf) = rule.condition, case .cusum(let test) = leaf.test else {
            Issue.record("thm-drift is no CUSUM any more")
            return
        }
        var random = SeededGenerator(seed: 1)
        var alarms = 0
        for _ in 0..<200 as Range<Int> {
            var pool = Pool(timeStride: 1, numberStride: Drift.numbers + 3)
            pool.grow(to: 1)
            let slice = Pool.Slice(end: 0, sum: Drift.numbers, stride: 1)
            var room: Float = 0
            var wasFiring = false
            for interval in 0..<(30 * 288) as Range<Int64> {
                let day = Float(interval % 288) / 288
                room += -room / 36 + 0.4 * (2.0 / 36).squareRoot() * Float(random.normal())
                let value = 62 + 1.2 * Wave.sine(day) + room + 0.1 * Float(random.normal())
                Drift.feed(value, at: interval * 300_000, test, &pool, slice, at: 0)
                let isFiring =
                    Drift.truth(test, pool, at: 0, isFiring: wasFiring) == .yes
                if isFiring && !wasFiring { alarms += 1 }
                wasFiring = isFiring
            }
        }
        print("\(alarms) false drifts in 6000 device-days")
        #expect(alarms <= 3)
    }

    /// Autocorrelated noise of 0.8 at ten seconds: a bare limit cries, the holds that ship do not.
    @Test func `a limit of three cries all day, four held for five minutes never`() throws {
        let scenario = Scenario(
            book: try Scenario.book(
                """
                - {id: bare, metric: power.draw, detector: zscore, z: 3, severity: low, runbook: x}
                - id: ticket
                  metric: power.draw
                  detector: zscore
                  z: 4
                  for: 5m
                  severity: low
                  runbook: x
                - id: page
                  metric: power.draw
                  detector: zscore
                  z: 5
                  for: 2m
                  severity: low
                  runbook: x
                """))
        let devices = 10
        let days = 2
        for device in 0..<devices {
            let noise = Autocorrelated(0.8, seed: UInt64(device))
            scenario.host("h\(device)", devices: 1) { _, _ in [.powerDraw: 640 + 9 * noise.next()] }
        }
        scenario.play(minutes: Double(days * 1_440))
        let bare = Double(scenario.fired("bare").count) / Double(devices * days)
        print("bare limit of 3: \(bare) false alarms per device-day")
        #expect(bare > 1 && bare < 60)
        #expect(scenario.fired("ticket").isEmpty && scenario.fired("page").isEmpty)
    }
}

/// An AR(1) of unit variance.
private final class Autocorrelated {
    private let rho: Double
    private var random: SeededGenerator
    private var last = 0.0

    init(_ rho: Double, seed: UInt64) {
        self.rho = rho
        random = SeededGenerator(seed: seed &+ 100)
    }

    func next() -> Float {
        last = rho * last + (1 - rho * rho).squareRoot() * random.normal()
        return Float(last)
    }
}

/// A sine good to a thousandth (Bhaskara I), without Foundation.
private enum Wave {
    static func sine(_ turn: Float) -> Float {
        let half = turn < 0.5 ? turn : turn - 0.5
        let x = half * 360
        let value = 4 * x * (180 - x) / (40_500 - x * (180 - x))
        return turn < 0.5 ? value : -value
    }
}
