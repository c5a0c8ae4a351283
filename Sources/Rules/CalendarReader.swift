package import Configuration
package import Fleet

/// Reads `calendars:`, by name the time zone and the holidays of a site.
struct CalendarReader {
    let zones: ZoneDatabase

    /// More sites than one set of rules is for.
    static let calendarsMax = 100

    func read(_ value: Value) -> SiteCalendar? {
        guard let section = value.section() else { return nil }
        let zone = section.required("time_zone")?.zone(in: zones)
        var dates: [CivilDate] = []
        var yearly: [(month: Int, day: Int)] = []
        for item in section["holidays"]?.list() ?? [] {
            guard let text = item.text() else { continue }
            if let day = CalendarReader.dayOfYear(text) {
                yearly.append(day)
            } else if let run = CalendarReader.run(text) {
                dates += run
            } else {
                item.report(
                    "a holiday is written as 2026-12-25, as 12-25 for every year, or as "
                        + "\"2026-12-24 to 2027-01-01\", a year at most, not '\(text)'")
            }
        }
        if dates.count + yearly.count > SiteCalendar.holidaysMax {
            section.report("more than \(SiteCalendar.holidaysMax) holidays")
        }
        section.finish()
        guard let zone else { return nil }
        return SiteCalendar(zone: zone, holidays: dates, yearly: yearly)
    }

    /// `12-25`; the year that it is tried in has a 29 February.
    private static func dayOfYear(_ text: String) -> (month: Int, day: Int)? {
        guard text.utf8.count == 5, let date = date("2024-\(text)") else { return nil }
        return (date.month, date.day)
    }

    /// One date, or those from one to another.
    private static func run(_ text: String) -> [CivilDate]? {
        let words = text.split(separator: " ")
        guard words.count == 1 || words.count == 3 && words[1] == "to" else { return nil }
        guard let first = date(String(words[0])), let last = date(String(words[words.count - 1]))
        else { return nil }
        let days = first.daysSinceEpoch...max(first.daysSinceEpoch, last.daysSinceEpoch)
        guard first <= last, days.count <= 366 else { return nil }
        return days.map { CivilDate(daysSinceEpoch: $0) }
    }

    private static func date(_ text: String) -> CivilDate? {
        guard text.utf8.count == 10, let day = Instant(rfc3339: "\(text)T00:00:00Z".utf8) else {
            return nil
        }
        return CivilDate(daysSinceEpoch: Int(day.milliseconds / 86_400_000))
    }
}

extension Value {
    /// An IANA zone that the host knows; what is wrong is told with what to do.
    package func zone(in zones: ZoneDatabase) -> Zone? {
        guard let name = text() else { return nil }
        do throws(ZoneDatabase.Refusal) { return try zones.zone(name) } catch {
            switch error {
            case .unreadable(let reason):
                report("the file of the time zone '\(name)' \(reason)")
            case .noData:
                report("there is no time zone '\(name)', nor any other: install tzdata")
            case .unknown:
                let alike = zones.alike(name).prefix(3).map { "'\($0)'" }
                let guess =
                    alike.isEmpty
                    ? suggestion(for: name, among: zones.names)
                    : "; did you mean \(alike.joined(separator: " or "))?"
                report(
                    "there is no time zone '\(name)'"
                        + (guess.isEmpty ? "; write it as Europe/Berlin" : guess))
            }
            return nil
        }
    }
}
