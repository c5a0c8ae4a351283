package import Fleet
package import Incidents

/// Who is called, in which order and how long apart: `rules/escalation.yaml`.
package struct EscalationPolicy: Sendable {
    package struct Person: Sendable {
        package let name: String
        package let zone: Zone
        /// Names of destinations, in order of preference.
        package let channels: [String]
        /// Stretches in which nothing may be sent to them.
        package let away: [Range<Instant>]
    }

    package struct Policy: Sendable {
        package let name: String
        package let levels: [Plan.Level]
        package let rounds: Int
        package let backstop: Plan.Level
        package let start: [Severity: Tier]
        package let informsLeads: Bool
    }

    package struct Route: Sendable {
        /// As written, for people: `route links`; the default one is `default`.
        package let name: String
        /// All must hold; none means every finding.
        package let match: [Matcher]
        package let policy: String
        package let bySymptom: Bool
        package let isDefault: Bool
    }

    package let people: [String: Person]
    /// Channels that are no person: a control room, a ticket queue.
    package let rooms: [String: [String]]
    /// Leads by team.
    package let leads: [String: [String]]
    package let schedules: [String: Schedule]
    package let policies: [String: Policy]
    /// In the order written; the default route is last.
    package let routes: [Route]
    package let timings: Timings
    package let explains: [String: Set<String>]
    package let bursts: [[Matcher]]
    package let burstWindow: Duration
    /// Beyond this many incidents, findings fold into their route's storm incident.
    package let incidentsMax: Int
    /// Identifies this version in the audit trail: ten digits of the hash of its text.
    package let digest: String

    /// The first route whose matchers all hold.
    package func route(of facts: Matcher.Facts) -> Route? {
        routes.first { $0.match.allSatisfy { $0.matches(facts) } }
    }

    /// What an episode of `route` is to follow from now until it ends.
    package func plan(route name: String) -> Plan {
        let route = routes.first { $0.name == name } ?? routes.last
        guard let route, let policy = policies[route.policy] else { return .empty }
        return Plan(
            policy: policy.name, levels: policy.levels, rounds: policy.rounds,
            backstop: policy.backstop, start: policy.start, informsLeads: policy.informsLeads,
            timings: timings)
    }

    /// The people and rooms behind targets at `time`, each once, in the order written.
    package func recipients(of targets: [Target], at time: Instant) -> [Recipient] {
        var found: [Recipient] = []
        for target in targets {
            for recipient in resolve(target, at: time)
            where !found.contains(where: { $0.name == recipient.name }) {
                found.append(recipient)
            }
        }
        return found
    }

    private func resolve(_ target: Target, at time: Instant) -> [Recipient] {
        switch target {
        case .schedule(let name):
            schedules[name]?.onCall(at: time).compactMap { person($0, at: time) } ?? []
        case .user(let name): [person(name, at: time)].compactMap(\.self)
        case .leads(let team): (leads[team] ?? []).compactMap { person($0, at: time) }
        case .room(let name):
            rooms[name].map { [Recipient(name: "room:\(name)", channels: $0)] } ?? []
        }
    }

    /// A person or a room as they are now; nil where they are unknown or away.
    package func recipient(_ name: String, at time: Instant) -> Recipient? {
        if name.hasPrefix("room:") {
            return resolve(.room(String(name.dropFirst(5))), at: time).first
        }
        return person(name, at: time)
    }

    private func person(_ name: String, at time: Instant) -> Recipient? {
        guard let person = people[name], !person.away.contains(where: { $0.contains(time) }) else {
            return nil
        }
        return Recipient(name: name, channels: person.channels)
    }

    package func knows(_ target: Target) -> Bool {
        switch target {
        case .schedule(let name): schedules[name] != nil
        case .user(let name): people[name] != nil
        case .leads(let team): leads[team] != nil
        case .room(let name): rooms[name] != nil
        }
    }

    /// Whether a person may approve what hides critical incidents: a lead, or of tier 2 and up.
    package func isSenior(_ name: String) -> Bool {
        if leads.values.contains(where: { $0.contains(name) }) { return true }
        for policy in policies.values {
            for target in policy.levels.dropFirst().flatMap(\.page) + policy.backstop.page {
                switch target {
                case .user(name): return true
                case .schedule(let schedule):
                    let layers = schedules[schedule]?.layers ?? []
                    if layers.contains(where: { $0.people.contains(name) }) { return true }
                default: continue
                }
            }
        }
        return false
    }

    /// Every destination that anybody is reached by, so that settings can be checked against it.
    package var destinations: Set<String> {
        Set(people.values.flatMap(\.channels)).union(rooms.values.flatMap(\.self))
    }

    package func routing(members: @escaping (Entity) -> [String]) -> Routing {
        Routing(
            group: { facts in
                let route = route(of: facts)
                return Routing.Group(
                    route: route?.name ?? "default", bySymptom: route?.bySymptom ?? true)
            },
            members: members, explains: explains,
            isBurst: { facts in
                bursts.contains { $0.allSatisfy { $0.matches(facts) } }
            },
            burstWindow: burstWindow)
    }
}
