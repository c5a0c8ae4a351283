/// A number as people read it at night: three significant digits, no exponent up to a trillion.
package func readable(_ value: Double) -> String {
    guard value.isFinite else {
        return value.isNaN ? "unknown" : value > 0 ? "infinite" : "-infinite"
    }
    let magnitude = abs(value)
    guard magnitude < 1e12 else { return String(value) }
    guard magnitude < 99.95 else { return String(Int64(value.rounded())) }
    guard magnitude >= 0.000_5 else { return "0" }
    // Digits behind the point: one from 10 up, at most six.
    var scale = 10.0
    var digits = 1
    while magnitude * scale < 99.95, digits < 6 {
        scale *= 10
        digits += 1
    }
    let rounded = Int64((magnitude * scale).rounded())
    var fraction = String(rounded % Int64(scale))
    fraction = String(repeating: "0", count: max(0, digits - fraction.count)) + fraction
    while fraction.last == "0" { fraction.removeLast() }
    let whole = String(rounded / Int64(scale))
    return (value < 0 ? "-" : "") + whole + (fraction.isEmpty ? "" : ".\(fraction)")
}
