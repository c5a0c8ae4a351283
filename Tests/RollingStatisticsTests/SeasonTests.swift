import RollingStatistics
import TestSupport
import Testing

private let hour: Int64 = 3_600_000

@Suite("Seasonal profiles") struct SeasonTests {
    /// A daily wave with noise, every five minutes, from 1970-01-05.
    private func wave(at time: Int64, _ generator: inout SeededGenerator) -> Float {
        let phase = Double(time % (24 * hour)) / Double(24 * hour)
        // A parabola that looks enough like a day: 0 at midnight, 1 at noon.
        let level = 4 * phase * (1 - phase)
        return Float(0.2 + 0.6 * level + 0.02 * generator.normal())
    }

    private func daily() -> SeasonalProfile.Settings {
        var settings = SeasonalProfile.Settings()
        settings.bins = 24
        settings.floor = 0.01
        return settings
    }

    @Test func `a bin speaks after its second visit and not before`() {
        var profile = SeasonalProfile(daily())
        var generator = SeededGenerator(seed: 1)
        var first: Int64?
        for step in 0..<(12 * 24 * 4) as Range<Int64> {
            let time = step * hour / 12
            if profile.update(wave(at: time, &generator), at: time) != nil, first == nil {
                first = time
            }
        }
        #expect(first == 48 * hour)
    }

    @Test func `an ordinary day is quiet and a drop of forty percent at noon is not`() throws {
        var profile = SeasonalProfile(daily())
        var generator = SeededGenerator(seed: 2)
        var loudest: Float = 0
        var scored = 0
        for step in 0..<(12 * 24 * 14) as Range<Int64> {
            let time = step * hour / 12
            if let z = profile.update(wave(at: time, &generator), at: time), time > 120 * hour {
                loudest = max(loudest, abs(z))
                scored += 1
            }
        }
        #expect(scored > 2_000)
        #expect(loudest < 5, "the noise alone reached \(loudest)")
        let noon = 14 * 24 * hour + 12 * hour
        let drop = try #require(profile.score(0.6 * wave(at: noon, &generator), at: noon))
        #expect(drop < -8)
        // The same level is what midnight looks like, nearly.
        let night = try #require(profile.score(0.2, at: 14 * 24 * hour))
        #expect(abs(night) < 5)
    }

    @Test func `the baseline has no steps at the edges of its bins`() throws {
        var profile = SeasonalProfile(daily())
        var generator = SeededGenerator(seed: 3)
        for step in 0..<(12 * 24 * 10) as Range<Int64> {
            let time = step * hour / 12
            _ = profile.update(wave(at: time, &generator), at: time)
        }
        for bin in 1..<23 as Range<Int64> {
            let edge = 240 * hour + bin * hour
            let before = try #require(profile.baseline(at: edge - 1))
            let after = try #require(profile.baseline(at: edge))
            #expect(abs(before.mean - after.mean) < 1e-4, "hour \(bin)")
        }
    }

    @Test func `a week of trouble moves a bin by less than a lasting change does`() throws {
        var settings = daily()
        settings.floor = 0.1
        var profile = SeasonalProfile(settings)
        func day(_ number: Int64, _ level: Float) {
            for step in 0..<(12 * 24) as Range<Int64> {
                _ = profile.update(level, at: number * 24 * hour + step * hour / 12)
            }
        }
        for number in 0..<10 as Range<Int64> { day(number, 10) }
        day(10, 1_000)
        day(11, 10)
        let after = try #require(profile.baseline(at: 12 * 24 * hour + 6 * hour))
        #expect(after.mean < 10.5)
        for number in 12..<60 as Range<Int64> { day(number, 20) }
        let learnt = try #require(profile.baseline(at: 60 * 24 * hour + 6 * hour))
        #expect(abs(learnt.mean - 20) < 0.5)
    }

    @Test func `late, missing and infinite values teach nothing and trap nothing`() {
        var profile = SeasonalProfile(daily())
        for time in [0, .max, .min, -1, hour, 0, .max - 1] as [Int64] {
            for value in [1, .nan, .infinity, -.greatestFiniteMagnitude] as [Float] {
                _ = profile.update(value, at: time)
            }
        }
        var odd = SeasonalProfile.Settings()
        odd.bins = 0
        odd.binMilliseconds = 0
        var tiny = SeasonalProfile(odd)
        for time in [.max, .min, 0, .max] as [Int64] { _ = tiny.update(1, at: time) }
        #expect(tiny.baseline(at: 0)?.mean == 1)
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `sixteen lanes say what sixteen profiles say`(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var settings = SeasonalProfile.Settings()
        settings.bins = 6
        settings.binMilliseconds = 60_000
        settings.floor = 0.25
        let devices = 3
        var lanes = SeasonalLanes(settings, floor: SIMD16(repeating: 0.25), devicesMax: devices)
        lanes.grow(to: devices + 1)
        let count = lanes.count
        #expect(count == devices)
        var profiles = [SeasonalProfile](
            repeating: SeasonalProfile(settings), count: devices * 16)
        var clocks = [Int64](repeating: 1_000_000, count: devices)
        var compared = 0
        for _ in 0..<4_000 {
            let device = Int.random(in: 0..<devices, using: &generator)
            clocks[device] += Int64.random(in: -5_000...20_000, using: &generator)
            var tick = SIMD16<Float>()
            for lane in 0..<16 {
                tick[lane] = Float(generator.normal()) + Float(lane * lane)
                switch Int.random(in: 0..<50, using: &generator) {
                case 0: tick[lane] = .nan
                case 1: tick[lane] = .infinity
                case 2: tick[lane] *= 100
                default: break
                }
            }
            let time = clocks[device]
            let seen = lanes.update(device: device, at: time, tick)
            let reading = try #require(seen)
            for lane in 0..<16 {
                let z = profiles[device * 16 + lane].update(tick[lane], at: time)
                #expect((z ?? .nan).isNaN == reading.z[lane].isNaN, "seed \(seed)")
                guard let z, z.isFinite else { continue }
                #expect(z == reading.z[lane], "seed \(seed), lane \(lane)")
                compared += 1
            }
        }
        #expect(compared > 10_000)
        let beyond = lanes.update(device: devices, at: 0, .zero)
        #expect(beyond == nil)
    }

    @Test func `a slab is allocated when its hour is first left`() {
        var lanes = SeasonalLanes(
            SeasonalProfile.Settings(), floor: .zero, devicesMax: 1_000_000)
        lanes.grow(to: 1_000)
        let empty = lanes.bytes
        for device in 0..<1_000 { _ = lanes.update(device: device, at: 0, .zero) }
        let same = lanes.bytes
        #expect(same == empty)
        for device in 0..<1_000 { _ = lanes.update(device: device, at: hour, .zero) }
        let one = lanes.bytes
        #expect(one == empty + 1_000 * 128)
    }
}
