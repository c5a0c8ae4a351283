import Fleet

/// What an integer timestamp counts.
package enum TimestampUnit: String, CaseIterable, Sendable {
    /// By magnitude: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds.
    case automatic, seconds, milliseconds, microseconds, nanoseconds
}

/// Event times as producers write them: integers, decimals, integers in quotes and RFC 3339.
enum Timestamp {
    /// Reads the value at `node`; digits below a millisecond are dropped.
    ///
    /// - Returns: nil for what is no timestamp, and for years outside 1 to 9999.
    static func read(_ bytes: Span<UInt8>, _ node: Node, unit: TimestampUnit) -> Instant? {
        switch node.kind {
        case .number: number(bytes, node.range, isInteger: node.flag, node.value, unit)
        case .string: text(bytes, node.range, unit)
        default: nil
        }
    }

    /// The same at once, for the milliseconds of our time that nearly every producer sends.
    @inline(__always)
    static func read(_ node: Node, unit: TimestampUnit) -> Instant? {
        // In these bounds a number of no given unit counts milliseconds, in the years 1973 to 5138.
        guard node.kind == .number, node.flag, node.value >= 1e11, node.value < 1e14,
            unit == .automatic || unit == .milliseconds
        else { return nil }
        return Instant(milliseconds: Int64(node.value))
    }

    private static func number(
        _ bytes: Span<UInt8>, _ range: Range<Int>, isInteger: Bool, _ value: Double,
        _ unit: TimestampUnit
    ) -> Instant? {
        if isInteger {
            // Up to 15 digits a Double is the very integer.
            if abs(value) < 1e15 { return instant(Int64(value), unit) }
            if let exact = integer(bytes, range) { return instant(exact, unit) }
        }
        guard value.isFinite, abs(value) < 1e20 else { return nil }
        // Below 1e20 the magnitude fits in 64 bits.
        let perSecond = unitsPerSecond(UInt64(min(abs(value), 1.8e19)), unit)
        let milliseconds = (value * (1_000 / Double(perSecond))).rounded(.down)
        guard abs(milliseconds) < 1e15 else { return nil }
        return bounded(Int64(milliseconds))
    }

    private static func integer(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Int64? {
        let isNegative = !range.isEmpty && bytes[range.lowerBound] == Byte.minus
        let first = isNegative ? range.lowerBound + 1 : range.lowerBound
        guard first < range.upperBound, range.upperBound - first <= 19 else { return nil }
        // 19 digits fit in 64 bits without a sign.
        var position = first
        var magnitude: UInt64 = 0
        Number.digits(bytes, &position, &magnitude)
        guard position == range.upperBound, let value = Int64(exactly: magnitude) else {
            return nil
        }
        return isNegative ? -value : value
    }

    /// The instant that a plain integer names, or nil where it lies outside the years 1 to 9999.
    @inline(__always)
    static func instant(_ value: Int64, _ unit: TimestampUnit) -> Instant? {
        // In these bounds a number of no given unit counts milliseconds, in the years 1973 to 5138.
        if value >= 100_000_000_000, value < 100_000_000_000_000,
            unit == .automatic || unit == .milliseconds
        {
            return Instant(milliseconds: value)
        }
        // And nanoseconds, in the years 1973 to 2262.
        if value >= 100_000_000_000_000_000, unit == .automatic || unit == .nanoseconds {
            return Instant(milliseconds: value / 1_000_000)
        }
        return anyInstant(value, unit)
    }

    @inline(never)
    private static func anyInstant(_ value: Int64, _ unit: TimestampUnit) -> Instant? {
        let perSecond = unitsPerSecond(value.magnitude, unit)
        if perSecond >= 1_000 {
            let divisor = perSecond / 1_000
            let floored = value / divisor - (value % divisor < 0 ? 1 : 0)
            return bounded(floored)
        }
        let (milliseconds, overflow) = value.multipliedReportingOverflow(by: 1_000)
        return overflow ? nil : bounded(milliseconds)
    }

    private static func unitsPerSecond(_ magnitude: UInt64, _ unit: TimestampUnit) -> Int64 {
        switch unit {
        case .seconds: 1
        case .milliseconds: 1_000
        case .microseconds: 1_000_000
        case .nanoseconds: 1_000_000_000
        case .automatic:
            switch magnitude {
            case ..<100_000_000_000: 1
            case ..<100_000_000_000_000: 1_000
            case ..<100_000_000_000_000_000: 1_000_000
            default: 1_000_000_000
            }
        }
    }

    private static func bounded(_ milliseconds: Int64) -> Instant? {
        let instant = Instant(milliseconds: milliseconds)
        return instant < .distantPast || .distantFuture < instant ? nil : instant
    }

    /// RFC 3339, or a number in quotes as OTLP and cautious JavaScript write them.
    private static func text(
        _ bytes: Span<UInt8>, _ range: Range<Int>, _ unit: TimestampUnit
    ) -> Instant? {
        guard (1...64).contains(range.count) else { return nil }
        if let instant = utc(bytes, range) { return instant }
        if let number = Number.parse(bytes, at: range.lowerBound), number.end == range.upperBound {
            return self.number(
                bytes, range, isInteger: number.isInteger, number.value, unit)
        }
        var copy: [UInt8] = []
        for index in range { copy.append(bytes[index]) }
        guard let instant = Instant(rfc3339: copy) else { return nil }
        return bounded(instant.milliseconds)
    }

    /// The shape that nearly every producer writes: `2026-11-21T08:00:00.123456789Z`.
    ///
    /// - Returns: nil for everything that needs a closer look, right or wrong.
    private static func utc(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Instant? {
        let start = range.lowerBound
        guard range.count >= 20, bytes[range.upperBound - 1] == UInt8(ascii: "Z"),
            bytes[start + 4] == Byte.minus, bytes[start + 7] == Byte.minus,
            bytes[start + 10] == UInt8(ascii: "T"), bytes[start + 13] == Byte.colon,
            bytes[start + 16] == Byte.colon,
            let century = pair(bytes, start), let decade = pair(bytes, start + 2),
            let month = pair(bytes, start + 5), let day = pair(bytes, start + 8),
            let hour = pair(bytes, start + 11), let minute = pair(bytes, start + 14),
            let second = pair(bytes, start + 17)
        else { return nil }
        let year = century * 100 + decade
        guard year > 0, (1...12).contains(month), (1...28).contains(day), hour < 24, minute < 60,
            second < 60
        else { return nil }
        var thousandths = 0
        if range.count > 20 {
            guard range.count > 21, bytes[start + 19] == Byte.dot else { return nil }
            var scale = 100
            for index in start + 20..<range.upperBound - 1 {
                guard Byte.isDigit(bytes[index]) else { return nil }
                thousandths += Int(bytes[index] &- Byte.zero) * scale
                scale /= 10
            }
        }
        let days = CivilDate(year: year, month: month, day: day).daysSinceEpoch
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second
        return Instant(milliseconds: Int64(seconds * 1_000 + thousandths))
    }

    @inline(__always)
    private static func pair(_ bytes: Span<UInt8>, _ offset: Int) -> Int? {
        let tens = bytes[offset] &- Byte.zero
        let ones = bytes[offset + 1] &- Byte.zero
        return tens < 10 && ones < 10 ? Int(tens) * 10 + Int(ones) : nil
    }
}
