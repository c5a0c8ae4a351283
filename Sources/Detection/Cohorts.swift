package import Fleet

/// The kinds of groups that devices stand in.
///
/// Public, so that what asks by kind is inlined.
public enum CohortKind: Int, CaseIterable, Sendable {
    case host, rack, job, service, cluster, pipeline, model

    /// What a finding about such a group is about; a model is only a cohort of peers.
    package var entity: EntityKind? {
        switch self {
        case .host: .host
        case .rack: .rack
        case .job: .job
        case .service: .service
        case .cluster: .cluster
        case .pipeline: .pipeline
        case .model: nil
        }
    }

    package init?(_ kind: EntityKind) {
        guard let found = CohortKind.allCases.first(where: { $0.entity == kind }) else {
            return nil
        }
        self = found
    }

    func name(in labels: Labels, topic: String) -> String {
        switch self {
        case .host: labels[.host]
        case .rack: labels[.rack]
        case .job: labels[.job]
        case .service: labels[.service]
        case .cluster: labels[.cluster]
        case .pipeline: topic
        case .model: labels[.model]
        }
    }
}

/// Who belongs together, kept as labels change.
///
/// A group has an index while it has members; the index of an empty one is used again once it was
/// released, so that a year of job names costs no more than the jobs of a day.
///
/// Public, so that it is inlined.
public struct Cohorts: Sendable {
    package struct Table: Sendable {
        package fileprivate(set) var names: [String] = []
        /// By index of the group.
        fileprivate var members: [DeviceLists.Place] = []
        fileprivate var indices: [String: Int32] = [:]
        fileprivate var free: [Int32] = []
        /// Groups that lost their last member and are not released yet.
        package fileprivate(set) var empty: [Int32] = []

        package var count: Int { names.count }

        package func index(of name: String) -> Int32? { indices[name] }
    }

    private var tables = CohortKind.allCases.map { _ in Table() }
    /// The members of all groups; those of one lie in its `range`, in order.
    package private(set) var lists = DeviceLists()
    /// Grows with each device that enters or leaves a group.
    package private(set) var version: UInt64 = 0

    package init() {}

    package subscript(kind: CohortKind) -> Table { tables[kind.rawValue] }

    /// Indices of a kind that are or were in use.
    public func count(_ kind: CohortKind) -> Int { tables[kind.rawValue].names.count }

    package func name(_ kind: CohortKind, _ index: Int32) -> String {
        tables[kind.rawValue].names[Int(index)]
    }

    /// Where the members of one group lie in `lists`.
    package func range(_ kind: CohortKind, _ index: Int32) -> Range<Int> {
        tables[kind.rawValue].members[Int(index)].range
    }

    /// The devices of one group, in order.
    ///
    /// Counts a reference: whoever looks at many groups goes through their `range` instead.
    package func members(_ kind: CohortKind, _ index: Int32) -> ArraySlice<DeviceIndex> {
        lists.devices[range(kind, index)]
    }

    /// The index of the group called `name`, made if there is none; -1 for no name.
    package mutating func intern(_ kind: CohortKind, _ name: String) -> Int32 {
        guard !name.isEmpty else { return -1 }
        let table = kind.rawValue
        if let index = tables[table].indices[name] { return index }
        if let index = tables[table].free.popLast() {
            tables[table].names[Int(index)] = name
            tables[table].indices[name] = index
            return index
        }
        let index = Int32(tables[table].names.count)
        tables[table].names.append(name)
        tables[table].members.append(DeviceLists.Place())
        tables[table].indices[name] = index
        return index
    }

    mutating func move(_ device: DeviceIndex, _ kind: CohortKind, from old: Int32, to new: Int32) {
        guard old != new else { return }
        version &+= 1
        let table = kind.rawValue
        if old >= 0 {
            lists.remove(device, &tables[table].members[Int(old)])
            if tables[table].members[Int(old)].isEmpty { tables[table].empty.append(old) }
        }
        guard new >= 0 else { return }
        if tables[table].members[Int(new)].isEmpty { tables[table].empty.removeAll { $0 == new } }
        lists.insert(device, &tables[table].members[Int(new)])
    }

    /// Gives back the index of a group without members; its holder has forgotten its state.
    package mutating func release(_ kind: CohortKind, _ index: Int32) {
        let table = kind.rawValue
        tables[table].empty.removeAll { $0 == index }
        guard tables[table].members[Int(index)].isEmpty else { return }
        guard tables[table].indices.removeValue(forKey: tables[table].names[Int(index)]) != nil
        else { return }
        tables[table].names[Int(index)] = ""
        tables[table].free.append(index)
    }
}
