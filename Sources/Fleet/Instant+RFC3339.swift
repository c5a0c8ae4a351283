/// Days of the proleptic Gregorian calendar, counted from 1970-01-01.
///
/// The arithmetic is Howard Hinnant's `days_from_civil` and its inverse (chrono-Compatible
/// Low-Level Date Algorithms): no table, exact for every year that an `Instant` can name.
package struct CivilDate: Hashable, Comparable, Sendable {
    package let year: Int
    package let month: Int
    package let day: Int

    package init(year: Int, month: Int, day: Int) {
        self.year = year
        self.month = month
        self.day = day
    }

    package init(daysSinceEpoch: Int) {
        let shifted = daysSinceEpoch + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    package var daysSinceEpoch: Int {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    /// 0 is Monday, 6 is Sunday (ISO 8601).
    package var weekday: Int {
        let shifted = (daysSinceEpoch + 3) % 7
        return shifted < 0 ? shifted + 7 : shifted
    }

    package static func < (left: CivilDate, right: CivilDate) -> Bool {
        left.daysSinceEpoch < right.daysSinceEpoch
    }
}

extension Instant {
    /// `2026-11-21T08:00:00Z`, with milliseconds where there are any (RFC 3339).
    package var rfc3339: String {
        var days = milliseconds / 86_400_000
        var rest = milliseconds % 86_400_000
        if rest < 0 {
            rest += 86_400_000
            days -= 1
        }
        let date = CivilDate(daysSinceEpoch: Int(days))
        let seconds = rest / 1_000
        let time = [seconds / 3_600, seconds / 60 % 60, seconds % 60].map { padded($0, 2) }
        let fraction = rest % 1_000 == 0 ? "" : ".\(padded(rest % 1_000, 3))"
        return "\(padded(Int64(date.year), 4))-\(padded(Int64(date.month), 2))-"
            + "\(padded(Int64(date.day), 2))T\(time.joined(separator: ":"))\(fraction)Z"
    }

    /// `08:00:00`, the time of day in UTC.
    package var timeOfDay: String { String(rfc3339.dropFirst(11).prefix(8)) }

    /// Reads RFC 3339: any number of fractional digits, `Z` or a numeric offset, `T` or a space.
    ///
    /// Digits beyond milliseconds are dropped. A leap second is read as the next minute.
    ///
    /// - Returns: nil for anything that is not such a timestamp, also for 30 February.
    package init?(rfc3339 text: some Sequence<UInt8>) {
        var reader = Digits(text)
        guard let year = reader.number(4), reader.take("-"), let month = reader.number(2),
            reader.take("-"), let day = reader.number(2),
            reader.take("T") || reader.take("t") || reader.take(" "),
            let hour = reader.number(2), reader.take(":"), let minute = reader.number(2),
            reader.take(":"), let second = reader.number(2)
        else { return nil }
        guard (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second <= 60
        else { return nil }
        let days = CivilDate(year: year, month: month, day: day).daysSinceEpoch
        let back = CivilDate(daysSinceEpoch: days)
        guard back.month == month, back.day == day else { return nil }

        var thousandths = 0
        if reader.take(".") {
            guard let fraction = reader.fraction() else { return nil }
            thousandths = fraction
        }
        var offsetMinutes = 0
        if !reader.take("Z"), !reader.take("z") {
            let west = reader.take("-")
            guard west || reader.take("+"), let hours = reader.number(2), reader.take(":"),
                let minutes = reader.number(2), hours < 24, minutes < 60
            else { return nil }
            offsetMinutes = (west ? -1 : 1) * (hours * 60 + minutes)
        }
        guard reader.isAtEnd else { return nil }
        let seconds = days * 86_400 + hour * 3_600 + (minute - offsetMinutes) * 60 + second
        self.init(milliseconds: Int64(seconds) * 1_000 + Int64(thousandths))
    }
}

private func padded(_ number: Int64, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}

/// A cursor over ASCII digits and punctuation.
private struct Digits<Iterator: IteratorProtocol<UInt8>> {
    private var bytes: Iterator
    private var next: UInt8?

    init<Bytes: Sequence<UInt8>>(_ text: Bytes) where Bytes.Iterator == Iterator {
        bytes = text.makeIterator()
        next = bytes.next()
    }

    var isAtEnd: Bool { next == nil }

    mutating func take(_ wanted: Unicode.Scalar) -> Bool {
        guard let byte = next, UInt32(byte) == wanted.value else { return false }
        next = bytes.next()
        return true
    }

    private mutating func digit() -> Int? {
        guard let byte = next, byte &- 48 < 10 else { return nil }
        next = bytes.next()
        return Int(byte &- 48)
    }

    mutating func number(_ width: Int) -> Int? {
        var value = 0
        for _ in 0..<width {
            guard let digit = digit() else { return nil }
            value = value * 10 + digit
        }
        return value
    }

    mutating func fraction() -> Int? {
        guard let first = digit() else { return nil }
        var value = first * 100
        var scale = 10
        while let digit = digit() {
            value += digit * scale
            scale /= 10
        }
        return value
    }
}
