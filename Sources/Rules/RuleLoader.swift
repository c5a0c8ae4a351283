import Configuration
import Detection
import Fleet
import Telemetry

/// Reads rule files, and judges them together once all are read.
struct RuleLoader {
    let problems: Problems
    private var rules: [Rule] = []
    private var policies: [String: EventPolicy] = [:]
    private var definition = DefinitionHash()
    /// Places of words that name rules or policies, to be looked up when all are known.
    private var ruleNames: [(name: String, value: Value)] = []
    private var policyNames: [(name: String, value: Value)] = []
    private var calendarNames: [(name: String, value: Value, rule: Int)] = []
    private var calendars: [String: SiteCalendar] = [:]
    private let zones: ZoneDatabase
    /// Calendars that were read, or could not be.
    private var calendarsDefined: Set<String> = []

    /// More rules than any site has, few enough for state that is dense by rule.
    static let rulesMax = 500

    init(problems: Problems, zones: ZoneDatabase) {
        self.problems = problems
        self.zones = zones
    }

    mutating func read(_ text: String, file: String) {
        guard let root = Node.read(text, file: file, into: problems) else { return }
        definition.add(file)
        definition.add(root.node)
        if case .sequence = root.node.value { return readRules(root) }
        guard let section = root.section() else { return }
        if let name = section["policy"] {
            readPolicy(section, named: name)
        } else {
            let calendars = section["calendars"]
            if let calendars { readCalendars(calendars) }
            let rules = calendars == nil ? section.required("rules") : section["rules"]
            if let rules { readRules(rules) }
        }
        section.finish()
    }

    mutating func book() -> RuleBook? {
        resolveCalendars()
        for (name, value) in policyNames where policies[name] == nil {
            value.report(
                "there is no policy '\(name)'"
                    + suggestion(for: name, among: policies.keys.sorted()))
        }
        let ids = rules.map(\.id)
        for (name, value) in ruleNames {
            let inhibition = Inhibition(target: name, symptom: "")
            guard !ids.contains(where: inhibition.covers) else { continue }
            value.report("there is no rule '\(name)'" + suggestion(for: name, among: ids))
        }
        refuseCycles()
        guard problems.isEmpty else { return nil }
        return RuleBook(
            rules: rules, policies: policies, calendars: calendars, hash: definition.value)
    }

    /// Of the rule in work.
    private var readCalendarsNames: [(name: String, value: Value)] = []

    private mutating func readRules(_ value: Value) {
        for item in value.list() {
            guard let section = item.section() else { continue }
            guard rules.count < RuleLoader.rulesMax else {
                item.report("more than \(RuleLoader.rulesMax) rules")
                return
            }
            guard let rule = read(section) else { continue }
            if let other = rules.first(where: { $0.id == rule.id }) {
                item.report(
                    "rule '\(rule.id)' is already defined at \(other.file):\(other.mark.line)")
                continue
            }
            for (name, value) in readCalendarsNames {
                calendarNames.append((name, value, rules.count))
            }
            readCalendarsNames = []
            rules.append(rule)
        }
    }

    /// By name the calendars that rules may go by.
    private mutating func readCalendars(_ value: Value) {
        let reader = CalendarReader(zones: zones)
        for (name, item) in value.named() {
            guard name.utf8.allSatisfy(RuleLoader.isIdentifier) else {
                item.report("a calendar's name may have a–z, 0–9 and hyphens only, not '\(name)'")
                continue
            }
            guard calendarsDefined.insert(name).inserted else {
                item.report("calendar '\(name)' is already defined")
                continue
            }
            guard calendarsDefined.count <= CalendarReader.calendarsMax else {
                return item.report("more than \(CalendarReader.calendarsMax) calendars")
            }
            calendars[name] = reader.read(item)
        }
    }

    /// Looks up what rules go by, when all are known.
    private mutating func resolveCalendars() {
        for (name, value, rule) in calendarNames {
            if value.name == "time_zone" {
                guard let zone = value.zone(in: zones) else { continue }
                calendars[RuleBook.key(ofZone: name)] = SiteCalendar(zone: zone)
            } else if !calendarsDefined.contains(name) {
                value.report(
                    "there is no calendar '\(name)'"
                        + suggestion(for: name, among: calendarsDefined.sorted())
                        + "; 'calendars' in a rule file defines them")
            } else if let calendar = calendars[name] {
                // Hours of another zone were learned under another name, holidays were not.
                var definition = DefinitionHash()
                definition.add(rules[rule].hash)
                definition.add(calendar.zone.name)
                rules[rule].hash = definition.value
            }
        }
    }

    private mutating func read(_ section: Section) -> Rule? {
        let id = section.required("id")?.text()
        var rule = Rule(id: id ?? "?", file: section.value.file, mark: section.value.node.mark)
        if let id, !id.utf8.allSatisfy(RuleLoader.isIdentifier) {
            section["id"]?.report("'id' may have a–z, 0–9 and hyphens only, not '\(id)'")
        }
        if let scope = section["scope"] {
            let kinds = EntityKind.allCases.map { ($0.rawValue, $0) }
            rule.scopes = scope.list().compactMap { $0.choice(kinds) }
        }
        let isOnDevice = rule.scopes == [.device]
        if rule.scopes.count > 1 && rule.scopes.contains(.device) {
            section.report("a rule on 'device' has no other scope beside it")
        }
        if let gate = section["gate"] { rule.gate = GateReader.read(gate) }
        let conditions = ConditionReader(scopes: rule.scopes)
        rule.condition = conditions.read(section, inDevice: isOnDevice) ?? .all([])
        for policy in conditions.policies { policyNames.append(policy) }
        readCalendarsNames = conditions.calendars
        let isEvent = conditions.hasEvent
        rule.hold = section["for"]?.milliseconds() ?? 0
        rule.clearHold =
            section["clear_for"]?.milliseconds() ?? (isEvent ? 3_600_000 : 2 * rule.hold)
        let severities = Severity.allCases.map { ($0.name, $0) }
        let tiers = [("1", Tier.one), ("2", .two), ("3", .three)]
        // The policy says how bad each code is; a severity beside it would be read by nobody.
        if !isEvent {
            rule.severity = section.required("severity")?.choice(severities) ?? .medium
            rule.tier = section["tier"]?.choice(tiers) ?? .one
            rule.symptom = section["symptom"]?.text() ?? rule.id
        }
        rule.summary = section["summary"]?.template() ?? ""
        rule.runbook = section["runbook"]?.template() ?? ""
        if !isEvent, section["runbook"] == nil {
            section.report("'runbook' is missing: say what to do first")
        }
        if let cost = section["cost"]?.section() { readCost(cost, &rule) }
        rule.blamesSilent =
            section["blame"]?.choice([("members", false), ("silent", true)]) ?? false
        if rule.blamesSilent, isOnDevice {
            section["blame"]?.report("'blame: silent' needs a scope with members, such as host")
        }
        rule.inhibits = readInhibits(section["inhibits"], isSource: rule.id)
        rule.mode = section["mode"]?.choice([("live", .live), ("shadow", .shadow)]) ?? .live
        if let labels = section["labels"] { rule.labels = readLabels(labels) }
        _ = section["description"]?.text()
        section.finish()
        checkPaging(rule, conditions, section)
        var definition = DefinitionHash()
        definition.add(section.value.node)
        rule.hash = definition.value
        return id == nil ? nil : rule
    }

    /// No statistic wakes anyone by itself: a page needs a fact beside it.
    private func checkPaging(_ rule: Rule, _ conditions: ConditionReader, _ section: Section) {
        guard rule.severity == .critical, rule.mode == .live, conditions.isStatisticalOnly else {
            return
        }
        section["severity"]?.report(
            "'severity: critical' needs a state, event, absence or composite condition; "
                + "a statistic alone may be 'high' at most")
    }

    private func readCost(_ section: Section, _ rule: inout Rule) {
        let classes = CostClass.allCases.map { ($0.rawValue, $0) }
        rule.cost = section.required("class")?.choice(classes) ?? .none
        rule.costsAllMembers =
            section["members"]?.choice([("all", true), ("blamed", false)]) ?? false
        section.finish()
    }

    private mutating func readInhibits(_ value: Value?, isSource id: String) -> [Inhibition] {
        guard let value else { return [] }
        var found: [Inhibition] = []
        for item in value.list() {
            if case .mapping = item.node.value, let section = item.section() {
                let target = section.required("rule")
                let symptom = section["symptom"]?.text() ?? ""
                section.finish()
                guard let target, let name = target.text() else { continue }
                ruleNames.append((name, target))
                found.append(Inhibition(target: name, symptom: symptom))
            } else if let name = item.text() {
                ruleNames.append((name, item))
                found.append(Inhibition(target: name, symptom: ""))
            }
        }
        return found
    }

    private func readLabels(_ value: Value) -> [(key: LabelKey, value: String)] {
        value.named().compactMap { name, item in
            guard let key = LabelKey(name: name) else {
                let known = LabelKey.allCases.map(\.name)
                item.report("there is no label '\(name)'" + suggestion(for: name, among: known))
                return nil
            }
            return item.text().map { (key, $0) }
        }
    }

    /// Two rules that silence each other would both be silent.
    private func refuseCycles() {
        for rule in rules {
            var reached: Set<String> = []
            var open = [rule]
            while let next = open.popLast() {
                for inhibition in next.inhibits {
                    for target in rules where inhibition.covers(target.id) {
                        guard reached.insert(target.id).inserted else { continue }
                        open.append(target)
                    }
                }
            }
            guard reached.contains(rule.id) else { continue }
            problems.add(
                "rule '\(rule.id)' inhibits itself, directly or through others", at: rule.mark,
                in: rule.file)
        }
    }

    private static func isIdentifier(_ byte: UInt8) -> Bool {
        (97...122).contains(byte) || (48...57).contains(byte) || byte == 45
    }
}

extension RuleLoader {
    private mutating func readPolicy(_ section: Section, named value: Value) {
        guard let name = value.text() else { return }
        var policy = EventPolicy(name: name)
        policy.dedup = section["dedup"]?.milliseconds() ?? policy.dedup
        policy.cascade = section["cascade"]?.milliseconds() ?? policy.cascade
        if let roots = section["roots"] {
            policy.roots = roots.list().flatMap { RuleLoader.codes($0) }
        }
        if let unknown = section.required("unknown")?.section() {
            policy.unknown = readEntry(unknown)
            unknown.finish()
        }
        for item in section.required("codes")?.list() ?? [] {
            guard let entry = item.section() else { continue }
            let codes = entry.required("code")
            let meaning = readEntry(entry)
            entry.finish()
            for code in codes.map({ RuleLoader.codes($0) }) ?? [] {
                if policy.entries[code] != nil { item.report("code \(code) comes twice") }
                policy.entries[code] = meaning
            }
        }
        if policies[name] != nil { value.report("policy '\(name)' is already defined") }
        policies[name] = policy
    }

    private func readEntry(_ section: Section) -> EventPolicy.Entry {
        let severities = Severity.allCases.map { ($0.name, $0) }
        var entry = EventPolicy.Entry()
        entry.meaning = section.required("meaning")?.text() ?? ""
        entry.severity = section.required("severity")?.choice(severities) ?? .medium
        entry.tier =
            section.required("tier")?.choice([("1", Tier.one), ("2", .two), ("3", .three)])
            ?? .three
        entry.symptom = section["symptom"]?.text() ?? "device-error"
        entry.action = section.required("action")?.template() ?? ""
        entry.cost =
            section["cost"]?.choice(CostClass.allCases.map { ($0.rawValue, $0) }) ?? .none
        entry.follows = section["follows_others"]?.boolean() ?? false
        for item in section["worse_if"]?.list() ?? [] {
            guard let worse = item.section() else { continue }
            let word = worse.required("text_has")?.text()
            let severity = worse.required("severity")?.choice(severities)
            worse.finish()
            if let word, let severity { entry.worse.append((word.lowercased(), severity)) }
        }
        return entry
    }

    /// `79`, `144-150`, or a list of such.
    static func codes(_ value: Value) -> [Int32] {
        value.list().flatMap { item -> [Int32] in
            guard let text = item.text() else { return [] }
            let ends = text.split(separator: "-", omittingEmptySubsequences: false)
                .map { Int32($0) }
            if ends.count == 1, let code = ends[0] { return [code] }
            if ends.count == 2, let low = ends[0], let high = ends[1], low <= high,
                high - low < 1_000
            {
                return Array(low...high)
            }
            item.report(
                "'\(item.name)' must be a code such as 79, or a run such as 144-150, not '\(text)'")
            return []
        }
    }
}

extension Value {
    /// A duration of at least a millisecond, as milliseconds.
    func milliseconds() -> Int64? { duration()?.milliseconds }

    /// A text whose places in braces all have known names.
    func template() -> String? {
        guard let text = text() else { return nil }
        for name in Template.placeholders(in: text) where !Template.names.contains(name) {
            report(
                "there is no placeholder '{{\(name)}}'"
                    + suggestion(for: name, among: Template.names))
        }
        return text
    }

    func float(in range: ClosedRange<Double> = -1e30...1e30) -> Float? {
        number(in: range).map { Float($0) }
    }
}
