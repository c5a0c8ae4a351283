import RollingStatistics
import TestSupport
import Testing

private let minute: Int64 = 60_000

@Suite("Drift") struct DriftTests {
    /// Rule thm-drift: a deadband of 2.5 °C and a budget of 4 °C·h.
    private var settings: DriftDetector.Settings { .init(deadband: 2.5, budget: 4) }

    private func feed(
        _ detector: inout DriftDetector, days: Double, from start: Int64 = 0, seed: UInt64 = 1,
        _ settings: DriftDetector.Settings, _ level: (Double) -> Double
    ) -> Double? {
        var generator = SeededGenerator(seed: seed)
        var time = start
        let end = start + Int64(days * 86_400_000)
        while time < end {
            let hours = Double(time - start) / 3_600_000
            let value = level(hours) + 0.6 * generator.normal()
            let verdict = detector.update(value, at: time, settings)
            if verdict == .above || verdict == .below { return hours }
            time += 30_000
        }
        return nil
    }

    @Test func `two weeks of noise are no drift`() {
        var detector = DriftDetector()
        #expect(feed(&detector, days: 14, settings) { _ in 60 } == nil)
        #expect(abs((detector.reference ?? 0) - 60) < 0.1)
        #expect(detector.verdict(settings) == .steady)
    }

    @Test func `eight degrees over a day are found within fifteen hours`() throws {
        var detector = DriftDetector()
        _ = feed(&detector, days: 1.1, settings) { _ in 60 }
        let start = Int64(1.1 * 86_400_000)
        let found = feed(&detector, days: 2, from: start, settings) { 60 + min($0 / 3, 8) }
        // Reference, accelerators finding 8: 12.4 h.
        #expect(try #require(found) > 8)
        #expect(try #require(found) < 15)
        #expect(detector.verdict(settings) == .above)
    }

    @Test func `a departure within the deadband never adds up`() {
        var detector = DriftDetector()
        _ = feed(&detector, days: 1.1, settings) { _ in 60 }
        let start = Int64(1.1 * 86_400_000)
        #expect(feed(&detector, days: 20, from: start, settings) { _ in 62.3 } == nil)
        let found = feed(
            &detector, days: 20, from: start + 20 * 86_400_000, settings
        ) { _ in 62.9 }
        #expect(found != nil)
    }

    @Test func `a relative drift counts shares of the reference`() {
        var settings = DriftDetector.Settings(deadband: 0.025, budget: 0.0125)
        settings.relative = true
        settings.referenceMeans = 72
        var detector = DriftDetector()
        for step in 0..<100 as Range<Int64> {
            _ = detector.update(0.5, at: step * 5 * minute, settings)
        }
        var verdict = DriftDetector.Verdict.steady
        for step in 100..<110 as Range<Int64> {
            verdict = detector.update(0.44, at: step * 5 * minute, settings)
        }
        // -12 % less a deadband of 2.5 % is 0.8 %·h in five minutes: two of them pass 1.25 %·h.
        #expect(verdict == .below)
    }

    @Test func `the reference waits for its number of averages, and is learnt anew on request`() {
        var settings = settings
        settings.referenceMeans = 3
        var detector = DriftDetector()
        for step in 0..<3 as Range<Int64> {
            #expect(detector.update(10, at: step * 5 * minute, settings) == .learning)
        }
        #expect(detector.update(10, at: 15 * minute, settings) == .steady)
        detector.rebaseline()
        #expect(detector.update(50, at: 20 * minute, settings) == .learning)
    }

    @Test func `a drift clears when its cause is gone`() {
        var settings = settings
        settings.referenceMeans = 3
        var detector = DriftDetector()
        var time: Int64 = 0
        func feed(_ value: Double, hours: Int64) -> DriftDetector.Verdict {
            var verdict = DriftDetector.Verdict.learning
            for _ in 0..<(hours * 12) {
                verdict = detector.update(value, at: time, settings)
                time += 5 * minute
            }
            return verdict
        }
        _ = feed(60, hours: 1)
        #expect(feed(70, hours: 100) == .above)
        #expect(feed(60, hours: 1) == .above)
        #expect(feed(60, hours: 4) == .steady)
    }

    @Test func `a silence is no evidence of drift`() {
        var settings = settings
        settings.referenceMeans = 1
        var detector = DriftDetector()
        _ = detector.update(60, at: 0, settings)
        _ = detector.update(60, at: 5 * minute, settings)
        _ = detector.update(70, at: 10 * minute, settings)
        _ = detector.update(70, at: 1_000 * 60 * minute, settings)
        #expect(detector.up < 1)
    }
}

@Suite("Flatline") struct FlatlineTests {
    @Test func `the same bits count from the first time they were seen`() {
        var flatline = Flatline()
        #expect(flatline.update(412.117, at: 0) == 0)
        #expect(flatline.update(412.117, at: 60_000) == 60_000)
        #expect(flatline.update(.nan, at: 90_000) == 60_000)
        #expect(flatline.update(412.117, at: 120_000) == 120_000)
        #expect(flatline.update(412.118, at: 130_000) == 0)
    }

    @Test func `a silence of more than five minutes starts the count again`() {
        var kept = Flatline()
        _ = kept.update(1, at: 0)
        #expect(kept.update(1, at: 300_000) == 300_000)
        var broken = Flatline()
        _ = broken.update(1, at: 0)
        #expect(broken.update(1, at: 300_001) == 0)
    }

    @Test func `late values change nothing and a clock set back starts again`() {
        var flatline = Flatline()
        _ = flatline.update(1, at: 1_000_000)
        _ = flatline.update(1, at: 1_060_000)
        #expect(flatline.update(2, at: 1_050_000) == 60_000)
        #expect(flatline.update(1, at: 0) == 0)
        #expect(flatline.update(1, at: 10_000) == 10_000)
        #expect(flatline.update(1, at: .max) == 0)
        #expect(flatline.update(1, at: .min) == 0)
    }
}

@Suite("Counters") struct CounterTests {
    @Test func `the first reading is where counting starts`() {
        var window = WindowedIncrease(windowMilliseconds: 60 * minute)
        #expect(window.update(1_000_000, at: 0) == 0)
        #expect(window.update(1_000_001, at: 1_000) == 1)
    }

    @Test func `a decrease is a reset and its new value is the increase`() {
        var window = WindowedIncrease(windowMilliseconds: 60 * minute)
        _ = window.update(100, at: 0)
        _ = window.update(103, at: 1_000)
        #expect(window.update(2, at: 2_000) == 5)
        #expect(window.resets == 1)
    }

    @Test func `an increase is remembered for its window and then forgotten`() {
        var window = WindowedIncrease(windowMilliseconds: 32 * minute)
        _ = window.update(0, at: 0)
        _ = window.update(7, at: minute)
        for step in 2...33 as ClosedRange<Int64> {
            #expect(window.update(7, at: step * minute) == 7, "minute \(step)")
        }
        #expect(window.update(7, at: 34 * minute) == 0)
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func `the window agrees with a list of every increase`(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var window = WindowedIncrease(windowMilliseconds: 32_000)
        var history: [(time: Int64, rise: Double)] = []
        var counter = 0.0
        var time: Int64 = 1_700_000_000_000
        _ = window.update(counter, at: time)
        for _ in 0..<2_000 {
            time += Int64.random(in: 1...4_000, using: &generator)
            if Int.random(in: 0..<500, using: &generator) == 0 { time += 40_000 }
            let reset = Int.random(in: 0..<40, using: &generator) == 0
            let before = counter
            counter = reset ? 0 : counter
            counter += Double(Int.random(in: 0...5, using: &generator))
            history.append((time, counter < before ? counter : counter - before))
            let start = (time / 1_000 - 32) * 1_000
            let expected = history.reduce(0) { $0 + ($1.time >= start ? $1.rise : 0) }
            #expect(window.update(counter, at: time) == expected, "seed \(seed)")
            history.removeAll { $0.time < start }
        }
    }

    @Test func `late readings and nonsense change nothing`() {
        var window = WindowedIncrease(windowMilliseconds: 60 * minute)
        _ = window.update(10, at: 100 * minute)
        _ = window.update(12, at: 101 * minute)
        #expect(window.update(5, at: 99 * minute) == 2)
        #expect(window.update(.nan, at: 102 * minute) == 2)
        #expect(window.update(-1, at: 102 * minute) == 2)
        #expect(window.update(.infinity, at: 102 * minute) == 2)
        #expect(window.update(12, at: 102 * minute) == 2)
        // More than an hour back: the clock was set back, and counting starts again.
        #expect(window.update(12, at: 10 * minute) == 0)
        #expect(window.update(13, at: 11 * minute) == 1)
        for time in [.max, .min, 0, .max] as [Int64] { _ = window.update(20, at: time) }
    }

    @Test func `time alone empties the window`() {
        var window = WindowedIncrease(windowMilliseconds: 32_000)
        _ = window.update(0, at: 0)
        _ = window.update(5, at: 1_000)
        window.advance(to: 33_999)
        #expect(window.increase == 5)
        window.advance(to: 34_000)
        #expect(window.increase == 0)
    }

    @Test func `a rate needs two readings and survives a reset`() {
        var rate = CounterRate()
        #expect(rate.update(1_000, at: 0) == nil)
        #expect(rate.update(1_500, at: 10_000) == 50)
        #expect(rate.update(1_600, at: 10_000) == nil)
        #expect(rate.update(1_600, at: 9_000) == nil)
        #expect(rate.update(100, at: 20_000) == 10)
        #expect(rate.update(.nan, at: 30_000) == nil)
        #expect(rate.update(200, at: 30_000) == 10)
        #expect(rate.update(50, at: 30_000 - 3_600_001) == nil)
        #expect(rate.update(60, at: 31_000 - 3_600_001) == 10)
        for time in [.max, .min, .max] as [Int64] { _ = rate.update(1, at: time) }
    }
}

@Suite("Forecast") struct ForecastTests {
    private func line(
        minutes: Int64, seed: UInt64 = 1, _ value: (Double) -> Double
    ) -> TheilSen {
        var generator = SeededGenerator(seed: seed)
        var line = TheilSen(windowMilliseconds: 60 * minute)
        for step in 0..<(minutes * 6) {
            let time = step * 10_000
            line.update(value(Double(time) / 1_000) + 0.2 * generator.normal(), at: time)
        }
        return line
    }

    @Test func `a ramp's slope and its meeting with a limit are found`() throws {
        var scratch: [Float] = []
        let fit = try #require(line(minutes: 90) { 60 + $0 / 120 }.fit(scratch: &scratch))
        #expect(abs(fit.slopePerSecond - 1.0 / 120) < 2e-4)
        #expect(fit.determination > 0.99)
        #expect(fit.points >= 58 && fit.points <= 60)
        let level = 60 + Double(fit.milliseconds) / 1_000 / 120
        #expect(abs(fit.level - level) < 0.1)
        let seconds = try #require(fit.seconds(until: level + 10))
        #expect(abs(seconds - 1_200) < 40)
        #expect(fit.seconds(until: 50) == nil)
    }

    @Test func `a quarter of wild points does not bend the line`() throws {
        var scratch: [Float] = []
        let wild = line(minutes: 60) { seconds in
            Int(seconds / 60) % 4 == 0 ? 5_000 : 60 + seconds / 120
        }
        let fit = try #require(wild.fit(scratch: &scratch))
        #expect(abs(fit.slopePerSecond - 1.0 / 120) < 2e-3)
    }

    @Test func `bytes by the hundred billion keep their slope`() throws {
        var scratch: [Float] = []
        let leak = line(minutes: 60) { 7.5e10 + $0 * 2e6 }
        let fit = try #require(leak.fit(scratch: &scratch))
        #expect(abs(fit.slopePerSecond / 2e6 - 1) < 1e-4)
        #expect(abs((fit.seconds(until: 8.59e10) ?? 0) - (8.59e10 - fit.level) / 2e6) < 5)
    }

    @Test func `too few points make no line and a flat one meets nothing`() {
        var scratch: [Float] = []
        #expect(line(minutes: 8) { _ in 1 }.fit(scratch: &scratch) == nil)
        #expect(line(minutes: 9) { _ in 1 }.fit(scratch: &scratch) != nil)
        var flat = TheilSen(windowMilliseconds: 60 * minute)
        for step in 0..<60 as Range<Int64> { flat.update(5, at: step * minute) }
        let fit = flat.fit(scratch: &scratch)
        #expect(fit?.slopePerSecond == 0 && fit?.determination == 0)
        #expect(fit?.seconds(until: 10) == nil)
    }

    @Test func `a clock set back starts a new line and absurd times trap nothing`() {
        var scratch: [Float] = []
        var forecast = line(minutes: 60) { $0 }
        #expect(forecast.fit(scratch: &scratch) != nil)
        forecast.update(1, at: 0)
        #expect(forecast.fit(scratch: &scratch) == nil)
        for time in [.max, .min, 0, .max, -1, .min + 1] as [Int64] {
            forecast.update(1, at: time)
            forecast.update(.greatestFiniteMagnitude, at: time)
            forecast.update(.nan, at: time)
            _ = forecast.fit(pointsMin: 3, scratch: &scratch)
        }
    }
}
