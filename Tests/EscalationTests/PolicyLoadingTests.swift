import Configuration
import Escalation
import Fleet
import Foundation
import Incidents
import Rules
import TestSupport
import Testing

@Suite("Loading a policy") struct PolicyLoadingTests {
    private func problems(_ text: String) -> String {
        let problems = Problems()
        let policy = EscalationPolicy.load(
            text, file: "e.yaml", zones: ZoneDatabase(bytes: zoneBytes), into: problems)
        #expect((policy == nil) == !problems.isEmpty)
        return problems.sorted.map(\.description).joined(separator: "\n")
    }

    @Test func `every mistake of a file is reported at once with its place`() throws {
        let text = """
            version: 2
            people:
              ana: {zone: Europe/Berlim, channels: [hook]}
              bo: {zone: UTC, channels: []}
              chi: {zone: UTC, chanels: [hook]}
            rooms: {noc: {channels: []}}
            teams: {fabric: {leads: [anna]}}
            schedules:
              first: {zone: UTC, handoff: "Monday 9:30", since: 2026-02-30, people: [ana], min_people: 2}
              second: {zone: UTC, handoff: "Mon 09:30", since: 2026-01-05, people: []}
            policies:
              fabric:
                tier1: {page: [schedule: frist], timeout: 5 minutes}
                tier2: {page: [team_leads: fabrik]}
                tier3: {page: []}
                backstop: {page: [user: ana, rom: noc], repeat: 0s}
                rounds: 0
                start: {critical: 4}
            routes:
              - {match: ['symtom="thermal"'], policy: fabric}
              - {match: ['symptom=~"(a"'], policy: fabrics}
              - {match: ['severity~2'], policy: fabric}
              - {policy: fabric}
            timings: {ack_tl: 4h, min_level: -1s}
            explains: {a: [b], b: [c], c: [a]}
            """
        try expectSnapshot(
            problems(text),
            """
            e.yaml:1:10: 'version' must be one of 1, not '2'; did you mean '1'?
            e.yaml:3:15: there is no time zone 'Europe/Berlim'; write it as Europe/Berlin
            e.yaml:4:7: 'bo' has no channel, and could never be reached
            e.yaml:5:8: 'channels' is missing
            e.yaml:5:8: 'chi' has no channel, and could never be reached
            e.yaml:5:20: unknown key 'chanels'; did you mean 'channels'?
            e.yaml:6:14: 'noc' has no channel, and could never be reached
            e.yaml:7:26: there is no person 'anna'; did you mean 'ana'?
            e.yaml:9:31: a handoff is written as 'Mon 09:30', or '09:30' for every day; not 'Monday 9:30'
            e.yaml:9:53: a date is written as 2026-01-05, not '2026-02-30'
            e.yaml:10:72: 'people' names nobody
            e.yaml:13:30: there is no schedule 'frist'; did you mean 'first'?
            e.yaml:13:47: 'timeout' must be a duration such as 90s, 15m or 1h30m, not '5 minutes'
            e.yaml:14:32: there is no team 'fabrik'; did you mean 'fabric'?
            e.yaml:15:19: a tier that pages nobody is not a tier
            e.yaml:16:34: unknown target 'rom'; did you mean 'room'?
            e.yaml:16:53: 'repeat' is out of range: 0s
            e.yaml:17:13: 'rounds' must be between 1 and 10, not 0
            e.yaml:18:23: 'critical' must be between 1 and 3, not 4
            e.yaml:20:3: there is no default route; end the list with {default: true, policy: …}
            e.yaml:20:14: unknown name 'symtom' in 'symtom="thermal"'; did you mean 'symptom'?
            e.yaml:21:14: the pattern '(a' has a '(' without a ')'
            e.yaml:21:40: there is no policy 'fabrics'; did you mean 'fabric'?
            e.yaml:22:14: 'severity~2' is not a matcher such as symptom="thermal"
            e.yaml:23:5: 'match' is missing
            e.yaml:24:11: unknown key 'ack_tl'; did you mean 'ack_ttl'?
            e.yaml:24:34: 'min_level' must be a duration such as 90s, 15m or 1h30m, not '-1s'
            e.yaml:25:11: these explain each other in a circle: a → b → c → a
            """)
    }

    @Test func `a route after the default one would never be taken`() throws {
        let text = Stage.policyText.replacingOccurrences(
            of: "routes: [{default: true, policy: only}]",
            with: """
                routes:
                  - {default: true, policy: only}
                  - {match: ['kind=job'], policy: only}
                  - {default: true, policy: only}
                """)
        try expectSnapshot(
            problems(text),
            """
            e.yaml:21:5: this route stands after the default one, and would never be taken
            e.yaml:22:5: there are two routes named 'default'
            e.yaml:22:5: there are two default routes
            """)
    }

    @Test func `a file without the rest says what is missing`() throws {
        try expectSnapshot(
            problems("version: 1"),
            """
            e.yaml:1:1: 'people' is missing
            e.yaml:1:1: 'policies' is missing
            e.yaml:1:1: 'routes' is missing
            """)
    }

    @Test func `a zone cannot name a file outside the database`() throws {
        let text = Stage.policyText.replacingOccurrences(
            of: "ana: {zone: UTC,", with: "ana: {zone: ../../../etc/passwd,")
        try expectSnapshot(
            problems(text),
            """
            e.yaml:3:15: there is no time zone '../../../etc/passwd'; write it as Europe/Berlin
            """)
    }

    @Test func `routes are tried in order and matchers must all hold`() throws {
        let text = Stage.policyText.replacingOccurrences(
            of: "routes: [{default: true, policy: only}]",
            with: """
                routes:
                  - name: urgent links
                    match: ['symptom=~"nvlink|ib.*"', 'severity<=2', 'cluster!~"test-.*"']
                    policy: only
                  - {name: jobs, match: [kind=job], policy: only, group_by: [blame]}
                  - {default: true, policy: only}
                """)
        let policy = try loadPolicy(text)
        func route(_ symptom: String, _ severity: Severity, _ cluster: String) -> String? {
            var incident = finding(symptom: symptom, severity: severity)
            incident.labels[.cluster] = cluster
            let made = Incident(
                id: "INC-1", route: "", blame: incident.key.subject, symptom: symptom,
                finding: incident, heardAt: Stage.start)
            return policy.route(of: Matcher.Facts(made))?.name
        }
        #expect(route("nvlink", .high, "prod") == "urgent links")
        #expect(route("ib-errors", .critical, "") == "urgent links")
        #expect(route("nvlink", .medium, "prod") == "default")
        #expect(route("nvlink", .high, "test-7") == "default")
        #expect(route("my-nvlink", .high, "prod") == "default", "a pattern matches the whole")
    }

    @Test func `timings and timeouts are for all severities or for each`() throws {
        let text =
            Stage.policyText.replacingOccurrences(
                of: "[schedule: first]}", with: "[schedule: first], timeout: {high: 7s}}")
            + "\ntimings: {group_wait: 2s, ack_ttl: {critical: 9m}}"
        let policy = try loadPolicy(text)
        let plan = policy.plan(route: "default")
        #expect(plan.timeout(.one, .high) == .seconds(7))
        #expect(plan.timeout(.one, .critical) == .seconds(300))
        #expect(plan.timings.groupWait[.low] == .seconds(2))
        #expect(plan.timings.ackTTL[.critical] == .seconds(540))
        #expect(plan.timings.ackTTL[.high] == .seconds(4 * 3_600))
    }

    @Test func `a person who is away leaves a gap`() throws {
        let text = Stage.policyText.replacingOccurrences(
            of: "ana: {zone: UTC, channels: [hook]}",
            with:
                "ana: {zone: UTC, channels: [hook], away: [{from: 2026-11-21, until: 2026-11-22}]}")
        let policy = try loadPolicy(text)
        let tier = policy.plan(route: "default").level(.one).page
        #expect(policy.recipients(of: tier, at: Stage.start).isEmpty)
        let next = Stage.start + .seconds(16 * 3_600)
        #expect(policy.recipients(of: tier, at: next - .milliseconds(1)).isEmpty)
        #expect(policy.recipients(of: tier, at: next).map(\.name) == ["ana"])
    }
}
