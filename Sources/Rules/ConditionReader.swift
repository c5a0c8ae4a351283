import Configuration
import Detection
import Fleet
import Telemetry

/// Reads `gate:`: names of gates, `not` before one, and bounds on the number of members.
enum GateReader {
    static func read(_ value: Value) -> GateTest {
        var test = GateTest()
        for item in value.list() {
            guard let text = item.text() else { continue }
            let words = text.split(separator: " ")
            if words.first == "members" {
                readMembers(words, item, &test)
            } else if words.count == 2, words[0] == "not" {
                if let gate = gate(words[1], item) { test.refused.insert(gate) }
            } else if text == "host_present" {
                test.hostPresent = true
            } else if let gate = gate(words.count == 1 ? words[0] : Substring(text), item) {
                test.required.insert(gate)
            }
        }
        if !test.required.isDisjoint(with: test.refused) {
            value.report("'\(value.name)' asks for a gate and for its opposite")
        }
        return test
    }

    private static func gate(_ name: Substring, _ item: Value) -> Gates? {
        if let found = Gates.named.first(where: { $0.name == name }) { return found.gate }
        let known = Gates.named.map(\.name) + ["host_present", "members"]
        item.report("there is no gate '\(name)'" + suggestion(for: String(name), among: known))
        return nil
    }

    private static func readMembers(
        _ words: [Substring], _ item: Value, _ test: inout GateTest
    ) {
        guard words.count == 3, let count = Int(words[2]), count >= 0, count < 1_000_000 else {
            item.report("a bound on members reads such as \"members >= 8\"")
            return
        }
        switch words[1] {
        case ">=": test.membersMin = count
        case ">": test.membersMin = count + 1
        case "<=": test.membersMax = count
        case "<": test.membersMax = count - 1
        default: item.report("a bound on members has >=, >, <= or <, not '\(words[1])'")
        }
    }
}

/// Reads a condition: a leaf with its detector, or a tree of them.
final class ConditionReader {
    private let scopes: [EntityKind]
    private(set) var policies: [(name: String, value: Value)] = []
    private(set) var calendars: [(name: String, value: Value)] = []
    private(set) var hasEvent = false
    private var statistics = 0
    private var facts = 0

    init(scopes: [EntityKind]) { self.scopes = scopes }

    /// Only means, deviations and peers were asked: nothing that is simply so.
    var isStatisticalOnly: Bool { statistics > 0 && facts == 0 }

    private static let forms = ["all", "any", "at_least", "not", "metric", "detector", "agg"]

    /// Reads the condition whose keys stand in `section`, which the caller finishes.
    func read(_ section: Section, inDevice: Bool) -> Condition? {
        if let quantifier = section["any_members"] {
            guard !inDevice else {
                quantifier.report(
                    "'any_members' stands outside of another, on a scope with members")
                return nil
            }
            return readMembers(quantifier, section)
        }
        let isLeaf = !Set(section.names).isDisjoint(with: ["metric", "metrics", "detector"])
        // 'at_least' also says how many increases or events a leaf asks for.
        let trees = isLeaf ? ["all", "any", "not"] : ["all", "any", "not", "at_least"]
        let written = section.names.filter { trees.contains($0) }
        let isShare = ["fraction", "count"].contains(section["agg"]?.peek ?? "")
        if isShare { return readShare(section, inDevice) }
        guard written.count + (isLeaf ? 1 : 0) == 1 else {
            section.report(
                written.isEmpty && !isLeaf
                    ? "a condition is missing: one of \(ConditionReader.forms.joined(separator: ", "))"
                    : "one condition at a time: put several under 'all' or 'any'")
            for name in written { _ = section[name] }
            return nil
        }
        if let list = section["all"] { return ConditionReader.all(children(list, inDevice)) }
        if let list = section["any"] { return ConditionReader.any(children(list, inDevice)) }
        if let inner = section["not"] { return child(inner, inDevice).map { .not($0) } }
        if !isLeaf, let count = section["at_least"] {
            let list = section.required("of").map { children($0, inDevice) } ?? []
            guard let count = count.integer(in: 1...100) else { return nil }
            if count > list.count, !list.isEmpty {
                section["at_least"]?.report("'at_least: \(count)' of \(list.count) can never hold")
            }
            return .atLeast(count, list)
        }
        return readLeaf(section, inDevice: inDevice)
    }

    private static func all(_ list: [Condition]) -> Condition {
        list.count == 1 ? list[0] : .all(list)
    }

    private static func any(_ list: [Condition]) -> Condition {
        list.count == 1 ? list[0] : .any(list)
    }

    private func children(_ value: Value, _ inDevice: Bool) -> [Condition] {
        let found = value.list().compactMap { child($0, inDevice) }
        if found.isEmpty, value.list().isEmpty { value.report("'\(value.name)' has no conditions") }
        return found
    }

    /// A condition in braces of its own: it may be gated and held.
    private func child(_ value: Value, _ inDevice: Bool) -> Condition? {
        guard let section = value.section() else { return nil }
        defer { section.finish() }
        let gate = section["gate"].map { GateReader.read($0) }
        let hold = section["for"]?.milliseconds() ?? 0
        guard var condition = read(section, inDevice: inDevice) else { return nil }
        if let gate, !gate.isOpen { condition = .gated(gate, condition) }
        return hold > 0 ? .held(hold, condition) : condition
    }

    private func readMembers(_ value: Value, _ section: Section) -> Condition? {
        var members = Members()
        if case .mapping = value.node.value, let bounds = value.section() {
            members.min = bounds["min"]?.integer(in: 1...1_000_000) ?? 1
            members.max = bounds["max"]?.integer(in: 1...1_000_000) ?? .max
            bounds.finish()
            if members.min > members.max { value.report("'min' is above 'max'") }
        } else if value.peek != "true" {
            value.report("'any_members' must be {min: 1, max: 3}, or true for at least one")
        }
        return inner(section).map { .members(members, $0) }
    }

    private func readShare(_ section: Section, _ inDevice: Bool) -> Condition? {
        guard !inDevice else {
            section["agg"]?.report("'agg' needs a scope with members, such as job or host")
            return nil
        }
        var members = Members()
        members.ofHosts = section["over"]?.choice([("devices", false), ("hosts", true)]) ?? false
        if section["agg"]?.peek == "fraction" {
            let share = section.required("above")?.number(in: 0...1) ?? 0
            members.fraction = share
            members.clearFraction = section["clear"]?.number(in: 0...share) ?? share * 0.8
        } else {
            members.min = (section.required("above")?.integer(in: 0...1_000_000) ?? 0) + 1
        }
        facts += 1
        guard let of = section.required("of") else { return nil }
        if members.ofHosts {
            guard let condition = child(of, false) else { return nil }
            return .members(members, condition)
        }
        return child(of, true).map { .members(members, $0) }
    }

    /// What `any_members` quantifies: the other keys of its mapping, said of one member.
    private func inner(_ section: Section) -> Condition? {
        let members = ConditionReader(scopes: [.device])
        members.innerScopes = scopes
        let condition = members.readPlain(section)
        policies += members.policies
        calendars += members.calendars
        facts += members.facts + 1
        statistics += members.statistics
        return condition
    }

    private var innerScopes: [EntityKind] = []

    private func readPlain(_ section: Section) -> Condition? {
        if let list = section["all"] { return ConditionReader.all(children(list, true)) }
        if let list = section["any"] { return ConditionReader.any(children(list, true)) }
        if let inner = section["not"] { return child(inner, true).map { .not($0) } }
        return readLeaf(section, inDevice: true)
    }
}

extension ConditionReader {
    private static let detectors = [
        "threshold", "state", "delta", "rate", "zscore", "flatline", "steady", "absence",
        "completeness", "event",
        "count", "peer", "cusum", "usual", "duration", "forecast",
        "seasonal", "anomaly", "mismatch",
    ]

    private func readLeaf(_ section: Section, inDevice: Bool) -> Condition? {
        let metric = section["metric"]
        let isOpaque = section["opaque"]?.boolean() ?? false
        var leaf = Leaf(test: .threshold(Bound(), .absolute))
        leaf.metric = metric.flatMap { readMetric($0, isOpaque) } ?? ""
        if let agg = section["agg"] {
            if inDevice { agg.report("'agg' needs a scope with members, such as job or host") }
            let known = Aggregate.allCases.map { ($0.rawValue, $0) }
            leaf.aggregate = agg.choice(known)
        }
        let detector =
            section["detector"]?.choice(
                ConditionReader.detectors.map { ($0, $0) })
            ?? (section["detector"] == nil ? "threshold" : nil)
        guard let detector else { return nil }
        let metrics = section["metrics"]
        if let metrics {
            leaf.metrics = readMetrics(metrics, detector, section, isOpaque, inDevice)
        }
        let needsMetric =
            metrics == nil
            && !["absence", "completeness", "event", "count", "mismatch"].contains(detector)
        if needsMetric, metric == nil { section.report("'metric' is missing") }
        if !needsMetric, let metric, detector != "absence" {
            metric.report("detector '\(detector)' asks no metric")
        }
        if detector == "absence", !inDevice, let metric, !scopes.isEmpty {
            metric.report(
                "a group is silent as a whole; ask 'absence' of a metric under 'any_members'")
        }
        let isGrouped = leaf.aggregate != nil
        // A scope that cannot be read is told already; what it would ask is not known.
        if !inDevice, needsMetric, !isGrouped, !scopes.isEmpty {
            section.report(
                "on a scope with members a metric needs 'agg', or stands under 'any_members'")
        }
        guard let test = readTest(detector, section, inDevice) else { return nil }
        leaf.test = test
        if detector == "seasonal" || detector == "anomaly" { leaf.calendar = readCalendar(section) }
        leaf.isOptional = section["optional"]?.boolean() ?? (detector == "threshold")
        check(leaf, detector, section)
        return .leaf(leaf)
    }

    /// Metrics of one device that are asked together.
    private func readMetrics(
        _ value: Value, _ detector: String, _ section: Section, _ isOpaque: Bool, _ inDevice: Bool
    ) -> [String] {
        if detector != "anomaly" {
            value.report("'metrics' belongs to detector 'anomaly'; '\(detector)' asks one 'metric'")
        } else if !inDevice, !scopes.isEmpty {
            value.report(
                "'metrics' are those of one device: take scope device, or 'any_members', or ask "
                    + "one 'metric' of the group")
        }
        section["metric"]?.report("'metric' or 'metrics', not both")
        var names: [String] = []
        for item in value.list() {
            guard let name = readMetric(item, isOpaque) else { continue }
            if names.contains(name) {
                item.report("'\(name)' comes twice")
            } else if Vocabulary.canonical.first(where: { $0.name == name })?.kind == .state {
                item.report("'anomaly' asks levels, and '\(name)' is a state")
            }
            names.append(name)
        }
        if !ConditionReader.metricsTogether.contains(value.list().count) {
            let range = ConditionReader.metricsTogether
            value.report(
                "'metrics' names \(range.lowerBound) to \(range.upperBound) metrics; one alone "
                    + "is a 'metric'")
        }
        return names
    }

    /// Beyond sixteen a device costs 70 KB, and what is wrong with it no longer reads in a page.
    private static let metricsTogether = 2...16

    private func readMetric(_ value: Value, _ isOpaque: Bool) -> String? {
        guard let name = value.text() else { return nil }
        let known = Vocabulary.canonical.map(\.name)
        guard !known.contains(name), !isOpaque, !name.hasPrefix("x.") else { return name }
        value.report(
            "there is no metric '\(name)'" + suggestion(for: name, among: known)
                + "; one of your own begins with 'x.' or has 'opaque: true' beside it")
        return nil
    }

    /// Counters carry increases, states carry bits: what is asked must make sense for the kind.
    private func check(_ leaf: Leaf, _ detector: String, _ section: Section) {
        guard let known = Vocabulary.canonical.first(where: { $0.name == leaf.metric }) else {
            return
        }
        switch (detector, known.kind) {
        case ("delta", .gauge), ("delta", .state), ("rate", .gauge), ("rate", .state):
            section["detector"]?.report(
                "'\(detector)' asks a counter, and '\(leaf.metric)' is a \(known.kind.rawValue)")
        case ("threshold", .counter):
            section.report(
                "'\(leaf.metric)' is a counter: ask its 'rate' or 'delta', not a threshold")
        case ("zscore", .state), ("peer", .state), ("cusum", .state), ("forecast", .state),
            ("seasonal", .state), ("anomaly", .state):
            section["detector"]?.report(
                "'\(detector)' asks a level, and '\(leaf.metric)' is a state")
        default: break
        }
    }

    private func readTest(_ detector: String, _ section: Section, _ inDevice: Bool) -> Test? {
        let isDeviceRule = inDevice && scopes == [.device] && innerScopes.isEmpty
        switch detector {
        case "threshold":
            facts += 1
            return .threshold(readBound(section), readRelative(section))
        case "state":
            facts += 1
            return readState(section).map { .state($0) }
        case "delta":
            facts += 1
            return .delta(
                least: section.required("at_least")?.float(in: 1e-9...1e30) ?? 1,
                window: section["window"]?.milliseconds() ?? 300_000)
        case "rate":
            facts += 1
            let per: Float =
                section["per"]?.choice([("second", 1), ("minute", 60), ("hour", 3_600)]) ?? 1
            return .rate(readBound(section), per: per)
        case "zscore":
            statistics += 1
            let limit = section.required("z")?.float(in: 1...100) ?? 5
            if !isDeviceRule {
                section["detector"]?.report(
                    "'zscore' is for rules on 'device'; elsewhere take 'peer' or 'cusum'")
            }
            return .zscore(limit: limit, readDirection(section))
        case "flatline":
            facts += 1
            return .flatline(
                window: section["window"]?.milliseconds() ?? 600_000,
                fractional: section["fractional"]?.boolean() ?? false)
        case "steady":
            facts += 1
            return .steady(
                window: section["window"]?.milliseconds() ?? 120_000,
                within: section.required("within")?.float(in: 0.0001...1) ?? 0.02)
        case "absence":
            facts += 1
            return .absence(readAbsence(section))
        case "completeness":
            facts += 1
            if !inDevice, !scopes.isEmpty {
                section["detector"]?.report("'completeness' is asked of devices")
            }
            return .completeness(
                below: section["below"]?.float(in: 0.01...1) ?? 0.9,
                window: section["window"]?.milliseconds() ?? 600_000)
        case "event":
            facts += 1
            hasEvent = true
            if !isDeviceRule { section["detector"]?.report("'event' is for rules on 'device'") }
            let policy = section.required("policy")
            guard let name = policy?.text(), let policy else { return nil }
            policies.append((name, policy))
            return .event(policy: name)
        case "count":
            facts += 1
            return .count(readCount(section))
        case "peer":
            statistics += 1
            return .peer(readPeer(section, isDeviceRule))
        case "cusum":
            statistics += 1
            return .cusum(readCusum(section))
        case "seasonal":
            statistics += 1
            return .seasonal(readSeasonal(section))
        case "mismatch":
            statistics += 1
            return .mismatch(readMismatch(section, inDevice))
        case "anomaly":
            statistics += 1
            return .anomaly(readAnomaly(section))
        case "usual":
            facts += 1
            return .usual(window: section["window"]?.milliseconds() ?? 604_800_000)
        case "duration":
            facts += 1
            var test = DurationTest()
            test.bound = readBound(section)
            test.least = section["longer_than"]?.milliseconds() ?? test.least
            test.times = section["times_usual"]?.float(in: 1...100) ?? 0
            return .duration(test)
        default:
            facts += 1
            return .forecast(readForecast(section))
        }
    }
}

extension ConditionReader {
    private func readBound(_ section: Section) -> Bound {
        var bound = Bound()
        if let between = section["between"] {
            let ends = between.list().compactMap { $0.float() }
            guard ends.count == 2, ends[0] < ends[1] else {
                between.report("'between' must be [low, high]")
                return bound
            }
            (bound.above, bound.below) = (ends[0], ends[1])
            // Leaving takes a fifth of the width, on either side.
            let slack = (ends[1] - ends[0]) * 0.2
            (bound.clearAbove, bound.clearBelow) = (ends[0] - slack, ends[1] + slack)
            return bound
        }
        let above = section["above"]?.float()
        let below = section["below"]?.float()
        let clear = section["clear"]
        if above != nil, below != nil {
            section.report("'above' and 'below' together never clear; write 'between: [low, high]'")
        } else if above == nil, below == nil, section["above"] == nil, section["below"] == nil {
            section.report("a limit is missing: 'above', 'below' or 'between'")
        }
        if let above {
            bound.above = above
            bound.clearAbove = clear?.float() ?? above - 0.2 * abs(above)
            if bound.clearAbove > above { clear?.report("'clear' must not be above 'above'") }
        } else if let below {
            bound.below = below
            bound.clearBelow = clear?.float() ?? below + 0.25 * abs(below)
            if bound.clearBelow < below { clear?.report("'clear' must not be below 'below'") }
        }
        return bound
    }

    private func readRelative(_ section: Section) -> Relative {
        guard let value = section["relative_to"] else { return .absolute }
        if value.peek == "own_hour" { return .own }
        return readMetric(value, value.peek?.hasPrefix("x.") ?? false).map { .metric($0) }
            ?? .absolute
    }

    private func readDirection(_ section: Section) -> Direction {
        section["direction"]?.choice([("up", .up), ("down", .down), ("both", .both)]) ?? .both
    }

    private func readState(_ section: Section) -> StateTest? {
        var test = StateTest()
        var asked = 0
        if let value = section["any_of"] {
            test.anyOf = value.bits() ?? 0
            asked += 1
        }
        if let value = section["all_of"] {
            test.allOf = value.bits() ?? 0
            asked += 1
        }
        if let value = section["none_of"] {
            test.noneOf = value.bits() ?? 0
            asked += 1
        }
        if let value = section["equals"] {
            test.equals = value.float() ?? 0
            asked += 1
        }
        guard asked > 0 else {
            section.report("'state' needs 'any_of', 'all_of', 'none_of' or 'equals'")
            return nil
        }
        if (test.anyOf | test.allOf) & test.noneOf != 0 {
            section.report("'none_of' has a bit that is asked for beside it")
        }
        return test
    }

    private func readAbsence(_ section: Section) -> AbsenceTest {
        var test = AbsenceTest()
        test.after = section["after"]?.milliseconds() ?? test.after
        test.intervals = section["intervals"]?.float(in: 1...100) ?? test.intervals
        test.recent = section["recent"]?.milliseconds() ?? 0
        if test.recent != 0, test.recent <= test.after {
            section["recent"]?.report("'recent' must be longer than 'after'")
        }
        return test
    }

    private func readCount(_ section: Section) -> CountTest {
        var test = CountTest()
        test.least = section.required("at_least")?.integer(in: 1...1_000) ?? 3
        test.window = section["window"]?.milliseconds() ?? test.window
        if let of = section["of"], of.peek == "stops" {
            test.transitions = true
        } else if let of = section["of"], of.peek != "faults" {
            of.report("'of' must be one of faults, stops, not '\(of.peek ?? "a list")'")
        }
        if let codes = section["codes"] {
            test.codes = Set(RuleLoader.codes(codes))
            if test.transitions { codes.report("'codes' belong to faults, not to stops") }
        }
        test.distinctJobs = section["distinct_jobs"]?.boolean() ?? false
        return test
    }

    private func readPeer(_ section: Section, _ isDeviceRule: Bool) -> PeerTest {
        var test = PeerTest()
        let known = CohortKind.allCases.filter { $0 != .pipeline }.map { ("\($0)", $0) }
        test.cohorts = section["cohort"]?.list().compactMap { $0.choice(known) } ?? []
        if test.cohorts.isEmpty, isDeviceRule, section["cohort"] == nil {
            section.report("'cohort' is missing: whose peers, such as job, host or model")
        }
        if let z = section["z"] {
            test.z = z.float(in: -100...100) ?? -5
            if abs(test.z) < 1 { z.report("'z' must be at least 1 either way") }
            test.floor = section.required("floor")?.float(in: 0...1e15) ?? 0
        } else {
            test.ratio = readBound(section)
        }
        test.frozenOffset =
            section["offset"]?.choice([("frozen", true), ("none", false)]) ?? false
        test.membersMin = section["members"]?.integer(in: 3...10_000) ?? test.membersMin
        return test
    }

    private func readMismatch(_ section: Section, _ inDevice: Bool) -> MismatchTest {
        var test = MismatchTest()
        if !inDevice, !scopes.isEmpty {
            section["detector"]?.report(
                "'mismatch' is asked of devices; on a group put it under 'any_members'")
        }
        let labels = LabelKey.allCases.filter { !LabelComparison.refused.contains($0) }
            .map { ($0.name, $0) }
        test.label = section.required("label")?.choice(labels) ?? test.label
        let kinds = CohortKind.allCases.filter { $0 != .pipeline }.map { ("\($0)", $0) }
        if let cohort = section["cohort"] {
            test.cohorts = cohort.list().compactMap { $0.choice(kinds) }
        } else {
            section.report("'cohort' is missing: whose peers, such as job, host or cluster")
        }
        if let alike = section["alike"] {
            test.alike = alike.list().compactMap { $0.choice(labels) }
        }
        // What is compared must be free to differ.
        test.alike.removeAll { $0 == test.label }
        test.membersMin = section["members"]?.integer(in: 3...10_000) ?? test.membersMin
        test.agree = section["agree"]?.float(in: 0.51...1) ?? test.agree
        return test
    }

    private func readCusum(_ section: Section) -> CusumTest {
        var test = CusumTest()
        test.every = section["every"]?.milliseconds() ?? test.every
        if test.every < 10_000 { section["every"]?.report("'every' must be at least 10s") }
        if let reference = section["reference"]?.section() {
            test.frozen = reference["frozen"]?.milliseconds() ?? test.frozen
            test.least = reference["min"]?.milliseconds() ?? min(test.least, test.frozen)
            reference.finish()
            if test.least > test.frozen {
                reference.report("'min' is longer than 'frozen'")
            }
        }
        test.isRelative = section["relative"]?.boolean() ?? false
        test.direction = readDirection(section)
        test.deadband = section.required("deadband")?.float(in: 0...1e15) ?? 0
        if let hours = section["budget_hours"] {
            let budget = hours.float(in: 1e-9...1e15) ?? 1
            test.budget = budget * 3_600_000 / Float(max(test.every, 1))
            if let other = section["budget"] {
                other.report("'budget' or 'budget_hours', not both")
            }
        } else {
            test.budget = section.required("budget")?.float(in: 1e-9...1e15) ?? 1
        }
        return test
    }

    private func readSeasonal(_ section: Section) -> SeasonalTest {
        var test = SeasonalTest()
        test.z = section.required("z")?.float(in: 1...100) ?? test.z
        test.floor = section.required("floor")?.float(in: 0...1e15) ?? 0
        test.direction = readDirection(section)
        test.every = section["every"]?.milliseconds() ?? test.every
        if !(10_000...3_600_000).contains(test.every) {
            section["every"]?.report("'every' must be 10s to 1h")
        }
        test.season =
            section["season"]?.choice([("week", .week), ("day", .day), ("workday", .workday)])
            ?? .week
        return test
    }

    /// The calendar, or the time zone alone, whose hours and days count.
    private func readCalendar(_ section: Section) -> String {
        let calendar = section["calendar"]
        let zone = section["time_zone"]
        let written = ["calendar", "time_zone", "utc_offset_hours"].filter {
            section.names.contains($0)
        }
        if written.count > 1 {
            section.report("\(written.map { "'\($0)'" }.joined(separator: " or ")), not both")
        }
        if let calendar, let name = calendar.text() {
            calendars.append((name, calendar))
            return name
        }
        if let zone, let name = zone.text() {
            calendars.append((name, zone))
            return RuleBook.key(ofZone: name)
        }
        return ""
    }

    private func readAnomaly(_ section: Section) -> AnomalyTest {
        var test = AnomalyTest()
        test.isSensitive =
            section["profile"]?.choice([("paging", false), ("sensitive", true)]) ?? false
        test.every = section["every"]?.milliseconds() ?? test.every
        if !(10_000...3_600_000).contains(test.every) {
            section["every"]?.report("'every' must be 10s to 1h")
        }
        let hours = section["utc_offset_hours"]?.number(in: -14...14) ?? 0
        test.offset = Int64((hours * 3_600_000).rounded())
        return test
    }

    private func readForecast(_ section: Section) -> ForecastTest {
        var test = ForecastTest()
        test.limit = section.required("limit")?.float() ?? 0
        test.within = section.required("within")?.milliseconds() ?? 0
        test.window = section["window"]?.milliseconds() ?? test.window
        test.slopeMin = section["slope_per_minute"]?.float() ?? 0
        test.determinationMin = section["fit"]?.float(in: 0...1) ?? test.determinationMin
        return test
    }
}

extension Value {
    /// The text of a scalar, without judging it.
    var peek: String? {
        guard case .scalar(let text, _) = node.value else { return nil }
        return text
    }

    /// `0x48`, or the number itself.
    func bits() -> UInt32? {
        guard let text = text() else { return nil }
        let found = text.hasPrefix("0x") ? UInt32(text.dropFirst(2), radix: 16) : UInt32(text)
        guard let found, found != 0, found < 1 << 24 else {
            report("'\(name)' must be a set of bits such as 0x48, not '\(text)'")
            return nil
        }
        return found
    }
}
