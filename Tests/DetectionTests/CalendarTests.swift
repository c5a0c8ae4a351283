import Fleet
import Foundation
import Testing

@testable import Detection

/// Seasons by the clock on the wall of a site.
@Suite("Seasons of a site") struct CalendarTests {
    private static let minute: Int64 = 60_000
    private static let day: Int64 = 86_400_000

    private func zone(_ name: String) throws -> Zone {
        let bytes = try Data(contentsOf: URL(filePath: "/usr/share/zoneinfo/\(name)"))
        return try Zone(name: name, bytes: Array(bytes))
    }

    private func time(_ text: String) throws -> Int64 {
        try #require(Instant(rfc3339: text.utf8)).milliseconds
    }

    /// What people do: most at noon by their clock, nothing at night, less on Sundays.
    private func load(_ wall: Int64, _ step: Int64) -> Float {
        let share = Double(wall % Self.day) / Double(Self.day)
        let isSunday = (wall / Self.day + 3) % 7 == 6
        let height = pow(sin(Double.pi * share), 4) * (isSunday ? 0.3 : 1)
        return Float(0.2 + 0.6 * height) + 0.01 * Float(step % 5)
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let zone: String
        /// Monday of the week before the clocks change.
        let monday: String
        var testDescription: String { zone }
    }

    @Test(arguments: [
        Case(zone: "Europe/Berlin", monday: "2026-03-23T00:00:00Z"),
        Case(zone: "America/New_York", monday: "2026-10-26T00:00:00Z"),
    ])
    func `when the clocks change the hours of people stay where they were`(
        _ example: Case
    ) throws {
        let site = SiteCalendar(zone: try zone(example.zone))
        let change = try time(example.monday)
        var local = Season(every: 5 * Self.minute, .week, floor: 0.02)
        var universal = Season(every: 5 * Self.minute, .week, floor: 0.02)
        var most: (local: Float, universal: Float) = (0, 0)
        var step: Int64 = 0
        for now in stride(
            from: change - 28 * Self.day, to: change + 14 * Self.day, by: Int(5 * Self.minute))
        {
            step += 1
            let value = load(site.hourly(now).milliseconds, step)
            local.feed(value, at: now, calendar: site)
            universal.feed(value, at: now)
            // The week after the change.
            guard now > change + 7 * Self.day else { continue }
            most.local = max(most.local, abs(local.z ?? 0))
            most.universal = max(most.universal, abs(universal.z ?? 0))
        }
        #expect(most.local < 4, "\(most)")
        #expect(most.universal > 4, "\(most)")
    }

    @Test func `a holiday is judged and learned as a Sunday, and no Thursday learns from it`()
        throws
    {
        let holiday = try time("2026-05-14T00:00:00Z")
        let dates = [CivilDate(year: 2026, month: 5, day: 14)]
        let zone = try zone("Europe/Berlin")
        let (site, plain) = (SiteCalendar(zone: zone, holidays: dates), SiteCalendar(zone: zone))
        var known = Season(every: 5 * Self.minute, .week, floor: 0.02)
        var surprised = Season(every: 5 * Self.minute, .week, floor: 0.02)
        var most: (known: Float, surprised: Float, later: Float) = (0, 0, 0)
        var step: Int64 = 0
        for now in stride(
            from: holiday - 31 * Self.day, to: holiday + 9 * Self.day, by: Int(5 * Self.minute))
        {
            step += 1
            let value = load(site.hourly(now).milliseconds, step)
            known.feed(value, at: now, calendar: site)
            surprised.feed(value, at: now, calendar: plain)
            let isThen = now >= holiday && now < holiday + Self.day
            if isThen {
                most.known = max(most.known, abs(known.z ?? 0))
                most.surprised = max(most.surprised, abs(surprised.z ?? 0))
            } else if now > holiday + Self.day {
                most.later = max(most.later, abs(known.z ?? 0))
            }
        }
        #expect(most.known < 4 && most.surprised > 10, "\(most)")
        #expect(most.later < 4, "\(most)")
        #expect(known.isHoliday == false)
    }

    @Test func `a score goes by the clock of the site, in summer and in winter`() throws {
        let site = SiteCalendar(
            zone: try zone("Europe/Berlin"), holidays: [CivilDate(year: 2026, month: 5, day: 14)])
        let hour: Int64 = 3_600_000
        let profile = AnomalyProfile.paging
        let winter = profile.at(try time("2026-01-15T12:00:00Z"), site)
        #expect(winter.offsetMilliseconds == hour)
        let summer = profile.at(try time("2026-07-15T12:00:00Z"), site)
        #expect(summer.offsetMilliseconds == 2 * hour)
        let holiday = profile.at(try time("2026-05-14T12:00:00Z"), site)
        #expect(holiday.offsetMilliseconds == 2 * hour + 3 * Self.day)
        var fixed = profile
        fixed.offsetMilliseconds = 5 * hour
        #expect(fixed.at(0, nil).offsetMilliseconds == 5 * hour)
    }

    @Test func `one metric of a device is scored as the series that it is`() throws {
        let site = SiteCalendar(zone: try zone("Asia/Tokyo"))
        var watch = AnomalyWatch(.sensitive, every: 5 * Self.minute)
        var device = AnomalyDeviceWatch(metrics: 1, .sensitive, every: 5 * Self.minute)
        let start = try time("2026-01-05T00:00:00Z")
        for step in 0..<Int64(28 * 288) {
            let now = start + step * 5 * Self.minute
            let value = load(site.hourly(now).milliseconds, step)
            watch.feed(value, at: now, calendar: site)
            let isOpen = device.advance(to: now, calendar: site)
            #expect(isOpen)
            device.add(value, metric: 0, at: now)
        }
        #expect(watch.score == device.score && watch.score != nil)
        let isLate = !device.advance(to: start)
        #expect(isLate)
    }
}
