/// A node on its way to becoming a typed value: it knows its place, and reports what is wrong.
///
/// Every reading returns nil where it reported a problem, so that a loader can go on and report the
/// next one; whether anything may be used is for `Problems.isEmpty` to say at the end.
package struct Value {
    package let node: Node
    package let file: String
    /// The key it was read under, for messages.
    package let name: String
    package let problems: Problems

    package init(node: Node, file: String, name: String, problems: Problems) {
        self.node = node
        self.file = file
        self.name = name
        self.problems = problems
    }

    package func report(_ message: String) { problems.add(message, at: node.mark, in: file) }

    private func wrong<T>(_ wanted: String) -> T? {
        report("'\(name)' must be \(wanted), not \(node.described)")
        return nil
    }

    /// The text of a scalar, as written.
    package func text() -> String? {
        guard case .scalar(let text, _) = node.value else { return wrong("a text") }
        guard !text.isEmpty else { return wrong("a text") }
        return text
    }

    package func integer(in range: ClosedRange<Int> = .min ... .max) -> Int? {
        guard case .scalar(let text, _) = node.value, let number = Int(text) else {
            return wrong("a whole number")
        }
        guard range.contains(number) else {
            report(
                "'\(name)' must be between \(range.lowerBound) and \(range.upperBound), not \(number)"
            )
            return nil
        }
        return number
    }

    package func number(in range: ClosedRange<Double> = -1e300...1e300) -> Double? {
        guard case .scalar(let text, _) = node.value, let number = Double(text), number.isFinite
        else { return wrong("a number") }
        guard range.contains(number) else {
            report(
                "'\(name)' must be between \(range.lowerBound) and \(range.upperBound), not \(text)"
            )
            return nil
        }
        return number
    }

    package func boolean() -> Bool? {
        guard case .scalar(let text, quoted: false) = node.value, text == "true" || text == "false"
        else { return wrong("true or false") }
        return text == "true"
    }

    /// `90s`, `15m`, `1h30m`, `250ms`, `2d`.
    package func duration(
        in range: ClosedRange<Duration> = .zero ... .seconds(400 * 86_400)
    )
        -> Duration?
    {
        guard case .scalar(let text, _) = node.value, let duration = parseDuration(text) else {
            return wrong("a duration such as 90s, 15m or 1h30m")
        }
        guard range.contains(duration) else {
            report("'\(name)' is out of range: \(text)")
            return nil
        }
        return duration
    }

    /// One of a fixed set of words.
    package func choice<T>(_ choices: [(String, T)]) -> T? {
        guard case .scalar(let text, _) = node.value else {
            return wrong("one of \(choices.map(\.0).joined(separator: ", "))")
        }
        if let found = choices.first(where: { $0.0 == text }) { return found.1 }
        let names = choices.map(\.0)
        report(
            "'\(name)' must be one of \(names.joined(separator: ", ")), not '\(text)'"
                + suggestion(for: text, among: names))
        return nil
    }

    /// The items of a sequence; a lone scalar or mapping is a list of one.
    package func list() -> [Value] {
        guard case .sequence(let items) = node.value else { return [self] }
        return items.map { Value(node: $0, file: file, name: name, problems: problems) }
    }

    package func section() -> Section? {
        guard case .mapping = node.value else { return wrong("a mapping of keys to values") }
        return Section(self)
    }

    /// The pairs of a mapping whose keys are names that a person chose, in the order written.
    ///
    /// A name that comes twice is reported.
    package func named() -> [(name: String, value: Value)] {
        guard case .mapping(let pairs) = node.value else {
            _ = wrong("a mapping of names to values") as Bool?
            return []
        }
        var found: [(name: String, value: Value)] = []
        for (key, value) in pairs {
            guard case .scalar(let name, _) = key.value, !name.isEmpty else {
                problems.add("a name must be a text", at: key.mark, in: file)
                continue
            }
            guard !found.contains(where: { $0.name == name }) else {
                problems.add("'\(name)' is already defined above", at: key.mark, in: file)
                continue
            }
            found.append((name, Value(node: value, file: file, name: name, problems: problems)))
        }
        return found
    }
}

/// A mapping with known keys: what is asked for is read, and the rest is refused.
package final class Section {
    package let value: Value
    private let pairs: [(name: String, value: Value)]
    private var asked: [String] = []

    package init?(_ value: Value) {
        guard case .mapping = value.node.value else { return nil }
        self.value = value
        pairs = value.named()
    }

    package var problems: Problems { value.problems }

    /// Reports a problem at the start of this mapping.
    package func report(_ message: String) { value.report(message) }

    /// The value of an optional key.
    package subscript(key: String) -> Value? {
        asked.append(key)
        return pairs.first { $0.name == key }?.value
    }

    /// The value of a key that must be there.
    package func required(_ key: String) -> Value? {
        guard let found = self[key] else {
            report("'\(key)' is missing")
            return nil
        }
        return found
    }

    /// The keys that were written.
    package var names: [String] { pairs.map(\.name) }

    /// Refuses every key that nobody asked for; call it after the last reading.
    package func finish() {
        guard case .mapping(let nodes) = value.node.value else { return }
        for (key, _) in nodes {
            guard case .scalar(let name, _) = key.value, !asked.contains(name) else { continue }
            problems.add(
                "unknown key '\(name)'" + suggestion(for: name, among: asked), at: key.mark,
                in: value.file)
        }
    }
}

extension Node {
    /// Reads `text` as one document; what libyaml refuses becomes a problem.
    ///
    /// - Returns: nil where it was refused, or where there is no document.
    package static func read(
        _ text: String, file: String, into problems: Problems
    ) -> Configuration.Value? {
        do throws(Complaint) {
            guard let node = try parse(text) else {
                problems.add("the file is empty", at: Mark(line: 1, column: 1), in: file)
                return nil
            }
            return Configuration.Value(
                node: node, file: file, name: "the file", problems: problems)
        } catch {
            problems.add(error.message, at: error.mark, in: file)
            return nil
        }
    }

    fileprivate var described: String {
        switch value {
        case .scalar("", _): "nothing"
        case .scalar(let text, _): "'\(text.prefix(60))'"
        case .sequence: "a list"
        case .mapping: "a mapping"
        }
    }
}

/// Reads a run of numbers with units, largest first: `1h30m`.
package func parseDuration(_ text: String) -> Duration? {
    let units: [(String, Int64)] = [
        ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
        ("w", 604_800_000),
    ]
    guard text != "0" else { return .zero }
    var rest = Substring(text)
    var total: Int64 = 0
    var smallest = Int64.max
    while !rest.isEmpty {
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        guard let count = Int64(digits), digits.count < 12 else { return nil }
        rest = rest.dropFirst(digits.count)
        let letters = rest.prefix { $0.isASCII && $0.isLetter }
        guard let unit = units.first(where: { $0.0 == letters }), unit.1 < smallest else {
            return nil
        }
        smallest = unit.1
        rest = rest.dropFirst(letters.count)
        let (product, tooLarge) = count.multipliedReportingOverflow(by: unit.1)
        guard !tooLarge else { return nil }
        total = total.addingReportingOverflow(product).partialValue
    }
    return smallest == .max || total < 0 ? nil : .milliseconds(total)
}
