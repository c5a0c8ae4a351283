/// What a device says of itself and its surroundings, beyond its identity.
///
/// Physical keys (host, rack, …) rarely change; workload keys (job, team, …) change all day.
package enum LabelKey: Int, CaseIterable, Codable, Sendable {
    case region, zone, cluster, block, rack, host, slot
    case vendor, model, kind
    /// Versions of what runs on the device and below it.
    case driver, firmware, runtime
    case job, rank, service, workload, team, user, namespace

    /// As written in rules, messages and JSON.
    package var name: String { LabelKey.names[rawValue] }

    package init?(name: String) {
        guard let index = LabelKey.names.firstIndex(of: name) else { return nil }
        self = LabelKey.allCases[index]
    }

    private static let names = allCases.map { "\($0)" }
}

/// The labels of one device; a key that is not there is the empty string.
package struct Labels: Hashable, Sendable {
    /// Longer values are cut: labels come from outside and are kept for months.
    package static let valueBytesMax = 256

    /// By key.
    private var values = Array(repeating: "", count: LabelKey.allCases.count)

    package init() {}

    package init(_ pairs: KeyValuePairs<LabelKey, String>) {
        for (key, value) in pairs { self[key] = value }
    }

    package subscript(key: LabelKey) -> String {
        get { values[key.rawValue] }
        set {
            values[key.rawValue] =
                newValue.utf8.count <= Labels.valueBytesMax
                ? newValue : String(newValue.unicodeScalars.prefix(Labels.valueBytesMax / 4))
        }
    }

    /// The labels that are there, in the order of `LabelKey`.
    package var pairs: [(key: LabelKey, value: String)] {
        LabelKey.allCases.compactMap { self[$0].isEmpty ? nil : ($0, self[$0]) }
    }
}

extension Labels: Codable {
    package init(from decoder: any Decoder) throws {
        for (name, value) in try decoder.singleValueContainer().decode([String: String].self) {
            guard let key = LabelKey(name: name) else { continue }
            self[key] = value
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(
            Dictionary(uniqueKeysWithValues: pairs.map { ($0.key.name, $0.value) }))
    }
}
