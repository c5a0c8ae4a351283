/// Who speaks: what every message says of the daemon that sent it.
package struct Instance: Sendable, Equatable {
    package var cluster: String
    package var name: String
    package var version: String
    /// Where people open the console, without a slash at the end; empty where nobody said.
    package var consoleURL: String

    package init(cluster: String, name: String, version: String, consoleURL: String = "") {
        self.cluster = cluster
        self.name = name
        self.version = version
        self.consoleURL = consoleURL
    }

    /// `/tocsin/<cluster>/<name>`, a URI reference (CloudEvents 1.0, source).
    package var source: String { "/tocsin/\(percentEncoded(cluster))/\(percentEncoded(name))" }

    package var userAgent: String { "tocsin/\(plain(version, max: 64))" }

    /// Where the console shows an incident; empty where it has no address.
    package func link(to incident: String) -> String {
        consoleURL.isEmpty ? "" : "\(consoleURL)/incidents/\(percentEncoded(incident))"
    }
}

/// Keeps the unreserved characters of RFC 3986, 2.3.
private func percentEncoded(_ text: String) -> String {
    var encoded = ""
    for byte in text.utf8 {
        let scalar = Unicode.Scalar(byte)
        if scalar.isASCII,
            scalar.properties.isAlphabetic || "0123456789-._~".contains(Character(scalar))
        {
            encoded.unicodeScalars.append(scalar)
        } else {
            let digits = String(byte, radix: 16, uppercase: true)
            encoded += digits.count == 1 ? "%0\(digits)" : "%\(digits)"
        }
    }
    return encoded
}

/// One line of at most `max` characters, whatever came in.
///
/// Titles, labels and answers come from outside: a line break would forge a second line of a page,
/// and marks that turn the direction of text would show it as something else.
func plain(_ text: String, max: Int) -> String {
    var kept = String.UnicodeScalarView()
    var wasBlank = true
    // A character may be many scalars: bound those too.
    for scalar in text.unicodeScalars.prefix(max * 4) {
        let isBlank: Bool
        switch scalar.value {
        case 0...0x20, 0x7f...0xa0, 0x2028...0x202e, 0x2066...0x2069, 0xfeff: isBlank = true
        default: isBlank = false
        }
        if !isBlank { kept.append(scalar) } else if !wasBlank { kept.append(" ") }
        wasBlank = isBlank
    }
    if kept.last == " " { kept.removeLast() }
    let line = String(kept)
    let wasCut = text.unicodeScalars.count > max * 4
    guard line.count > max || wasCut else { return line }
    return max > 1 ? "\(line.prefix(max - 1))…" : String(line.prefix(max))
}
