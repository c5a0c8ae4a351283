import Foundation
import Testing

@testable import Detection

@Suite("Anomaly score") struct AnomalyTests {
    static let minute: Int64 = 60_000

    /// A day of hours with some noise, every five minutes.
    struct Weather {
        var state: UInt64
        init(seed: UInt64) { state = seed }

        mutating func unit() -> Double {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Double(state >> 11) / 9_007_199_254_740_992
        }

        mutating func value(at milliseconds: Int64) -> Double {
            let hour = Double(milliseconds % 86_400_000) / 3_600_000
            return 50 + 10 * sin(hour / 24 * 2 * .pi) + unit() + unit() - 1
        }
    }

    /// Four weeks of it; then the series is grown up.
    static func grown(seed: UInt64 = 7) -> (series: AnomalySeries, weather: Weather, time: Int64) {
        var series = AnomalySeries()
        var weather = Weather(seed: seed)
        var time: Int64 = 0
        for _ in 0..<8_064 {
            _ = series.push(weather.value(at: time), at: time, .sensitive)
            time += 5 * minute
        }
        return (series, weather, time)
    }

    @Test func `the state of a series is flat and at most 4 KB`() {
        #expect(MemoryLayout<AnomalySeries>.stride <= 4_096)
        #expect(_isPOD(AnomalySeries.self))
    }

    @Test func `a spike alerts at once, and its echo does not`() throws {
        var (series, weather, time) = AnomalyTests.grown()
        let beforeScore = series.push(weather.value(at: time), at: time, .sensitive)
        let before = try #require(beforeScore)
        #expect(!before.alerts)
        time += 5 * AnomalyTests.minute
        let spikeScore = series.push(90, at: time, .sensitive)
        let spike = try #require(spikeScore)
        #expect(spike.alerts && spike.total > 3)
        time += 5 * AnomalyTests.minute
        let echoScore = series.push(90, at: time, .sensitive)
        let echo = try #require(echoScore)
        #expect(!echo.alerts)
    }

    @Test func `what cannot be trusted is refused and changes nothing`() throws {
        var (series, weather, time) = AnomalyTests.grown()
        var twin = series
        for value in [Double.nan, .infinity, -.infinity, 1e300, -1e19, .greatestFiniteMagnitude] {
            let refused = series.push(value, at: time, .sensitive)
            #expect(refused == nil)
        }
        let late = series.push(50, at: time - 10 * AnomalyTests.minute, .sensitive)
        #expect(late == nil)
        for _ in 0..<500 {
            let value = weather.value(at: time)
            let oneScore = series.push(value, at: time, .sensitive)
            let one = try #require(oneScore)
            let otherScore = twin.push(value, at: time, .sensitive)
            let other = try #require(otherScore)
            #expect(one.total == other.total && one.alerts == other.alerts)
            time += 5 * AnomalyTests.minute
        }
    }

    @Test func `no number and no time traps or gives a score that is none`() throws {
        var weather = Weather(seed: 99)
        var series = AnomalySeries()
        var time: Int64 = .min
        for step in 0..<20_000 {
            let size = Double(Int(weather.unit() * 60))
            let sign = weather.unit() < 0.5 ? -1.0 : 1.0
            let value = step % 97 == 0 ? 0 : sign * exp2(size) * weather.unit()
            if let score = series.push(value, at: time, .sensitive) {
                #expect(score.total.isFinite && score.total >= 0, "seed 99, step \(step)")
            }
            if step == 10_000 { time = Int64.max - 1_000_000 }
            if step < 10_000 { time &+= Int64(weather.unit() * 1e14) } else { time &+= 60 }
        }
        let last = series.push(1, at: .max, .sensitive)
        #expect(last != nil)
    }

    /// How often tools/detector_prototype.py alerts at a threshold of 1.533.
    ///
    ///     detector_prototype.py data/nab-dev/data out --theta 1.533
    ///     for each file: awk -F, '$3 > 0 && NR > 1' out/FILE | wc -l
    static let prototype: [String: Int] = [
        "artificialNoAnomaly/art_daily_no_noise": 3,
        "artificialNoAnomaly/art_daily_perfect_square_wave": 2,
        "artificialWithAnomaly/art_daily_jumpsup": 6,
        "artificialWithAnomaly/art_daily_nojump": 6,
        "artificialWithAnomaly/art_load_balancer_spikes": 14,
        "realAWSCloudwatch/ec2_cpu_utilization_53ea38": 10,
        "realAWSCloudwatch/ec2_cpu_utilization_77c1ca": 11,
        "realAWSCloudwatch/ec2_cpu_utilization_c6585a": 7,
        "realAWSCloudwatch/ec2_cpu_utilization_fe7f93": 9,
        "realAWSCloudwatch/ec2_disk_write_bytes_1ef3de": 15,
        "realAWSCloudwatch/elb_request_count_8c0756": 12,
        "realAWSCloudwatch/grok_asg_anomaly": 21,
        "realAWSCloudwatch/iio_us-east-1_i-a2eb1cd9_NetworkIn": 5,
        "realAWSCloudwatch/rds_cpu_utilization_e47b3b": 12,
        "realAdExchange/exchange-3_cpc_results": 8,
        "realAdExchange/exchange-3_cpm_results": 7,
        "realAdExchange/exchange-4_cpc_results": 11,
        "realKnownCause/ambient_temperature_system_failure": 13,
        "realKnownCause/machine_temperature_system_failure": 23,
        "realKnownCause/rogue_agent_key_hold": 9,
        "realTraffic/TravelTime_387": 10,
        "realTraffic/occupancy_t4013": 5,
        "realTraffic/speed_6005": 11,
        "realTraffic/speed_t4013": 7,
        "realTweets/Twitter_volume_AAPL": 25,
        "realTweets/Twitter_volume_CRM": 19,
        "realTweets/Twitter_volume_FB": 16,
        "realTweets/Twitter_volume_GOOG": 16,
        "realTweets/Twitter_volume_IBM": 34,
    ]

    @Test func `the score alerts where the prototype does`() throws {
        guard let root = NumentaData.root else { return }
        var apart = 0
        for (name, expected) in AnomalyTests.prototype {
            let rows = try NumentaData.rows(root, name)
            var series = AnomalySeries()
            let found = rows.count {
                series.push($0.value, at: $0.time, .sensitive)?.alerts == true
            }
            // 32 bits against 64: a value on the edge of a cell may fall to the other side.
            #expect(abs(found - expected) <= 1, "\(name)")
            apart += abs(found - expected)
        }
        #expect(apart <= 2)
    }
}

/// The development half of the Numenta benchmark, where it lies beside the repository.
enum NumentaData {
    static var root: URL? {
        var folder = URL(filePath: #filePath)
        while folder.path != "/" {
            folder.deleteLastPathComponent()
            let data = folder.appending(path: "shared/data/nab-dev")
            if FileManager.default.fileExists(atPath: data.path) { return data }
        }
        print("skipped: there is no shared/data/nab-dev beside the repository")
        return nil
    }

    struct Row {
        let time: Int64
        let value: Double
    }

    static func rows(_ root: URL, _ name: String) throws -> [Row] {
        let file = root.appending(path: "data/\(name).csv")
        let text = try String(contentsOf: file, encoding: .utf8)
        return try text.split(whereSeparator: \.isNewline).dropFirst().map { line in
            let fields = line.split(separator: ",")
            let value = try #require(Double(fields[1]))
            return Row(time: try milliseconds(fields[0]), value: value)
        }
    }

    /// `2014-02-14 14:27:00` by the calendar of all ages.
    static func milliseconds(_ text: Substring) throws -> Int64 {
        let parts = text.split { "- :".contains($0) }.compactMap { Int64($0) }
        try #require(parts.count == 6)
        let year = parts[1] <= 2 ? parts[0] - 1 : parts[0]
        let month = parts[1] <= 2 ? parts[1] + 9 : parts[1] - 3
        let day = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + parts[2]
        let days = day - 719_469
        return (days * 86_400 + parts[3] * 3_600 + parts[4] * 60 + parts[5]) * 1_000
    }
}
