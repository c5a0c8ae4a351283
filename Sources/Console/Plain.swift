package import Fleet

/// Text from outside made fit to be shown: labels and notes are written by strangers.
///
/// A label may hold an escape sequence for a terminal, a tag for a browser, or marks that turn the
/// direction of the text and so make one device look like another.
package enum Plain {
    /// One line without anything invisible: such characters become U+FFFD, and `max` cuts.
    package static func line(_ text: String, max: Int = 400) -> String {
        var kept = String.UnicodeScalarView()
        var count = 0
        for scalar in text.unicodeScalars {
            guard count < max else {
                kept.append("…")
                break
            }
            kept.append(isVisible(scalar) ? scalar : "\u{FFFD}")
            count += 1
        }
        return String(kept)
    }

    private static func isVisible(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned: false
        default: true
        }
    }

    /// Fit to stand between tags and inside quoted attributes.
    package static func html(_ text: String, max: Int = 400) -> String {
        var escaped = ""
        for scalar in line(text, max: max).unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }

    /// `40s`, `12m`, `3h05m`, `2d04h`: how long ago, for people; nothing is ever in the future.
    package static func age(_ since: Instant, at now: Instant) -> String {
        guard since < now else { return "0s" }
        let seconds = max(0, (now - since).milliseconds) / 1_000
        switch seconds {
        case ..<60: return "\(seconds)s"
        case ..<3_600: return "\(seconds / 60)m"
        case ..<86_400: return "\(seconds / 3_600)h\(twoDigits(seconds / 60 % 60))m"
        default: return "\(seconds / 86_400)d\(twoDigits(seconds / 3_600 % 24))h"
        }
    }

    private static func twoDigits(_ number: Int64) -> String {
        number < 10 ? "0\(number)" : "\(number)"
    }

    /// `$55.04`, whatever the number.
    package static func money(_ dollars: Double) -> String {
        // Far beyond any bill, and far from the ends of Int64, where the words would overflow.
        Money(dollars: min(max(dollars.isFinite ? dollars : 0, -1e12), 1e12)).description
    }

    /// `8`, `7.5`: one decimal where it says something.
    package static func number(_ value: Double) -> String {
        guard value.isFinite else { return "?" }
        let bounded = min(max(value, -1e15), 1e15)
        let tenths = (bounded * 10).rounded() / 10
        return tenths == tenths.rounded() ? "\(Int64(tenths))" : "\(tenths)"
    }
}
