/// The days of a site: the clock on its wall, and the dates on which nobody works.
///
/// One object stands behind all series that live by it, and is never changed.
package final class SiteCalendar: Sendable {
    package let zone: Zone
    /// Days since 1970, ascending.
    private let holidays: [Int]
    /// Of every year: month × 100 + day, ascending.
    private let yearly: [Int]

    /// More than any site has in the years that a rule file lives.
    package static let holidaysMax = 1_000

    /// - Parameters:
    ///   - zone: of the clock on the wall.
    ///   - holidays: at most `holidaysMax` count.
    ///   - yearly: months and days that are holidays in every year.
    package init(zone: Zone, holidays: [CivilDate] = [], yearly: [(month: Int, day: Int)] = []) {
        self.zone = zone
        self.holidays = Set(holidays.prefix(SiteCalendar.holidaysMax).map(\.daysSinceEpoch))
            .sorted()
        self.yearly = Set(yearly.prefix(SiteCalendar.holidaysMax).map { $0.month * 100 + $0.day })
            .sorted()
    }

    /// By UTC, without holidays.
    package static let universal = SiteCalendar(zone: .utc)

    /// The hour of a working day or of a day of rest, as a time of which every second day is one.
    ///
    /// Saturdays, Sundays and holidays are days of rest. Such a time says which of 48 hours it is,
    /// and goes forward as time does; it is no date.
    package func workdays(_ milliseconds: Int64) -> (milliseconds: Int64, isHoliday: Bool) {
        let (wall, day) = wall(milliseconds)
        let isHoliday = isHoliday(day)
        let isRest = isHoliday || CivilDate(daysSinceEpoch: day).weekday >= 5
        let days = Int64(day) + (isRest ? 1 : 0)
        return (wall &+ days &* 86_400_000, isHoliday)
    }

    /// What the clock on the wall shows, and the day.
    private func wall(_ milliseconds: Int64) -> (milliseconds: Int64, day: Int) {
        let offset = Int64(zone.offset(at: Instant(milliseconds: milliseconds)))
        let wall = milliseconds &+ offset * 1_000
        let whole = wall / 86_400_000
        return (wall, Int(wall % 86_400_000 < 0 ? whole - 1 : whole))
    }

    /// What the clock on the wall shows, in milliseconds since 1970 by that clock.
    ///
    /// A holiday is told as the Sunday that follows it, because the hours of a Sunday are what is
    /// usual then: such a time says the hour of the week, and not the date.
    package func hourly(_ milliseconds: Int64) -> (milliseconds: Int64, isHoliday: Bool) {
        let (wall, day) = wall(milliseconds)
        guard isHoliday(day) else { return (wall, false) }
        let toSunday = 6 - CivilDate(daysSinceEpoch: day).weekday
        return (wall &+ Int64(toSunday) * 86_400_000, true)
    }

    /// Whether this day, counted from 1970-01-01, is one of the holidays.
    package func isHoliday(_ day: Int) -> Bool {
        if contains(holidays, day) { return true }
        guard !yearly.isEmpty else { return false }
        let date = CivilDate(daysSinceEpoch: day)
        return contains(yearly, date.month * 100 + date.day)
    }

    private func contains(_ sorted: [Int], _ wanted: Int) -> Bool {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle] == wanted { return true }
            if sorted[middle] < wanted { low = middle + 1 } else { high = middle }
        }
        return false
    }
}
