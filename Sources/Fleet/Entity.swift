/// What a finding can be about, smallest first.
package enum EntityKind: String, CaseIterable, Codable, Sendable {
    case device, host, rack, job, service, cluster, pipeline
}

/// One thing in the fleet that can be blamed: `device nvidia/GPU-6b0d…`, `host gpu-node-0017`.
package struct Entity: Hashable, Codable, Sendable, CustomStringConvertible {
    package let kind: EntityKind
    package let name: String

    package init(kind: EntityKind, name: String) {
        self.kind = kind
        self.name = name
    }

    package var description: String { "\(kind.rawValue) \(name)" }
}

extension Entity: Comparable {
    /// Larger things first, then by name: the order in which people read a list.
    package static func < (left: Entity, right: Entity) -> Bool {
        left.kind == right.kind
            ? left.name < right.name
            : left.kind.rank > right.kind.rank
    }
}

extension EntityKind {
    fileprivate var rank: Int { EntityKind.allCases.firstIndex(of: self) ?? 0 }
}
