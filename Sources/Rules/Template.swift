import Fleet

/// A sentence with places to fill: `Drain {{host}}`.
enum Template {
    /// What a template may name.
    static let names = [
        "subject", "device", "devices", "host", "rack", "cluster", "job", "service", "slot",
        "model", "team", "user", "region", "zone", "offenders", "members", "count", "value",
        "code", "meaning", "action", "since", "duration", "gain_pct", "rule", "usual",
    ]

    /// The names that `text` has in braces, in order.
    static func placeholders(in text: String) -> [String] {
        var found: [String] = []
        parts(of: text) { _, name in
            found.append(name)
        } literal: { _ in
        }
        return found
    }

    /// `text` with its places filled; one without a value reads `?`.
    static func fill(_ text: String, _ values: [String: String]) -> String {
        var result = ""
        parts(of: text) { _, name in
            let value = values[name] ?? ""
            result += value.isEmpty ? "?" : value
        } literal: {
            result += $0
        }
        return result
    }

    private static func parts(
        of text: String, name: (Substring, String) -> Void, literal: (Substring) -> Void
    ) {
        var rest = Substring(text)
        while let open = rest.firstRange(of: "{{") {
            let inside = rest[open.upperBound...]
            guard let close = inside.firstRange(of: "}}") else { break }
            literal(rest[..<open.lowerBound])
            let word = inside[..<close.lowerBound]
            name(word, String(word.drop { $0 == " " }.prefix { $0 != " " }))
            rest = inside[close.upperBound...]
        }
        literal(rest)
    }
}
