package import Configuration
package import Fleet

/// A complete and consistent set of rules: the whole of what is looked for.
package struct RuleBook: Sendable {
    /// In the order of files and of lines.
    package let rules: [Rule]
    package let policies: [String: EventPolicy]
    /// By name, and by `RuleBook.key(ofZone:)` those that a rule names a time zone for.
    package let calendars: [String: SiteCalendar]
    /// Of all definitions and policies; two books with one hash find the same.
    package let hash: UInt64

    package subscript(id: String) -> Rule? { rules.first { $0.id == id } }

    /// Whether a file of the rules folder holds detection rules.
    ///
    /// Paging, topology and prices have loaders of their own, and tests are not rules.
    package static func isRuleFile(_ name: String) -> Bool {
        let base = name.split(separator: "/").last.map(String.init) ?? name
        guard base.hasSuffix(".yaml") || base.hasSuffix(".yml") else { return false }
        let others = ["escalation.yaml", "topology.yaml", "prices.yaml"]
        return !base.hasSuffix(".test.yaml") && !others.contains(base) && !base.hasPrefix(".")
    }

    /// A blank cannot stand in the name of a calendar.
    static func key(ofZone name: String) -> String { "zone \(name)" }

    /// Reads all files; what is wrong with any of them goes to `problems`.
    ///
    /// - Returns: nil where there is any problem: a set of rules is taken whole or not at all.
    package static func load(
        files: [(name: String, text: String)], zones: ZoneDatabase = .empty, problems: Problems
    ) -> RuleBook? {
        var loader = RuleLoader(problems: problems, zones: zones)
        for (name, text) in files { loader.read(text, file: name) }
        return loader.book()
    }
}

/// FNV-1a, 64 bits: for telling definitions apart, not for secrets.
struct DefinitionHash {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ text: String) {
        for byte in text.utf8 { add(byte: byte) }
        add(byte: 0)
    }

    mutating func add(_ number: UInt64) {
        for shift in stride(from: 0, to: 64, by: 8) {
            add(byte: UInt8(truncatingIfNeeded: number >> shift))
        }
    }

    mutating func add(byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }

    /// The content of a node, without its place and its layout.
    mutating func add(_ node: Node) {
        switch node.value {
        case .scalar(let text, _):
            add(byte: 1)
            add(text)
        case .sequence(let items):
            add(byte: 2)
            for item in items { add(item) }
            add(byte: 3)
        case .mapping(let pairs):
            add(byte: 4)
            for (key, value) in pairs {
                add(key)
                add(value)
            }
            add(byte: 5)
        }
    }
}
