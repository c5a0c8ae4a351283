/// A time zone, read from the bytes of a TZif file (RFC 9636, version 2 or later).
///
/// Answers both ways: what a clock on the wall shows at an instant, and at which instant a clock
/// on the wall shows a time. Years after the last tabulated transition follow the file's footer.
package struct Zone: Sendable {
    package struct Unreadable: Error, Equatable { package let reason: String }

    package let name: String
    /// Seconds since 1970, ascending; from `times[i]` on, `offsets[i + 1]` holds.
    private let times: [Int64]
    /// Seconds east of UTC; one more than `times`.
    private let offsets: [Int64]
    private let footer: Footer?

    package static let utc = Zone(name: "UTC", times: [], offsets: [0], footer: nil)

    private init(name: String, times: [Int64], offsets: [Int64], footer: Footer?) {
        self.name = name
        self.times = times
        self.offsets = offsets
        self.footer = footer
    }

    /// Reads the content of a file such as `/usr/share/zoneinfo/Europe/Berlin`.
    package init(name: String, bytes: [UInt8]) throws(Unreadable) {
        var reader = Bytes(bytes)
        let first = try reader.header()
        guard first.version >= 0x32 else { throw Unreadable(reason: "is older than version 2") }
        try reader.skip(first.blockSize(timeSize: 4))
        let header = try reader.header()
        var times: [Int64] = []
        for _ in 0..<header.times { times.append(try reader.integer(8)) }
        var kinds: [Int] = []
        for _ in 0..<header.times { kinds.append(Int(try reader.byte())) }
        var types: [Int64] = []
        for _ in 0..<header.types {
            types.append(Int64(Int32(truncatingIfNeeded: try reader.integer(4))))
            try reader.skip(2)
        }
        try reader.skip(header.characters + header.leaps * 12 + header.standard + header.universal)
        guard let start = types.first, kinds.allSatisfy({ $0 < types.count }),
            types.allSatisfy({ abs($0) < 93_600 }), zip(times, times.dropFirst()).allSatisfy(<)
        else { throw Unreadable(reason: "holds times that contradict each other") }
        let text = reader.footer()
        let footer = try text.isEmpty ? nil : Footer(text)
        self.init(
            name: name, times: times, offsets: [start] + kinds.map { types[$0] }, footer: footer)
    }

    /// Seconds east of UTC at `time`.
    package func offset(at time: Instant) -> Int {
        Int(offset(atSecond: Zone.seconds(time)))
    }

    private static func seconds(_ time: Instant) -> Int64 {
        let whole = time.milliseconds / 1_000
        return time.milliseconds % 1_000 < 0 ? whole - 1 : whole
    }

    private func offset(atSecond second: Int64) -> Int64 {
        var low = 0
        var high = times.count
        while low < high {
            let middle = (low + high) / 2
            if times[middle] <= second { low = middle + 1 } else { high = middle }
        }
        guard low == times.count, let footer else { return offsets[low] }
        return footer.offset(at: second)
    }

    /// The wall clock at `time`.
    package func local(_ time: Instant) -> WallTime {
        WallTime(secondsSinceEpoch: Zone.seconds(time) + offset(atSecond: Zone.seconds(time)))
    }

    /// The instant at which a clock on the wall shows `wall`.
    ///
    /// A time that comes twice is its first; a time that never comes is the first instant after
    /// the gap. No zone changes its offset by more than a day, nor twice within two days of a gap
    /// that matters here, so the offsets a day and a half before and after are all there are.
    package func instant(_ wall: WallTime) -> Instant {
        let naive = wall.secondsSinceEpoch
        let before = offset(atSecond: naive - 129_600)
        let after = offset(atSecond: naive + 129_600)
        let candidates = [before, after].map { naive - $0 }.sorted()
        for candidate in candidates where candidate + offset(atSecond: candidate) == naive {
            return Instant(milliseconds: candidate * 1_000)
        }
        // Neither fits: the clock jumps over it. The change lies between the two candidates.
        var low = candidates[0] - 86_400
        var high = candidates[1] + 86_400
        while high - low > 1 {
            let middle = (low + high) / 2
            if middle + offset(atSecond: middle) < naive { low = middle } else { high = middle }
        }
        return Instant(milliseconds: high * 1_000)
    }
}

/// What a clock on the wall shows: a date and a time of day, in no particular zone.
package struct WallTime: Hashable, Sendable {
    package var date: CivilDate
    package var secondOfDay: Int

    package init(date: CivilDate, secondOfDay: Int) {
        self.date = date
        self.secondOfDay = secondOfDay
    }

    package init(secondsSinceEpoch seconds: Int64) {
        let days = seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400
        date = CivilDate(daysSinceEpoch: Int(days))
        secondOfDay = Int(seconds - days * 86_400)
    }

    var secondsSinceEpoch: Int64 { Int64(date.daysSinceEpoch) * 86_400 + Int64(secondOfDay) }
}

/// The POSIX rule at the end of a TZif file: `CET-1CEST,M3.5.0,M10.5.0/3`.
struct Footer: Sendable {
    private enum Day {
        case julian(Int), zeroBased(Int)
        case weekday(month: Int, week: Int, day: Int)
    }

    private struct Change {
        let day: Day
        /// Seconds after local midnight; may be negative or beyond a day.
        let time: Int64
    }

    private let standard: Int64
    private let summer: (offset: Int64, start: Change, end: Change)?

    init(_ text: String) throws(Zone.Unreadable) {
        var reader = Characters(text)
        try reader.name()
        standard = -(try reader.time())
        guard !reader.isAtEnd else {
            summer = nil
            return
        }
        try reader.name()
        let offset = reader.peek == "," ? standard + 3_600 : -(try reader.time())
        let start = try Footer.change(&reader)
        let end = try Footer.change(&reader)
        guard reader.isAtEnd else {
            throw Zone.Unreadable(reason: "has an unknown footer '\(text)'")
        }
        summer = (offset, start, end)
    }

    private static func change(_ reader: inout Characters) throws(Zone.Unreadable) -> Change {
        try reader.expect(",")
        let day: Day
        if reader.take("M") {
            let month = try reader.number(1...12)
            try reader.expect(".")
            let week = try reader.number(1...5)
            try reader.expect(".")
            day = .weekday(month: month, week: week, day: try reader.number(0...6))
        } else if reader.take("J") {
            day = .julian(try reader.number(1...365))
        } else {
            day = .zeroBased(try reader.number(0...365))
        }
        return Change(day: day, time: reader.take("/") ? try reader.time() : 7_200)
    }

    func offset(at second: Int64) -> Int64 {
        guard let summer else { return standard }
        // The year by the standard clock; a change never falls on the turn of the year.
        let year = WallTime(secondsSinceEpoch: second + standard).date.year
        let start = Footer.second(of: summer.start, in: year) - standard
        let end = Footer.second(of: summer.end, in: year) - summer.offset
        let isSummer =
            start < end ? second >= start && second < end : second >= start || second < end
        return isSummer ? summer.offset : standard
    }

    private static func second(of change: Change, in year: Int) -> Int64 {
        let first = CivilDate(year: year, month: 1, day: 1).daysSinceEpoch
        let isLeap = CivilDate(year: year, month: 3, day: 1).daysSinceEpoch - first == 60
        let days: Int
        switch change.day {
        case .julian(let number): days = first + number - 1 + (isLeap && number > 59 ? 1 : 0)
        case .zeroBased(let number): days = first + number
        case .weekday(let month, let week, let day):
            let start = CivilDate(year: year, month: month, day: 1).daysSinceEpoch
            // 1970-01-01 was a Thursday: day 4 of a week that starts on Sunday.
            let weekday = ((start + 4) % 7 + 7) % 7
            var found = start + (day - weekday + 7) % 7 + (week - 1) * 7
            while CivilDate(daysSinceEpoch: found).month != month { found -= 7 }
            days = found
        }
        return Int64(days) * 86_400 + change.time
    }
}

/// A cursor over the text of a footer.
private struct Characters {
    private let text: [Character]
    private var position = 0

    init(_ text: String) { self.text = Array(text) }

    var isAtEnd: Bool { position == text.count }
    var peek: Character? { isAtEnd ? nil : text[position] }

    private func wrong() -> Zone.Unreadable {
        Zone.Unreadable(reason: "has an unknown footer '\(String(text).prefix(80))'")
    }

    mutating func take(_ wanted: Character) -> Bool {
        guard peek == wanted else { return false }
        position += 1
        return true
    }

    mutating func expect(_ wanted: Character) throws(Zone.Unreadable) {
        guard take(wanted) else { throw wrong() }
    }

    mutating func name() throws(Zone.Unreadable) {
        let start = position
        if take("<") {
            while let next = peek, next != ">" { position += next == ">" ? 0 : 1 }
            try expect(">")
        } else {
            while let next = peek, next.isLetter { position += 1 }
        }
        guard position - start >= 3 else { throw wrong() }
    }

    mutating func number(_ range: ClosedRange<Int>) throws(Zone.Unreadable) -> Int {
        var digits = ""
        while let next = peek, next.isASCII, next.isNumber, digits.count < 4 {
            digits.append(next)
            position += 1
        }
        guard let number = Int(digits), range.contains(number) else { throw wrong() }
        return number
    }

    /// `[+-]hh[:mm[:ss]]`, as seconds.
    mutating func time() throws(Zone.Unreadable) -> Int64 {
        let isNegative = take("-")
        if !isNegative { _ = take("+") }
        var seconds = try number(0...167) * 3_600
        if take(":") {
            seconds += try number(0...59) * 60
            if take(":") { seconds += try number(0...59) }
        }
        return Int64(isNegative ? -seconds : seconds)
    }
}

/// A cursor over the bytes of a TZif file.
private struct Bytes {
    struct Header {
        var version: UInt8
        var universal, standard, leaps, times, types, characters: Int

        func blockSize(timeSize: Int) -> Int {
            times * timeSize + times + types * 6 + characters + leaps * (timeSize + 4) + standard
                + universal
        }
    }

    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func byte() throws(Zone.Unreadable) -> UInt8 {
        guard position < bytes.count else { throw Zone.Unreadable(reason: "ends too early") }
        position += 1
        return bytes[position - 1]
    }

    mutating func integer(_ size: Int) throws(Zone.Unreadable) -> Int64 {
        var value: UInt64 = 0
        for _ in 0..<size { value = value << 8 | UInt64(try byte()) }
        return Int64(bitPattern: value)
    }

    mutating func skip(_ count: Int) throws(Zone.Unreadable) {
        guard count >= 0, count <= bytes.count - position else {
            throw Zone.Unreadable(reason: "ends too early")
        }
        position += count
    }

    mutating func header() throws(Zone.Unreadable) -> Header {
        for wanted in "TZif".utf8 where try byte() != wanted {
            throw Zone.Unreadable(reason: "is not a TZif file")
        }
        let version = try byte()
        try skip(15)
        var counts: [Int] = []
        for _ in 0..<6 {
            let count = Int(try integer(4))
            // The largest of 2026's files has 236 transitions.
            guard count <= 10_000 else { throw Zone.Unreadable(reason: "claims absurd sizes") }
            counts.append(count)
        }
        return Header(
            version: version, universal: counts[0], standard: counts[1], leaps: counts[2],
            times: counts[3], types: counts[4], characters: counts[5])
    }

    /// The text between the two last line feeds.
    func footer() -> String {
        String(decoding: bytes[position...].dropFirst().prefix { $0 != 10 }, as: UTF8.self)
    }
}
