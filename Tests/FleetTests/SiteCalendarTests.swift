import Fleet
import Foundation
import Testing

@Suite("Site calendars") struct SiteCalendarTests {
    private static let database = ZoneDatabase(
        bytes: { name in
            (try? Data(contentsOf: URL(filePath: "/usr/share/zoneinfo/\(name)"))).map { Array($0) }
        }, names: { ["America/New_York", "Europe/Berlin", "Europe/Bern", "UTC"] })

    private func time(_ text: String) throws -> Int64 {
        try #require(Instant(rfc3339: text.utf8)).milliseconds
    }

    /// The wall clock, written as if it were UTC.
    private func wall(_ calendar: SiteCalendar, _ text: String) throws -> String {
        Instant(milliseconds: calendar.hourly(try time(text)).milliseconds).rfc3339
    }

    @Test func `summer time begins and ends between two milliseconds`() throws {
        let berlin = SiteCalendar(zone: try Self.database.zone("Europe/Berlin"))
        #expect(try wall(berlin, "2026-03-29T00:59:59.999Z") == "2026-03-29T01:59:59.999Z")
        #expect(try wall(berlin, "2026-03-29T01:00:00Z") == "2026-03-29T03:00:00Z")
        #expect(try wall(berlin, "2026-10-25T00:59:59.999Z") == "2026-10-25T02:59:59.999Z")
        #expect(try wall(berlin, "2026-10-25T01:00:00Z") == "2026-10-25T02:00:00Z")
        // Long after the last line of the table.
        #expect(try wall(berlin, "2099-07-01T10:00:00Z") == "2099-07-01T12:00:00Z")
    }

    @Test func `a holiday is the Sunday that follows it, from one midnight to the next`() throws {
        let site = SiteCalendar(
            zone: try Self.database.zone("Europe/Berlin"),
            holidays: [CivilDate(year: 2026, month: 5, day: 14)], yearly: [(12, 25)])
        // A Thursday: it begins at 22:00 UTC of the day before.
        #expect(try wall(site, "2026-05-13T21:59:59Z") == "2026-05-13T23:59:59Z")
        #expect(try wall(site, "2026-05-13T22:00:00Z") == "2026-05-17T00:00:00Z")
        #expect(try wall(site, "2026-05-14T21:59:59Z") == "2026-05-17T23:59:59Z")
        #expect(try wall(site, "2026-05-14T22:00:00Z") == "2026-05-15T00:00:00Z")
        // 2027: a Saturday. 2033: a Sunday, which stays what it is.
        #expect(try wall(site, "2027-12-25T12:00:00Z") == "2027-12-26T13:00:00Z")
        #expect(try wall(site, "2033-12-25T12:00:00Z") == "2033-12-25T13:00:00Z")
        #expect(site.hourly(try time("2033-12-25T12:00:00Z")).isHoliday)
        #expect(!site.hourly(try time("2033-12-26T12:00:00Z")).isHoliday)
    }

    @Test func `an hour of a day of rest is another than that of a working day`() throws {
        let site = SiteCalendar(
            zone: try Self.database.zone("Europe/Berlin"),
            holidays: [CivilDate(year: 2026, month: 5, day: 14)])
        func bin(_ text: String) throws -> Int64 {
            site.workdays(try time(text)).milliseconds / 3_600_000 % 48
        }
        // Wednesday, the holiday from its first to its last hour, Friday, Saturday, Sunday.
        #expect(try bin("2026-05-13T21:30:00Z") == 23)
        #expect(try bin("2026-05-13T22:30:00Z") == 24)
        #expect(try bin("2026-05-14T21:30:00Z") == 47)
        #expect(try bin("2026-05-14T22:30:00Z") == 0)
        #expect(try bin("2026-05-16T10:30:00Z") == 36)
        #expect(try bin("2026-05-17T21:30:00Z") == 47)
        #expect(try bin("2026-05-17T22:30:00Z") == 0)
    }

    @Test func `no time is too far for a calendar`() {
        let site = SiteCalendar(
            zone: .utc, holidays: [CivilDate(year: 9_999, month: 1, day: 1)], yearly: [(2, 29)])
        for time in [Int64.min, -1, 0, 1, .max] { _ = (site.hourly(time), site.workdays(time)) }
        #expect(site.hourly(-1).milliseconds == -1)
    }

    @Test func `a zone that is not there is told from a host without any`() {
        #expect(throws: ZoneDatabase.Refusal.unknown) { try Self.database.zone("Europe/Berln") }
        #expect(throws: ZoneDatabase.Refusal.unknown) { try Self.database.zone("../shadow") }
        #expect(throws: ZoneDatabase.Refusal.noData) { try ZoneDatabase.empty.zone("UTC") }
        let broken = ZoneDatabase(bytes: { _ in [1, 2, 3] })
        #expect(throws: ZoneDatabase.Refusal.unreadable("is not a TZif file")) {
            try broken.zone("UTC")
        }
        #expect(Self.database.alike("new york") == ["America/New_York"])
        #expect(Self.database.alike("BERLIN") == ["Europe/Berlin"])
        #expect(Self.database.alike("erlin").isEmpty)
    }
}
