import Fleet
import Testing

@Suite("Time") struct TimeTests {
    struct Known: Sendable, CustomTestStringConvertible {
        let year: Int, month: Int, day: Int
        let days: Int, weekday: Int
        var testDescription: String { "\(year)-\(month)-\(day)" }
    }

    /// Days since 1970-01-01 as `date -u +%s` gives them, Monday is 0.
    static let known: [Known] = [
        Known(year: 1970, month: 1, day: 1, days: 0, weekday: 3),
        Known(year: 1969, month: 12, day: 31, days: -1, weekday: 2),
        Known(year: 2000, month: 2, day: 29, days: 11_016, weekday: 1),
        Known(year: 2000, month: 3, day: 1, days: 11_017, weekday: 2),
        Known(year: 1900, month: 3, day: 1, days: -25_508, weekday: 3),
        Known(year: 2024, month: 2, day: 29, days: 19_782, weekday: 3),
        Known(year: 2026, month: 11, day: 21, days: 20_778, weekday: 5),
        Known(year: 1, month: 1, day: 1, days: -719_162, weekday: 0),
        Known(year: 9999, month: 12, day: 31, days: 2_932_896, weekday: 4),
    ]

    @Test(arguments: known)
    func `a date is its number of days`(_ known: Known) {
        let date = CivilDate(year: known.year, month: known.month, day: known.day)
        #expect(date.daysSinceEpoch == known.days)
        #expect(CivilDate(daysSinceEpoch: known.days) == date)
        #expect(date.weekday == known.weekday)
    }

    @Test func `every day of eight centuries follows the one before`() {
        var before = CivilDate(daysSinceEpoch: -150_001)
        for day in -150_000...150_000 {
            let date = CivilDate(daysSinceEpoch: day)
            #expect(date.daysSinceEpoch == day)
            #expect(before < date)
            #expect((before.weekday + 1) % 7 == date.weekday)
            before = date
        }
    }

    @Test func `instants survive being written and read`() {
        var state: UInt64 = 7
        for _ in 0..<20_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let span = UInt64(
                Instant.distantFuture.milliseconds - Instant.distantPast.milliseconds)
            let instant = Instant(
                milliseconds: Instant.distantPast.milliseconds + Int64((state >> 1) % span))
            #expect(Instant(rfc3339: instant.rfc3339.utf8) == instant, "\(instant.rfc3339)")
        }
        #expect(Instant.distantPast.rfc3339 == "0001-01-01T00:00:00Z")
        #expect(Instant.distantFuture.rfc3339 == "9999-12-31T23:59:59Z")
        #expect(Instant(milliseconds: -1).rfc3339 == "1969-12-31T23:59:59.999Z")
        #expect(Instant(milliseconds: 1_795_248_000_007).timeOfDay == "08:00:00")
    }

    @Test(
        arguments: [
            ("2026-11-21T08:00:00Z", 1_795_248_000_000),
            ("2026-11-21t08:00:00z", 1_795_248_000_000),
            ("2026-11-21 08:00:00.5+00:00", 1_795_248_000_500),
            ("2026-11-21T08:00:00.123456789-05:30", 1_795_267_800_123),
            ("2026-12-31T23:59:60Z", 1_798_761_600_000),
        ] as [(String, Int64)])
    func `RFC 3339 is read in all its shapes`(_ text: String, _ milliseconds: Int64) {
        #expect(Instant(rfc3339: text.utf8)?.milliseconds == milliseconds)
    }

    @Test(arguments: [
        "", "2026", "2026-11-21", "2026-11-21T08:00:00", "2026-13-21T08:00:00Z",
        "2026-00-21T08:00:00Z", "2026-02-30T08:00:00Z", "2025-02-29T08:00:00Z",
        "2026-11-21T24:00:00Z", "2026-11-21T08:60:00Z", "2026-11-21T08:00:61Z",
        "2026-11-21T08:00:00.Z", "2026-11-21T08:00:00+0100", "2026-11-21T08:00:00+24:00",
        "2026-11-21T08:00:00ZZ", "2026-11-21X08:00:00Z", "26-11-21T08:00:00Z",
    ])
    func `what is no timestamp is not read`(_ text: String) {
        #expect(Instant(rfc3339: text.utf8) == nil)
    }

    @Test func `adding to an instant stops at the ends of time`() {
        let instant = Instant(milliseconds: .max - 1)
        #expect(instant + .seconds(1) == .distantFuture)
        #expect(Instant(milliseconds: .min + 1) - .seconds(1) == .distantPast)
        #expect(Instant(milliseconds: 5) - Instant(milliseconds: 2) == .milliseconds(3))
        #expect(Duration.seconds(Int64.max).milliseconds == .max)
        #expect(Duration.seconds(Int64.min).milliseconds == .min)
    }

    @Test(arguments: [
        (Duration.zero, "0s"), (.seconds(90), "90s"), (.seconds(120), "2m"),
        (.seconds(7_200), "2h"),
        (.seconds(172_800), "2d"), (.milliseconds(1_500), "1500ms"), (.seconds(-60), "-1m"),
    ])
    func `a duration is written in its largest whole unit`(_ duration: Duration, _ text: String) {
        #expect(duration.short == text)
    }
}
