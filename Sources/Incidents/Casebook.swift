package import Fleet
package import Rules

/// Gathers findings into incidents: one for each (route, blamed node, symptom).
///
/// A finding joins, in this order: the incident it already belongs to; an incident on a larger node
/// that explains it; the incident of its own group; or opens one. Then the blame may move up: when
/// most devices of a host, rack, job or cluster show the same symptom, that node is one incident.
/// Work for one edge does not grow with the number of incidents, except when blame moves.
package struct Casebook: Sendable {
    /// What one call changed; ids.
    package struct Changes {
        package var touched: Set<String> = []
        /// Folded into a parent before anybody heard of them: they are gone.
        package var absorbed: [(child: String, parent: String)] = []
        /// Open already when a parent came to explain them.
        package var merged: [(child: String, parent: String)] = []
    }

    /// A share of a node's devices from which the node is blamed (reference, product 2.8).
    package static let blameShare = 0.8
    /// An incident that holds more findings than a cluster has devices is not read by anyone.
    package static let findingsMax = 20_000

    private struct Group: Hashable {
        let route: String
        let blame: Entity
        let symptom: String
    }

    private struct Place: Hashable {
        let route: String
        let symptom: String
        let node: Entity
    }

    private struct Home {
        var incidents: [String]
        let host: String
        let places: [Place]
        let devices: [String]
    }

    package private(set) var incidents: [String: Incident] = [:]
    /// Findings that had no room and went to their route's storm incident.
    package private(set) var folded: UInt64 = 0
    /// Findings that not even a storm incident had room for.
    package private(set) var dropped: UInt64 = 0
    package let incidentsMax: Int
    private var byGroup: [Group: String] = [:]
    private var byBlame: [Entity: Set<String>] = [:]
    private var homes: [Finding.Key: Home] = [:]
    /// Devices that show a symptom, each with its host and the number of findings that say so.
    private var affected: [Place: [String: (host: String, count: Int)]] = [:]
    /// Firing findings that may be part of a burst, by host.
    private var bursts: [String: Set<Finding.Key>] = [:]
    /// Incidents that nobody was told of yet.
    private var quiet: Set<String> = []
    /// Resolved ones, which start afresh if they fire again.
    private var ended: Set<String> = []

    package init(incidentsMax: Int = 20_000) { self.incidentsMax = incidentsMax }

    /// Applies the findings in order, and brings every incident that they touch up to date.
    package mutating func take(
        _ findings: [Finding], routing: Routing, prices: PriceBook, at time: Instant
    ) -> Changes {
        var changes = Changes()
        for finding in findings {
            switch finding.edge {
            case .fired, .changed:
                fire(finding, routing: routing, prices: prices, at: time, &changes)
            case .cleared, .ruleRemoved: clear(finding, prices: prices, &changes)
            }
        }
        for id in changes.touched.sorted() { refresh(id, prices: prices) }
        return changes
    }

    /// Somebody was told: from now on it can be merged, but not vanish.
    package mutating func published(_ id: String) { quiet.remove(id) }

    /// It resolved; what fires from now on is its next generation.
    package mutating func end(_ id: String) { ended.insert(id) }

    /// It was closed, or ended before anybody was told.
    package mutating func remove(_ id: String) {
        guard let incident = incidents.removeValue(forKey: id) else { return }
        for finding in incident.findings.values { unhome(finding.key, from: id) }
        let group = Casebook.group(of: incident)
        if byGroup[group] == id { byGroup[group] = nil }
        byBlame[incident.blame]?.remove(id)
        if byBlame[incident.blame]?.isEmpty == true { byBlame[incident.blame] = nil }
        quiet.remove(id)
        ended.remove(id)
    }

    /// Puts back an incident; what is known of the surroundings is built anew from its findings.
    package mutating func restore(
        _ incident: Incident, isQuiet: Bool, hasEnded: Bool, routing: Routing
    ) {
        guard incidents[incident.id] == nil else { return }
        add(incident, isQuiet: isQuiet)
        if hasEnded { ended.insert(incident.id) }
        for key in incident.findings.keys.sorted() {
            guard let finding = incident.whole(key) else { continue }
            let facts = Matcher.Facts(finding)
            let group = routing.group(facts)
            settleIn(
                finding, in: incident.id, route: group.route,
                symptom: group.bySymptom ? finding.symptom : "any")
            noteBurst(finding, facts, routing)
        }
    }

    /// Prices changed.
    package mutating func reprice(by prices: PriceBook, until time: Instant) {
        for id in incidents.keys.sorted() {
            incidents[id]?.settle(until: time)
            refresh(id, prices: prices)
        }
    }

    /// The parent is gone; the child counts its own costs again.
    package mutating func release(_ id: String, prices: PriceBook, at time: Instant) {
        incidents[id]?.settle(until: time)
        incidents[id]?.explainedBy = ""
        refresh(id, prices: prices)
    }

    private mutating func refresh(_ id: String, prices: PriceBook) {
        incidents[id]?.refresh(prices: prices)
    }

    // The life of one finding.

    private mutating func fire(
        _ finding: Finding, routing: Routing, prices: PriceBook, at time: Instant,
        _ changes: inout Changes
    ) {
        if let home = homes[finding.key] {
            for id in home.incidents { put(finding, in: id, prices: prices, &changes) }
            return
        }
        let facts = Matcher.Facts(finding)
        let group = routing.group(facts)
        let symptom = group.bySymptom ? finding.symptom : "any"
        if let id = home(of: finding, route: group.route, symptom: symptom, routing: routing) {
            join(finding, to: id, route: group.route, symptom: symptom, prices: prices, &changes)
            noteBurst(finding, facts, routing)
            guard let blame = incidents[id]?.blame, blame.kind <= finding.key.subject.kind else {
                return
            }
            promote(finding, group.route, symptom, routing, prices, at: time, &changes)
            return
        }
        guard incidents.count < incidentsMax else {
            fold(finding, route: group.route, prices: prices, at: time, &changes)
            return
        }
        let id = open(
            finding, on: finding.key.subject, route: group.route, symptom: symptom, at: time,
            &changes)
        settleIn(finding, in: id, route: group.route, symptom: symptom)
        adopt(id, symptom: symptom, routing, prices, &changes)
        if promoteBurst(finding, facts, from: id, routing, prices, at: time, &changes) { return }
        promote(finding, group.route, symptom, routing, prices, at: time, &changes)
    }

    private mutating func clear(
        _ finding: Finding, prices: PriceBook, _ changes: inout Changes
    ) {
        guard let home = homes.removeValue(forKey: finding.key) else { return }
        for id in home.incidents {
            catchUp(id, with: finding, prices: prices, &changes)
            incidents[id]?.drop(finding)
        }
        leave(home, finding.key)
    }

    private mutating func put(
        _ finding: Finding, in id: String, prices: PriceBook, _ changes: inout Changes
    ) {
        catchUp(id, with: finding, prices: prices, &changes)
        if ended.remove(id) != nil { incidents[id]?.restart(with: finding) }
        incidents[id]?.put(finding)
    }

    /// Prices an incident up to this edge where earlier edges of the same call lie a while back.
    ///
    /// Thousands of findings with one timestamp are priced once; a replay over hours is priced
    /// edge by edge, so the total depends on event time alone.
    private mutating func catchUp(
        _ id: String, with finding: Finding, prices: PriceBook, _ changes: inout Changes
    ) {
        let isKnown = !changes.touched.insert(id).inserted
        guard isKnown, let last = incidents[id]?.lastEventAt, finding.at - last > .seconds(1) else {
            return
        }
        refresh(id, prices: prices)
    }

    private mutating func join(
        _ finding: Finding, to id: String, route: String, symptom: String, prices: PriceBook,
        _ changes: inout Changes
    ) {
        guard let incident = incidents[id], incident.findings.count < Casebook.findingsMax else {
            dropped &+= 1
            return
        }
        put(finding, in: id, prices: prices, &changes)
        settleIn(finding, in: id, route: route, symptom: symptom)
    }

    private mutating func open(
        _ finding: Finding, on blame: Entity, route: String, symptom: String, at time: Instant,
        _ changes: inout Changes
    ) -> String {
        let group = Group(route: route, blame: blame, symptom: symptom)
        let seed = "incident|\(route)|\(blame)|\(symptom)|\(finding.since.milliseconds)"
        var id = Casebook.id(seed)
        // The same group at the same first sign is the same incident, unless that id is taken.
        var attempt = 1
        while incidents[id] != nil {
            id = Casebook.id("\(seed)|\(attempt)")
            attempt += 1
        }
        var incident = Incident(
            id: id, route: route, blame: blame, symptom: symptom, finding: finding, heardAt: time)
        incident.put(finding)
        add(incident, isQuiet: true)
        byGroup[group] = id
        changes.touched.insert(id)
        return id
    }

    private static func id(_ seed: String) -> String {
        "INC-" + base32(SHA256.hash(seed.utf8), digits: 10)
    }

    private mutating func add(_ incident: Incident, isQuiet: Bool) {
        incidents[incident.id] = incident
        byGroup[Casebook.group(of: incident)] = incident.id
        byBlame[incident.blame, default: []].insert(incident.id)
        if isQuiet { quiet.insert(incident.id) }
    }

    private static func group(of incident: Incident) -> Group {
        Group(route: incident.route, blame: incident.blame, symptom: incident.symptom)
    }

    /// Remembers where a finding lives and what it says of its surroundings.
    private mutating func settleIn(
        _ finding: Finding, in id: String, route: String, symptom: String
    ) {
        if homes[finding.key] != nil {
            if homes[finding.key]?.incidents.contains(id) == false {
                homes[finding.key]?.incidents.append(id)
            }
            return
        }
        let counts = finding.key.subject.kind == .device || finding.key.subject.kind == .host
        let places =
            counts
            ? Casebook.nodes(above: finding).map { Place(route: route, symptom: symptom, node: $0) }
            : []
        let host = finding.labels[.host]
        homes[finding.key] = Home(
            incidents: [id], host: host, places: places, devices: finding.devices)
        for place in places {
            for device in finding.devices {
                affected[place, default: [:]][device, default: (host, 0)].count += 1
            }
        }
    }

    private mutating func unhome(_ key: Finding.Key, from id: String) {
        guard var home = homes[key] else { return }
        home.incidents.removeAll { $0 == id }
        guard home.incidents.isEmpty else {
            homes[key] = home
            return
        }
        homes[key] = nil
        leave(home, key)
    }

    private mutating func leave(_ home: Home, _ key: Finding.Key) {
        if bursts[home.host]?.remove(key) != nil, bursts[home.host]?.isEmpty == true {
            bursts[home.host] = nil
        }
        for place in home.places {
            for device in home.devices {
                guard let entry = affected[place]?[device] else { continue }
                affected[place]?[device] =
                    entry.count > 1 ? (entry.host, entry.count - 1) : nil
            }
            if affected[place]?.isEmpty == true { affected[place] = nil }
        }
    }

    // Blame.

    /// The nodes that hold a finding's subject, smallest first.
    private static func nodes(above finding: Finding) -> [Entity] {
        let levels: [(LabelKey, EntityKind)] = [
            (.host, .host), (.rack, .rack), (.job, .job), (.cluster, .cluster),
        ]
        return levels.compactMap { key, kind in
            let name = finding.labels[key]
            let node = Entity(kind: kind, name: name)
            return name.isEmpty || node == finding.key.subject ? nil : node
        }
    }

    private static func holds(_ node: Entity, _ labels: Labels) -> Bool {
        switch node.kind {
        case .host: labels[.host] == node.name
        case .rack: labels[.rack] == node.name
        case .job: labels[.job] == node.name
        case .cluster: labels[.cluster] == node.name
        case .service: labels[.service] == node.name
        case .device, .pipeline: false
        }
    }

    /// The incident that a new finding belongs to, where there is one.
    private func home(
        of finding: Finding, route: String, symptom: String, routing: Routing
    ) -> String? {
        let topic = Entity(kind: .pipeline, name: finding.partition.topic)
        for node in Casebook.nodes(above: finding).reversed() + [topic]
        where node != finding.key.subject {
            for id in (byBlame[node] ?? []).sorted() {
                guard let incident = incidents[id] else { continue }
                let same = incident.symptom == symptom && incident.route == route
                guard incident.isFiring ? routing.relates(incident.symptom, to: symptom) : same
                else { continue }
                return root(of: incident).id
            }
        }
        let own = Group(route: route, blame: finding.key.subject, symptom: symptom)
        if let id = byGroup[own], let incident = incidents[id] { return root(of: incident).id }
        for id in (byBlame[finding.key.subject] ?? []).sorted() {
            guard let incident = incidents[id], incident.isFiring,
                routing.relates(incident.symptom, to: symptom)
                    || routing.relates(symptom, to: incident.symptom)
            else { continue }
            return root(of: incident).id
        }
        return burst(near: finding, routing).flatMap { id in
            guard let incident = incidents[id] else { return nil }
            let isOurs =
                incident.blame == finding.key.subject
                || Casebook.holds(incident.blame, finding.labels)
            return isOurs ? root(of: incident).id : nil
        }
    }

    /// The incident that explains this one, up to the last that still fires.
    private func root(of incident: Incident) -> Incident {
        var found = incident
        // Explanations lead to larger nodes; the bound only keeps a damaged record from looping.
        for _ in 0..<8 {
            guard let parent = incidents[found.explainedBy], parent.isFiring else { break }
            found = parent
        }
        return found
    }

    /// Blames a larger node where most of its devices show the symptom.
    private mutating func promote(
        _ finding: Finding, _ route: String, _ symptom: String, _ routing: Routing,
        _ prices: PriceBook, at time: Instant, _ changes: inout Changes
    ) {
        guard let home = homes[finding.key] else { return }
        var best: (node: Entity, covered: Int, of: Int)?
        for place in home.places {
            guard let devices = affected[place], devices.count >= 2 else { continue }
            let size = routing.members(place.node).count
            guard size >= 2 else { continue }
            let covered = min(devices.count, size)
            guard Double(covered) >= Casebook.blameShare * Double(size) else { continue }
            if place.node.kind == .job, !finding.cost.isOfTheJob {
                guard Set(devices.values.map(\.host)).count >= 2 else { continue }
            }
            if let best, covered < best.covered { continue }
            if let best, covered == best.covered,
                Double(covered) / Double(size) <= Double(best.covered) / Double(best.of)
            {
                continue
            }
            best = (place.node, covered, size)
        }
        guard let best else { return }
        raise(
            to: best.node, of: best.of, because: finding, route, symptom, prices, at: time, &changes
        ) { $0.symptom == symptom && $0.route == route }
    }

    /// Moves blame to `node`: incidents under it become part of one incident on it.
    private mutating func raise(
        to node: Entity, of size: Int, because finding: Finding, _ route: String,
        _ symptom: String, _ prices: PriceBook, at time: Instant, _ changes: inout Changes,
        where belongs: (Incident) -> Bool
    ) {
        let children = incidents.values.filter {
            belongs($0) && $0.blame != node && $0.blame.kind < node.kind && $0.isFiring
                && $0.explainedBy.isEmpty && Casebook.holds(node, $0.labels)
        }.map(\.id).sorted()
        guard !children.isEmpty else { return }
        let known = byGroup[Group(route: route, blame: node, symptom: symptom)]
        let parent =
            known
            ?? open(finding, on: node, route: route, symptom: symptom, at: time, &changes)
        incidents[parent]?.devicesUnderBlame = size
        changes.touched.insert(parent)
        for child in children { merge(child, into: parent, copying: true, prices, &changes) }
        settleIn(finding, in: parent, route: route, symptom: symptom)
    }

    /// Takes over what an incident that just opened on a larger node explains.
    private mutating func adopt(
        _ parent: String, symptom: String, _ routing: Routing, _ prices: PriceBook,
        _ changes: inout Changes
    ) {
        guard let node = incidents[parent]?.blame, node.kind != .device else { return }
        incidents[parent]?.devicesUnderBlame = routing.members(node).count
        let children = incidents.values.filter {
            $0.id != parent && $0.isFiring && $0.explainedBy.isEmpty && $0.blame.kind < node.kind
                && (Casebook.holds(node, $0.labels) || Casebook.feeds(node, $0))
                && routing.relates(symptom, to: $0.symptom)
        }.map(\.id).sorted()
        for child in children { merge(child, into: parent, copying: false, prices, &changes) }
    }

    /// Whether an incident rests on data of a pipeline.
    private static func feeds(_ node: Entity, _ incident: Incident) -> Bool {
        node.kind == .pipeline
            && incident.findings.values.contains { $0.partition.topic == node.name }
    }

    /// A child that nobody heard of is folded in; one that was opened keeps its own record.
    private mutating func merge(
        _ child: String, into parent: String, copying: Bool, _ prices: PriceBook,
        _ changes: inout Changes
    ) {
        guard let incident = incidents[child] else { return }
        let isFolded = quiet.contains(child)
        if isFolded || copying {
            for key in incident.findings.keys.sorted() {
                guard let finding = incident.whole(key) else { continue }
                incidents[parent]?.put(finding)
                if homes[finding.key]?.incidents.contains(parent) == false {
                    homes[finding.key]?.incidents.append(parent)
                }
            }
        }
        if isFolded {
            remove(child)
            changes.touched.remove(child)
            changes.absorbed.append((child, parent))
            adoptChildren(of: child, by: parent, &changes)
        } else {
            incidents[child]?.settle(until: incident.lastEventAt)
            incidents[child]?.explainedBy = parent
            changes.touched.insert(child)
            changes.merged.append((child, parent))
        }
        changes.touched.insert(parent)
    }

    /// What a folded incident explained is explained by its parent now.
    private mutating func adoptChildren(
        of folded: String, by parent: String, _ changes: inout Changes
    ) {
        changes.merged = changes.merged.map { $0.parent == folded ? ($0.child, parent) : $0 }
        for id in incidents.keys where incidents[id]?.explainedBy == folded {
            incidents[id]?.explainedBy = parent
        }
    }

    // Bursts: XIDs come in cascades, and a sick host shows several.

    /// The incident of the nearest finding of the same burst.
    private func burst(near finding: Finding, _ routing: Routing) -> String? {
        guard let keys = bursts[finding.labels[.host]], routing.isBurst(Matcher.Facts(finding))
        else { return nil }
        var nearest: (gap: Duration, id: String)?
        for key in keys where key != finding.key {
            guard let id = homes[key]?.incidents.last,
                let at = incidents[id]?.findings[key.description]?.at
            else { continue }
            let gap = at > finding.at ? at - finding.at : finding.at - at
            guard gap <= routing.burstWindow else { continue }
            if let nearest, (nearest.gap, nearest.id) <= (gap, id) { continue }
            nearest = (gap, id)
        }
        return nearest?.id
    }

    private mutating func noteBurst(
        _ finding: Finding, _ facts: Matcher.Facts, _ routing: Routing
    ) {
        let host = finding.labels[.host]
        guard !host.isEmpty, routing.isBurst(facts) else { return }
        bursts[host, default: []].insert(finding.key)
    }

    /// Joins a second device of one host to the incident of the first.
    private mutating func promoteBurst(
        _ finding: Finding, _ facts: Matcher.Facts, from id: String, _ routing: Routing,
        _ prices: PriceBook, at time: Instant, _ changes: inout Changes
    ) -> Bool {
        guard routing.isBurst(facts) else { return false }
        let first = burst(near: finding, routing)
        noteBurst(finding, facts, routing)
        guard let first, first != id, let other = incidents[first] else { return false }
        let host = Entity(kind: .host, name: finding.labels[.host])
        raise(
            to: host, of: routing.members(host).count, because: finding, other.route,
            other.symptom, prices, at: time, &changes
        ) { $0.id == id || $0.id == first }
        return true
    }

    // The bound.

    /// Full: the finding goes to its route's storm incident, which is always given room.
    private mutating func fold(
        _ finding: Finding, route: String, prices: PriceBook, at time: Instant,
        _ changes: inout Changes
    ) {
        folded &+= 1
        let node = Entity(kind: .cluster, name: "every cluster")
        let known = byGroup[Group(route: route, blame: node, symptom: "storm")]
        if let known {
            join(finding, to: known, route: route, symptom: "storm", prices: prices, &changes)
        } else {
            let id = open(finding, on: node, route: route, symptom: "storm", at: time, &changes)
            settleIn(finding, in: id, route: route, symptom: "storm")
        }
    }
}

extension EntityKind {
    /// Smaller things are contained in larger ones; a job is larger than the hosts it runs on.
    static func < (left: EntityKind, right: EntityKind) -> Bool { left.size < right.size }
    static func <= (left: EntityKind, right: EntityKind) -> Bool { left.size <= right.size }

    private var size: Int {
        switch self {
        case .device: 0
        case .host: 1
        case .rack: 2
        case .job, .service: 3
        case .cluster: 4
        case .pipeline: 5
        }
    }
}

extension CostClass {
    /// Whether the symptom is one of the work rather than of the machine.
    fileprivate var isOfTheJob: Bool {
        switch self {
        case .idle, .hang, .straggler, .opportunity: true
        case .none, .hard, .throttle, .prevent: false
        }
    }
}
