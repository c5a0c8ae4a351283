/// An amount of US dollars, as whole millionths, so that sums are exact.
package struct Money: Hashable, Comparable, Codable, Sendable {
    package var microdollars: Int64

    package init(microdollars: Int64) { self.microdollars = microdollars }

    /// Rounds to the nearest millionth; not a number is nothing, too much is all there is.
    package init(dollars: Double) {
        let scaled = dollars * 1_000_000
        guard !scaled.isNaN else {
            microdollars = 0
            return
        }
        guard abs(scaled) < 9e18 else {
            microdollars = scaled < 0 ? .min : .max
            return
        }
        microdollars = Int64(scaled + (scaled < 0 ? -0.5 : 0.5))
    }

    package static let zero = Money(microdollars: 0)
    package var dollars: Double { Double(microdollars) / 1_000_000 }

    package static func < (left: Money, right: Money) -> Bool {
        left.microdollars < right.microdollars
    }

    package static func + (left: Money, right: Money) -> Money {
        let (sum, overflow) = left.microdollars.addingReportingOverflow(right.microdollars)
        guard overflow else { return Money(microdollars: sum) }
        return Money(microdollars: left.microdollars < 0 ? .min : .max)
    }

    package static func * (left: Money, right: Double) -> Money {
        Money(dollars: left.dollars * right)
    }
}

extension Money: CustomStringConvertible {
    /// `$55.04`, `$1,234` from a thousand up.
    package var description: String {
        let cents = (microdollars.magnitude + 5_000) / 10_000
        let sign = microdollars < 0 && cents > 0 ? "-" : ""
        let fraction = cents % 100
        var whole = String(cents / 100)
        guard cents >= 100_000 else {
            return "\(sign)$\(whole).\(fraction < 10 ? "0" : "")\(fraction)"
        }
        var grouped = ""
        while whole.count > 3 {
            grouped = ",\(whole.suffix(3))\(grouped)"
            whole.removeLast(3)
        }
        return "\(sign)$\(whole)\(grouped)"
    }
}
