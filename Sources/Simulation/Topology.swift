package import Fleet

/// Which devices stand behind each thing that can be blamed.
package struct Topology: Sendable {
    private let members: [Entity: Set<String>]
    private let everything: Set<String>
    /// `gpu-node-0005 gpu 3`, by the id of the device.
    private let places: [String: String]

    package init(members: [Entity: Set<String>], places: [String: String]) {
        self.members = members
        self.places = places
        everything = members.values.reduce(into: []) { $0.formUnion($1) }
    }

    /// The devices of an entity; all of them for a pipeline.
    package func devices(of entity: Entity) -> Set<String> {
        if entity.kind == .pipeline { return everything }
        return members[entity] ?? []
    }

    /// Whether one is the other, or stands above or below it.
    package func isRelated(_ left: Entity, _ right: Entity) -> Bool {
        if left == right { return true }
        let (first, second) = (devices(of: left), devices(of: right))
        guard !first.isEmpty, !second.isEmpty else { return false }
        return first.isSubset(of: second) || second.isSubset(of: first)
    }

    package func place(of entity: Entity) -> String {
        entity.kind == .device
            ? places[entity.name] ?? entity.name : "\(entity.kind.rawValue) \(entity.name)"
    }
}

extension FleetSimulator {
    /// Hosts, racks, jobs, services and the cluster, as the plan lays them out.
    package var topology: Topology {
        var members: [Entity: Set<String>] = [:]
        var places: [String: String] = [:]
        for (ordinal, identity) in identities.enumerated() {
            let host = ordinal / plan.devicesPerHost
            var above = [
                Entity(kind: .device, name: identity.id),
                Entity(kind: .host, name: identity.host),
                Entity(kind: .rack, name: plan.rackName(ofHost: host)),
                Entity(kind: .cluster, name: plan.cluster),
            ]
            for holder in roster.holders[ordinal] {
                let workload = plan.workloads[holder]
                let kind: EntityKind = workload.kind == .inference ? .service : .job
                above.append(Entity(kind: kind, name: workload.name))
            }
            for entity in above { members[entity, default: []].insert(identity.id) }
            places[identity.id] = "\(identity.host) gpu \(identity.index)"
        }
        return Topology(members: members, places: places)
    }
}
