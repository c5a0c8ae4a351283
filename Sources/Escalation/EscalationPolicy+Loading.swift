package import Configuration
package import Fleet
import Incidents
import Rules

extension EscalationPolicy {
    /// Reads a policy; every problem goes into `problems`.
    ///
    /// - Parameters:
    ///   - text: the content of the file.
    ///   - file: its name, for messages.
    ///   - zones: the time zones of the host.
    ///   - problems: gathers what is wrong.
    /// - Returns: nil where anything was wrong.
    package static func load(
        _ text: String, file: String, zones: ZoneDatabase, into problems: Problems
    ) -> EscalationPolicy? {
        let own = Problems()
        let policy = Loader(zones: zones).policy(text, file: file, into: own)
        for problem in own.sorted {
            problems.add(problem.message, at: problem.mark, in: problem.file)
        }
        return own.isEmpty ? policy : nil
    }
}

/// Reads the file top down; names may be used above the place where they are defined.
private struct Loader {
    let zones: ZoneDatabase

    func policy(_ text: String, file: String, into problems: Problems) -> EscalationPolicy? {
        guard let root = Node.read(text, file: file, into: problems)?.section() else { return nil }
        _ = root.required("version")?.choice([("1", 1)])
        var people: [String: EscalationPolicy.Person] = [:]
        for (name, value) in root.required("people")?.named() ?? [] {
            people[name] = person(name, value)
        }
        var rooms: [String: [String]] = [:]
        for (name, value) in root["rooms"]?.named() ?? [] { rooms[name] = room(name, value) }
        var leads: [String: [String]] = [:]
        for (name, value) in root["teams"]?.named() ?? [] {
            guard let section = value.section() else { continue }
            leads[name] = names(section.required("leads"), of: "person", among: people.keys)
            section.finish()
        }
        var schedules: [String: Schedule] = [:]
        for (name, value) in root["schedules"]?.named() ?? [] {
            schedules[name] = schedule(name, value, people: Set(people.keys))
        }
        let known = Names(
            people: people.keys.sorted(), schedules: schedules.keys.sorted(),
            teams: leads.keys.sorted(), rooms: rooms.keys.sorted())
        var policies: [String: EscalationPolicy.Policy] = [:]
        var policyNames: [String] = []
        for (name, value) in root.required("policies")?.named() ?? [] {
            policyNames.append(name)
            policies[name] = policy(name, value, known)
        }
        let routes = routes(root, policyNames)
        let timings = timings(root["timings"])
        let explains = explains(root["explains"])
        let (bursts, window) = bursts(root["bursts"])
        let limits = root["limits"]?.section()
        let incidentsMax = limits?["incidents"]?.integer(in: 10...200_000) ?? 20_000
        limits?.finish()
        root.finish()
        return EscalationPolicy(
            people: people, rooms: rooms, leads: leads, schedules: schedules, policies: policies,
            routes: routes, timings: timings, explains: explains, bursts: bursts,
            burstWindow: window, incidentsMax: incidentsMax,
            digest: base32(SHA256.hash(text.utf8), digits: 10))
    }

    struct Names {
        let people, schedules, teams, rooms: [String]
    }

    // People.

    private func person(_ name: String, _ value: Value) -> EscalationPolicy.Person? {
        guard let section = value.section() else { return nil }
        let zone = zone(section.required("zone")) ?? .utc
        let channels = (section.required("channels")?.list() ?? []).compactMap { $0.text() }
        if channels.isEmpty {
            section.report("'\(name)' has no channel, and could never be reached")
        }
        let away = (section["away"]?.list() ?? []).compactMap { value -> Range<Instant>? in
            guard let stretch = value.section() else { return nil }
            let range = range(stretch, in: zone)
            stretch.finish()
            return range
        }
        section.finish()
        return .init(name: name, zone: zone, channels: channels, away: away)
    }

    private func room(_ name: String, _ value: Value) -> [String] {
        guard let section = value.section() else { return [] }
        let channels = channels(section, of: name)
        section.finish()
        return channels
    }

    private func channels(_ section: Section, of name: String) -> [String] {
        guard let value = section.required("channels") else { return [] }
        if value.list().isEmpty {
            section.report("'\(name)' has no channel, and could never be reached")
        }
        return value.list().compactMap { $0.text() }
    }

    private func zone(_ value: Value?) -> Zone? { value?.zone(in: zones) }

    /// Names of one kind, each of which must be defined.
    private func names(
        _ value: Value?, of kind: String, among known: some Sequence<String>
    ) -> [String] {
        guard let value else { return [] }
        let known = Set(known)
        let found = value.list().compactMap { item -> String? in
            guard let name = item.text() else { return nil }
            guard known.contains(name) else {
                item.report("there is no \(kind) '\(name)'" + suggestion(for: name, among: known))
                return nil
            }
            return name
        }
        if value.list().isEmpty { value.report("'\(value.name)' names nobody") }
        return found
    }

    // Schedules.

    private func schedule(_ name: String, _ value: Value, people: Set<String>) -> Schedule? {
        guard let section = value.section() else { return nil }
        let layers: [Rotation]
        let zone: Zone
        if let list = section["layers"] {
            let read = list.list().map { layer -> Rotation? in
                guard let inner = layer.section() else { return nil }
                let rotation = rotation(inner, people: people)
                inner.finish()
                return rotation
            }
            layers = read.compactMap(\.self)
            if read.isEmpty { section.report("'\(name)' has no layer") }
            zone = layers.first?.zone ?? .utc
        } else {
            let only = rotation(section, people: people)
            layers = [only].compactMap(\.self)
            zone = only?.zone ?? .utc
        }
        if let least = section["min_people"]?.integer(in: 1...100) {
            let count = Set(layers.flatMap(\.people)).count
            if count < least, count > 0 {
                section.report(
                    "'\(name)' takes turns among \(count), fewer than min_people \(least)")
            }
        }
        let overrides = (section["overrides"]?.list() ?? []).compactMap { value in
            override(value, zone: zone, people: people)
        }
        section.finish()
        return Schedule(name: name, layers: layers, overrides: overrides)
    }

    private func rotation(_ section: Section, people: Set<String>) -> Rotation? {
        let zone = zone(section.required("zone"))
        let handoff = section.required("handoff").flatMap(handoff)
        let since = section.required("since").flatMap(date)
        let people = names(section.required("people"), of: "person", among: people)
        let hours = section["hours"].flatMap(hours)
        guard let zone, let handoff, let since, !people.isEmpty else { return nil }
        return Rotation(
            zone: zone, every: handoff.every, secondOfDay: handoff.second, since: since,
            people: people, hours: hours)
    }

    /// `Mon 09:30`, or `09:30` for every day.
    private func handoff(_ value: Value) -> (every: Rotation.Every, second: Int)? {
        guard let text = value.text() else { return nil }
        let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
        let parts = text.split(separator: " ").map(String.init)
        if parts.count == 1, let second = clock(parts[0]), second < 86_400 { return (.day, second) }
        if parts.count == 2, let day = days.firstIndex(of: parts[0]), let second = clock(parts[1]),
            second < 86_400
        {
            return (.week(on: day), second)
        }
        value.report("a handoff is written as 'Mon 09:30', or '09:30' for every day; not '\(text)'")
        return nil
    }

    /// `09:00-21:00`; an end before the start is on the next day.
    private func hours(_ value: Value) -> Range<Int>? {
        guard let text = value.text() else { return nil }
        let parts = text.split(separator: "-").compactMap { clock(String($0)) }
        guard parts.count == 2, parts[0] < 86_400, parts[0] != parts[1] else {
            value.report("hours are written as '09:00-21:00', not '\(text)'")
            return nil
        }
        return parts[0]..<(parts[1] > parts[0] ? parts[1] : parts[1] + 86_400)
    }

    private func clock(_ text: String) -> Int? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.utf8.count == 2 }), let hour = Int(parts[0]),
            let minute = Int(parts[1]), (0...24).contains(hour), (0...59).contains(minute),
            hour < 24 || minute == 0
        else { return nil }
        return hour * 3_600 + minute * 60
    }

    private func date(_ value: Value) -> CivilDate? {
        guard let text = value.text() else { return nil }
        let days = Instant(rfc3339: "\(text)T00:00:00Z".utf8)
        guard text.utf8.count == 10, let days else {
            value.report("a date is written as 2026-01-05, not '\(text)'")
            return nil
        }
        return CivilDate(daysSinceEpoch: Int(days.milliseconds / 86_400_000))
    }

    private func override(_ value: Value, zone: Zone, people: Set<String>) -> Schedule.Override? {
        guard let section = value.section() else { return nil }
        let range = range(section, in: zone)
        let nobody = section["nobody"]?.boolean() ?? false
        let who =
            nobody ? [] : names(section.required("people"), of: "person", among: people)
        section.finish()
        guard let range else { return nil }
        return .init(from: range.lowerBound, until: range.upperBound, people: who)
    }

    /// `from` and `until`, as wall-clock times of the zone or with an offset of their own.
    private func range(_ section: Section, in zone: Zone) -> Range<Instant>? {
        let from = section.required("from").flatMap { moment($0, in: zone) }
        let until = section.required("until").flatMap { moment($0, in: zone) }
        guard let from, let until else { return nil }
        guard from < until else {
            section.report("'until' must be later than 'from'")
            return nil
        }
        return from..<until
    }

    private func moment(_ value: Value, in zone: Zone) -> Instant? {
        guard let text = value.text() else { return nil }
        if let absolute = Instant(rfc3339: text.utf8) { return absolute }
        let wall = text.utf8.count == 10 ? "\(text)T00:00:00Z" : "\(text):00Z"
        guard let naive = Instant(rfc3339: wall.utf8) else {
            value.report("a time is written as 2026-12-24T09:00 or 2026-12-24, not '\(text)'")
            return nil
        }
        return zone.instant(WallTime(secondsSinceEpoch: naive.milliseconds / 1_000))
    }

    // Policies.

    private func policy(_ name: String, _ value: Value, _ known: Names) -> EscalationPolicy.Policy?
    {
        guard let section = value.section() else { return nil }
        let tiers: [(String, Tier)] = [("tier1", .one), ("tier2", .two), ("tier3", .three)]
        let levels = tiers.map { key, tier in
            level(section.required(key), tier, timeout: "timeout", known)
        }
        let backstop = level(section.required("backstop"), .backstop, timeout: "repeat", known)
        let rounds = section["rounds"]?.integer(in: 1...10) ?? 2
        let start = start(section["start"])
        let informs = section["inform_leads"]?.boolean() ?? true
        section.finish()
        guard let backstop else { return nil }
        return .init(
            name: name, levels: levels.compactMap(\.self), rounds: rounds, backstop: backstop,
            start: start, informsLeads: informs)
    }

    private func level(
        _ value: Value?, _ tier: Tier, timeout key: String, _ known: Names
    ) -> Plan.Level? {
        guard let section = value?.section() else { return nil }
        let page = section.required("page")
        let targets = (page?.list() ?? []).compactMap { target($0, known) }
        if let page, page.list().isEmpty { page.report("a tier that pages nobody is not a tier") }
        let usual = Plan.timeouts[tier] ?? BySeverity(.seconds(900))
        let timeout = bySeverity(section[key], usual, in: .seconds(1) ... .seconds(86_400))
        section.finish()
        return Plan.Level(page: targets, timeout: timeout)
    }

    private func target(_ value: Value, _ known: Names) -> Target? {
        guard let pair = value.named().first, value.named().count == 1 else {
            value.report("a target is one of schedule, user, team_leads or room with a name")
            return nil
        }
        let kinds: [(String, [String], (String) -> Target)] = [
            ("schedule", known.schedules, Target.schedule), ("user", known.people, Target.user),
            ("team_leads", known.teams, Target.leads(of:)), ("room", known.rooms, Target.room),
        ]
        guard let kind = kinds.first(where: { $0.0 == pair.name }) else {
            value.report(
                "unknown target '\(pair.name)'"
                    + suggestion(for: pair.name, among: kinds.map(\.0)))
            return nil
        }
        guard let name = pair.value.text() else { return nil }
        guard kind.1.contains(name) else {
            let noun = kind.0 == "team_leads" ? "team" : kind.0 == "user" ? "person" : kind.0
            pair.value.report(
                "there is no \(noun) '\(name)'" + suggestion(for: name, among: kind.1))
            return nil
        }
        return kind.2(name)
    }

    private func start(_ value: Value?) -> [Severity: Tier] {
        var start: [Severity: Tier] = [:]
        guard let section = value?.section() else { return start }
        for severity in Severity.allCases {
            guard let tier = section[severity.name]?.integer(in: 1...3) else { continue }
            start[severity] = Tier(rawValue: tier)
        }
        section.finish()
        return start
    }

    /// One duration for all severities, or a mapping for some of them.
    private func bySeverity(
        _ value: Value?, _ usual: BySeverity, in range: ClosedRange<Duration>
    ) -> BySeverity {
        guard let value else { return usual }
        guard case .mapping = value.node.value, let section = value.section() else {
            return value.duration(in: range).map { BySeverity($0) } ?? usual
        }
        var found = usual
        for severity in Severity.allCases {
            if let duration = section[severity.name]?.duration(in: range) {
                found[severity] = duration
            }
        }
        section.finish()
        return found
    }

    // Routes.

    private func routes(_ root: Section, _ policies: [String]) -> [EscalationPolicy.Route] {
        guard let list = root.required("routes") else { return [] }
        var routes: [EscalationPolicy.Route] = []
        for (index, value) in list.list().enumerated() {
            guard let route = route(value, index, policies) else { continue }
            if let first = routes.first(where: { $0.name == route.name }) {
                value.report("there are two routes named '\(first.name)'")
            }
            if routes.contains(where: \.isDefault) {
                value.report(
                    route.isDefault
                        ? "there are two default routes"
                        : "this route stands after the default one, and would never be taken")
            }
            routes.append(route)
        }
        if !routes.contains(where: \.isDefault) {
            list.report("there is no default route; end the list with {default: true, policy: …}")
        }
        return routes
    }

    private func route(
        _ value: Value, _ index: Int, _ policies: [String]
    ) -> EscalationPolicy.Route? {
        guard let section = value.section() else { return nil }
        let isDefault = section["default"]?.boolean() ?? false
        let name = section["name"]?.text() ?? (isDefault ? "default" : "route \(index + 1)")
        let match = section["match"]
        let matchers = (match?.list() ?? []).compactMap(matcher)
        if isDefault, match != nil { section.report("the default route takes no 'match'") }
        if !isDefault, match == nil { section.report("'match' is missing") }
        if let match, match.list().isEmpty { match.report("'match' holds no matcher") }
        let policy = section.required("policy").flatMap {
            names($0, of: "policy", among: policies).first
        }
        var bySymptom = true
        if let group = section["group_by"] {
            let keys = group.list().compactMap { $0.choice([("blame", true), ("symptom", false)]) }
            if !keys.contains(true) { group.report("'group_by' must hold blame") }
            bySymptom = keys.contains(false)
        }
        section.finish()
        return .init(
            name: name, match: matchers, policy: policy ?? "", bySymptom: bySymptom,
            isDefault: isDefault)
    }

    private func matcher(_ value: Value) -> Matcher? {
        guard let text = value.text() else { return nil }
        do throws(Matcher.Malformed) {
            return try Matcher(text)
        } catch {
            let name = String(text.prefix { $0.isLetter || $0 == "_" })
            let hint =
                error.reason.hasPrefix("unknown name")
                ? suggestion(for: name, among: Matcher.subjectNames) : ""
            value.report(error.reason + hint)
            return nil
        }
    }

    // What holds for all.

    private func timings(_ value: Value?) -> Timings {
        var timings = Timings()
        guard let section = value?.section() else { return timings }
        let keys: [(String, WritableKeyPath<Timings, BySeverity>)] = [
            ("group_wait", \.groupWait), ("resolve_hold", \.resolveHold), ("ack_ttl", \.ackTTL),
            ("ack_grace", \.ackGrace), ("reopen_window", \.reopenWindow),
            ("min_level", \.minLevel), ("freeze_cap", \.freezeCap),
            ("delivery_deadline", \.deliveryDeadline), ("undelivered_skip", \.undeliveredSkip),
            ("flap_window", \.flapWindow), ("flap_repage", \.flapRepage),
            ("flap_hold", \.flapHold), ("update_interval", \.updateInterval),
            ("second_look", \.secondLook), ("recheck", \.recheck), ("snooze_max", \.snoozeMax),
        ]
        for (name, path) in keys {
            timings[keyPath: path] = bySeverity(
                section[name], timings[keyPath: path],
                in: .milliseconds(100) ... .seconds(7 * 86_400))
        }
        if let count = section["flap_count"]?.integer(in: 2...60) { timings.flapCount = count }
        section.finish()
        return timings
    }

    private func explains(_ value: Value?) -> [String: Set<String>] {
        guard let value else { return EscalationPolicy.usualExplanations }
        var explains: [String: Set<String>] = [:]
        for (cause, effects) in value.named() {
            explains[cause] = Set(effects.list().compactMap { $0.text() })
        }
        for cause in explains.keys.sorted() {
            guard let path = cycle(from: cause, in: explains) else { continue }
            value.report("these explain each other in a circle: \(path.joined(separator: " → "))")
            break
        }
        return explains
    }

    private func cycle(from start: String, in graph: [String: Set<String>]) -> [String]? {
        var open = [[start]]
        var seen: Set<String> = []
        while let path = open.popLast() {
            for next in (graph[path[path.count - 1]] ?? []).sorted() {
                if next == start { return path + [next] }
                if seen.insert(next).inserted { open.append(path + [next]) }
            }
        }
        return nil
    }

    private func bursts(_ value: Value?) -> ([[Matcher]], Duration) {
        guard let section = value?.section() else {
            let usual = (try? Matcher("rule=~\"evt-xid.*\"")).map { [[$0]] } ?? []
            return (usual, .seconds(60))
        }
        let match = (section.required("match")?.list() ?? []).compactMap(matcher)
        let window = section["window"]?.duration(in: .seconds(1) ... .seconds(3_600))
        section.finish()
        return (match.isEmpty ? [] : [match], window ?? .seconds(60))
    }
}

extension EscalationPolicy {
    /// What a larger fault makes smaller ones of (reference, rules 5.1): `*` is everything.
    static let usualExplanations: [String: Set<String>] = [
        "pipeline": ["*"],
        "off-bus": ["absent", "flatline"],
        "hang": ["idle", "efficiency", "straggler", "input"],
        "stall": ["idle", "efficiency", "straggler", "input"],
    ]
}
