import Foundation
@testable import RollingStatistics
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
}

/// Profiles in half precision, in the scale of each series.
@Suite("Seasons in half precision") struct HalfSeasonTests {
    private static func settings(bins: Int) -> SeasonalProfile.Settings {
        var settings = SeasonalProfile.Settings()
        settings.bins = bins
        settings.floor = 0.25
        return settings
    }

    @Test func `every half is read and written as the processor does`() {
        for bits in UInt16.min ... .max {
            let theirs = Float16(bitPattern: bits)
            guard theirs.isFinite else { continue }
            #expect(HalfFloat.float(bits).bitPattern == Float(theirs).bitPattern)
            #expect(HalfFloat.bits(Float(theirs)) == bits)
        }
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<200_000 {
            let value = Float(bitPattern: UInt32.random(in: 0 ... .max, using: &generator))
            guard abs(value) <= HalfFloat.greatest else { continue }
            #expect(HalfFloat.bits(value) == Float16(value).bitPattern, "\(value)")
        }
        #expect(HalfFloat.float(HalfFloat.bits(.infinity)) == HalfFloat.greatest)
        #expect(HalfFloat.float(HalfFloat.bits(-1e30)) == -HalfFloat.greatest)
        #expect(HalfFloat.bits(.nan) == 0)
    }

    struct Shape: Sendable, CustomTestStringConvertible {
        let name: String
        let middle: Float, swing: Float, deviation: Float
        var testDescription: String { name }

        static let all: [Shape] = [
            // What in half precision, in its own unit, no longer learns (reference, performance 1.4).
            Shape(name: "power, steady", middle: 650, swing: 0, deviation: 5),
            Shape(name: "power, day and night", middle: 400, swing: 300, deviation: 5),
            Shape(name: "share", middle: 0.5, swing: 0.3, deviation: 0.02),
            Shape(name: "memory, bytes", middle: 6e10, swing: 2e10, deviation: 5e8),
            Shape(name: "errors, nearly none", middle: 0, swing: 0, deviation: 1e-4),
        ]
    }

    @Test(arguments: Shape.all)
    func `after twenty weeks it says what single precision says`(_ shape: Shape) throws {
        var generator = SeededGenerator(seed: 9)
        var settings = Self.settings(bins: 48)
        settings.floor = shape.deviation / 10
        var half = SeasonalLanes(settings, blocksMax: 1)
        var single = SeasonalProfile(settings)
        let taken = half.take(floor: settings.floor)
        let block = try #require(taken)
        var errors: (squares: Double, most: Float, count: Double) = (0, 0, 0)
        for step in 0..<Int64(20 * 7 * 24 * 12) {
            let time = step * 300_000 + 150_000
            let angle = 2 * Double.pi * Double(time % 86_400_000) / 86_400_000
            let value =
                shape.middle + shape.swing * Float(sin(angle))
                + shape.deviation * Float(generator.normal())
            let z = single.score(value, at: time)
            let other = half.score(value, block, 3, at: time)
            #expect((z == nil) == (other == nil))
            if let z, let other, step > 7 * 24 * 12 {
                errors.squares += Double((z - other) * (z - other))
                errors.most = max(errors.most, abs(z - other))
                errors.count += 1
            }
            _ = single.update(value, at: time)
            half.learn(value, block, 3, at: time)
        }
        let rms = (errors.squares / errors.count).squareRoot()
        print("half precision, \(shape.name): rms \(rms), at most \(errors.most) deviations")
        #expect(rms < 0.03 && errors.most < 0.15, "rms \(rms), most \(errors.most)")
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `sixteen series say what sixteen profiles say, whatever comes`(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var settings = Self.settings(bins: 6)
        settings.binMilliseconds = 60_000
        var half = SeasonalLanes(settings, blocksMax: 1)
        let taken = half.take(floor: settings.floor)
        let block = try #require(taken)
        var profiles = [SeasonalProfile](repeating: SeasonalProfile(settings), count: 16)
        var ranges = [(Float, Float)](repeating: (.infinity, -.infinity), count: 16)
        var clock: Int64 = 1_000_000
        var compared = 0
        for _ in 0..<1_500 {
            clock += Int64.random(in: -5_000...20_000, using: &generator)
            for lane in 0..<16 {
                var value = Float(generator.normal()) + Float(lane * lane)
                switch Int.random(in: 0..<50, using: &generator) {
                case 0: value = .nan
                case 1: value = .infinity
                case 2: value *= 3
                default: break
                }
                half.learn(value, block, lane, at: clock)
                _ = profiles[lane].update(value, at: clock)
                if value.isFinite {
                    ranges[lane] = (min(ranges[lane].0, value), max(ranges[lane].1, value))
                }
            }
            for lane in 0..<16 {
                let ours = half.baseline(block, lane, at: clock)
                let theirs = profiles[lane].baseline(at: clock)
                #expect((ours == nil) == (theirs == nil), "seed \(seed)")
                guard let ours, let theirs else { continue }
                // A half has eleven digits; what is off by one is so in every visit.
                let most = (ranges[lane].1 - ranges[lane].0) / 512
                let deviations = (ours.variance.squareRoot(), theirs.variance.squareRoot())
                #expect(abs(ours.mean - theirs.mean) <= most, "seed \(seed)")
                #expect(abs(deviations.0 - deviations.1) <= most, "seed \(seed)")
                compared += 1
            }
        }
        #expect(compared > 15_000)
    }

    @Test func `a series that wakes up far from where it began keeps its hours`() throws {
        var half = SeasonalLanes(Self.settings(bins: 24), blocksMax: 1)
        let taken = half.take(floor: 0)
        let block = try #require(taken)
        for day in 0..<6 as Range<Int64> {
            for hour in 0..<24 as Range<Int64> {
                let value: Float = hour < 3 ? 0 : 1e9 + Float(hour) * 1e7
                for minute in [10, 30, 50] as [Int64] {
                    half.learn(
                        value, block, 0, at: ((day * 24 + hour) * 60 + minute) * 60_000)
                }
            }
        }
        let lateFound = half.baseline(block, 0, at: (6 * 24 + 20) * 3_600_000 + 1_800_000)
        let late = try #require(lateFound)
        #expect(abs(late.mean - 1.2e9) < 2e6)
        let nightFound = half.baseline(block, 0, at: (6 * 24 + 1) * 3_600_000 + 1_800_000)
        let night = try #require(nightFound)
        #expect(abs(night.mean) < 2e6)
    }

    @Test func `numbers at the edge of what there is trap nothing`() throws {
        for bins in [0, 1, 48] {
            var settings = Self.settings(bins: bins)
            settings.ring = 24
            var half = SeasonalLanes(settings, blocksMax: 2)
            let taken = half.take(floor: bins == 0 ? 0 : 1e-30)
            let block = try #require(taken)
            let values: [Float] = [
                0, -0.0, 1, .nan, .infinity, -.greatestFiniteMagnitude, .leastNonzeroMagnitude,
                1e18, -1e18, 1e-38,
            ]
            for (step, time) in ([0, 1, -1, .max, .min, .max] as [Int64]).enumerated() {
                for value in values {
                    half.learn(value, block, step, at: time)
                    _ = half.score(value, block, step, at: time)
                    if time < 1 << 40, time > -2 {
                        half.learn(value, block, 9, at: time * 3_600_000)
                    }
                }
            }
        }
    }

    @Test func `a series takes less than 256 bytes, and blocks are bounded`() throws {
        var half = SeasonalLanes(Self.settings(bins: 48), blocksMax: 256)
        var taken = 0
        while half.take(floor: 1) != nil { taken += 1 }
        let count = half.count
        #expect(taken == 256 && count == 256)
        let each = Double(half.bytes) / (256 * 16)
        #expect(each == 213, "\(each)")
        half.release(7)
        let again = half.take(floor: 2)
        let now = half.count
        #expect(again == 7 && now == 256)
    }

    @Test func `what lies in a file says the same, and leaves when it is given back`() throws {
        let path = NSTemporaryDirectory() + "tocsin-seasons-\(UUID().uuidString)"
        #expect(FileManager.default.createFile(atPath: path, contents: nil))
        let file = try #require(FileHandle(forUpdatingAtPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        func size() throws -> UInt64 { try file.seekToEnd() }
        do {
            var stored = SeasonalLanes(
                Self.settings(bins: 48), blocksMax: 1_000, file: file.fileDescriptor)
            var own = SeasonalLanes(Self.settings(bins: 48), blocksMax: 1_000)
            for _ in 0..<300 {
                let blocks = (stored.take(floor: 0.25), own.take(floor: 0.25))
                #expect(blocks.0 == blocks.1)
            }
            #expect(try size() == 2 * 48 * 256 * 64)
            for hour in 0..<200 as Range<Int64> {
                for block in [0, 255, 256, 299] {
                    let value = Float(hour % 48) + Float(block)
                    stored.learn(value, block, block % 16, at: hour * 3_600_000)
                    own.learn(value, block, block % 16, at: hour * 3_600_000)
                }
            }
            for block in [0, 1, 255, 256, 299] {
                let time: Int64 = 210 * 3_600_000
                let found = stored.baseline(block, block % 16, at: time)
                let same = own.baseline(block, block % 16, at: time)
                #expect(found == same)
                #expect((found == nil) == (block == 1))
            }
            stored.release(299)
            let gone = stored.baseline(299, 299 % 16, at: 210 * 3_600_000)
            #expect(gone == nil)
        }
        var status = stat()
        #expect(unsafe stat(path, &status) == 0)
        #expect(status.st_blocks < 64, "\(status.st_blocks) blocks of the disk are still taken")
    }

    @Test func `a disk that is full, or no file at all, refuses instead of trapping`() throws {
        let full = try #require(FileHandle(forUpdatingAtPath: "/dev/full"))
        var one = SeasonalLanes(
            Self.settings(bins: 48), blocksMax: 10, file: full.fileDescriptor)
        let refused = one.take(floor: 1)
        #expect(refused == nil)
        var other = SeasonalLanes(Self.settings(bins: 48), blocksMax: 10, file: -1)
        let none = other.take(floor: 1)
        let count = other.count
        #expect(none == nil && count == 0)
    }

    @Test func `hours of working days have no neighbours on days of rest`() {
        var settings = Self.settings(bins: 48)
        settings.ring = 24
        let hour: Int64 = 3_600_000
        // The first half of hour 0 leans on hour 23 of the same kind of day, and the other way.
        #expect(settings.neighbour(0, of: 0).bin == 23)
        #expect(settings.neighbour(24 * hour - 1, of: 23).bin == 0)
        #expect(settings.neighbour(24 * hour, of: 24).bin == 47)
        #expect(settings.neighbour(48 * hour - 1, of: 47).bin == 24)
        #expect(settings.neighbour(5 * hour, of: 5).bin == 4)
    }
}
