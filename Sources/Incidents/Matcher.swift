package import Fleet
import Rules

/// One condition of a route or a silence, as people write it: `symptom=~"nvlink|ib.*"`.
package struct Matcher: Sendable, Hashable, CustomStringConvertible {
    package struct Malformed: Error, Equatable { package let reason: String }

    package enum Subject: Hashable, Sendable {
        case symptom, rule, kind, blame, severity
        case label(LabelKey)
    }

    private enum Test: Hashable, Sendable {
        case equal(String), unequal(String)
        case like(Pattern), unlike(Pattern)
        case severity(ClosedRange<Int>, isNegated: Bool)
    }

    package let text: String
    package let subject: Subject
    private let test: Test

    package var description: String { text }

    /// What a name before the operator may be.
    package static let subjectNames: [String] =
        ["symptom", "rule", "kind", "blame", "severity"] + LabelKey.allCases.map(\.name)

    package init(_ text: String) throws(Malformed) {
        let name = text.prefix { $0.isLetter || $0 == "_" }
        let operators = ["=~", "!~", "!=", "<=", ">=", "=", "<", ">"]
        let rest = text.dropFirst(name.count).drop { $0 == " " }
        guard !name.isEmpty, let sign = operators.first(where: { rest.hasPrefix($0) }) else {
            throw Malformed(
                reason: "'\(text.prefix(80))' is not a matcher such as symptom=\"thermal\"")
        }
        guard let subject = Matcher.subject(String(name)) else {
            throw Malformed(reason: "unknown name '\(name)' in '\(text.prefix(80))'")
        }
        let value = try Matcher.unquoted(rest.dropFirst(sign.count).drop { $0 == " " })
        self.text = text
        self.subject = subject
        test =
            subject == .severity
            ? try Matcher.severity(sign, value) : try Matcher.text(sign, value)
    }

    private static func subject(_ name: String) -> Subject? {
        switch name {
        case "symptom": .symptom
        case "rule": .rule
        case "kind": .kind
        case "blame": .blame
        case "severity": .severity
        default: LabelKey(name: name).map { .label($0) }
        }
    }

    private static func unquoted(_ text: Substring) throws(Malformed) -> String {
        guard text.hasPrefix("\"") else {
            guard !text.isEmpty else { throw Malformed(reason: "a matcher without a value") }
            return String(text)
        }
        guard text.count >= 2, text.hasSuffix("\"") else {
            throw Malformed(reason: "a quote is not closed in '\(text.prefix(80))'")
        }
        return String(text.dropFirst().dropLast())
    }

    private static func text(_ sign: String, _ value: String) throws(Malformed) -> Test {
        switch sign {
        case "=": return .equal(value)
        case "!=": return .unequal(value)
        case "=~", "!~":
            do throws(Pattern.Malformed) {
                let pattern = try Pattern(value)
                return sign == "=~" ? .like(pattern) : .unlike(pattern)
            } catch { throw Malformed(reason: "the pattern '\(value.prefix(80))' \(error.reason)") }
        default: throw Malformed(reason: "'\(sign)' compares severities only")
        }
    }

    private static func severity(_ sign: String, _ value: String) throws(Malformed) -> Test {
        let named = Severity(name: value)?.rawValue ?? Int(value)
        guard let number = named, (1...4).contains(number) else {
            throw Malformed(
                reason:
                    "a severity is 1 to 4, or critical, high, medium, low; not '\(value.prefix(40))'"
            )
        }
        switch sign {
        case "=": return .severity(number...number, isNegated: false)
        case "!=": return .severity(number...number, isNegated: true)
        case "<=": return .severity(0...number, isNegated: false)
        case ">=": return .severity(number...9, isNegated: false)
        case "<": return .severity(0...(number - 1), isNegated: false)
        case ">": return .severity((number + 1)...9, isNegated: false)
        default: throw Malformed(reason: "a severity is compared with =, !=, <, <=, > or >=")
        }
    }

    /// What is matched: a finding before it has an incident, or an incident.
    package struct Facts {
        package var symptom: String
        package var rules: [String]
        package var kind: EntityKind
        package var blame: String
        package var severity: Severity
        package var labels: Labels

        init(_ finding: Finding) {
            symptom = finding.symptom
            rules = [finding.key.rule]
            kind = finding.key.subject.kind
            blame = finding.key.subject.name
            severity = finding.severity
            labels = finding.labels
        }

        package init(_ incident: Incident) {
            symptom = incident.symptom
            rules = incident.rules
            kind = incident.blame.kind
            blame = incident.blame.name
            severity = incident.severity
            labels = incident.labels
        }
    }

    package func matches(_ facts: Facts) -> Bool {
        switch subject {
        case .symptom: holds(facts.symptom)
        case .rule: facts.rules.contains { holds($0) }
        case .kind: holds(facts.kind.rawValue)
        case .blame: holds(facts.blame)
        case .severity: holds(facts.severity.rawValue)
        case .label(let key): holds(facts.labels[key])
        }
    }

    /// Whether it speaks of labels alone and these are such; false where it asks for anything else.
    package func matches(labels: Labels) -> Bool {
        guard case .label(let key) = subject else { return false }
        return holds(labels[key])
    }

    private func holds(_ value: String) -> Bool {
        switch test {
        case .equal(let wanted): value == wanted
        case .unequal(let unwanted): value != unwanted
        case .like(let pattern): pattern.matches(value)
        case .unlike(let pattern): !pattern.matches(value)
        case .severity: false
        }
    }

    private func holds(_ number: Int) -> Bool {
        guard case .severity(let range, let isNegated) = test else { return false }
        return range.contains(number) != isNegated
    }
}

/// A matcher is its text in JSON.
extension Matcher: Codable {
    package init(from decoder: any Decoder) throws {
        try self.init(try decoder.singleValueContainer().decode(String.self))
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(text)
    }
}
