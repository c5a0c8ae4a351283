import Configuration
import Fleet
import Foundation
import Testing

@testable import Rules

@Suite("Rule files") struct LoaderTests {
    private func problems(_ text: String) -> String {
        let problems = Problems()
        let book = RuleBook.load(files: [("rules/test.yaml", text)], problems: problems)
        if book != nil { return "loaded" }
        return problems.sorted.map(\.description).joined(separator: "\n")
    }

    @Test func `every slip of the finger is told at once, with its place and a guess`() {
        let told = problems(
            """
            - id: Too_Hot
              metric: temp.cor
              abve: 80
              detector: treshold
              fro: 60s
              severity: hihg
              gate: [runing, "members => 3"]
              runbook: "Cool {{hots}}."
              cost: {class: trottle}
              inhibits: [too-cold]
            """)
        for line in [
            "1:7: 'id' may have a–z, 0–9 and hyphens only, not 'Too_Hot'",
            "2:11: there is no metric 'temp.cor'; did you mean 'temp.core'?; one of your own begins "
                + "with 'x.' or has 'opaque: true' beside it",
            "4:13: 'detector' must be one of threshold,",
            "; did you mean 'threshold'?",
            "5:3: unknown key 'fro'; did you mean 'for'?",
            "6:13: 'severity' must be one of critical, high, medium, low, not 'hihg'; did you mean "
                + "'high'?",
            "7:10: there is no gate 'runing'; did you mean 'running'?",
            "7:18: a bound on members has >=, >, <= or <, not '=>'",
            "8:12: there is no placeholder '{{hots}}'; did you mean 'host'?",
            "9:17: 'class' must be one of none, hard, hang, straggler, throttle, idle, "
                + "opportunity, prevent, not 'trottle'; did you mean 'throttle'?",
            "10:14: there is no rule 'too-cold'",
        ] {
            #expect(told.contains(line), "missing: \(line)\nin:\n\(told)")
        }
    }

    /// What a person wrote, and the one complaint that comes of it.
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let text: String
        let told: String

        init(_ words: String, _ text: String, _ told: String) {
            testDescription = words
            self.text = text
            self.told = told
        }

        static func rule(_ body: String) -> String {
            "- id: a\n  severity: high\n  runbook: x\n"
                + body.split(separator: "\n").map { "  \($0)\n" }.joined()
        }

        static let all = [
            Case(
                "no condition", rule("scope: device"),
                "1:3: a condition is missing: one of all, any, at_least, not, metric, detector, agg"
            ),
            Case(
                "two conditions", rule("metric: util.busy\nabove: 1\nany: []"),
                "1:3: one condition at a time: put several under 'all' or 'any'"),
            Case(
                "no limit", rule("metric: util.busy"),
                "1:3: a limit is missing: 'above', 'below' or 'between'"),
            Case(
                "limits that never let go", rule("metric: util.busy\nabove: 0.1\nbelow: 0.9"),
                "1:3: 'above' and 'below' together never clear; write 'between: [low, high]'"),
            Case(
                "a clear beyond the trigger", rule("metric: temp.core\nabove: 80\nclear: 85"),
                "6:10: 'clear' must not be above 'above'"),
            Case(
                "a threshold on a counter", rule("metric: ecc.corrected\nabove: 3"),
                "1:3: 'ecc.corrected' is a counter: ask its 'rate' or 'delta', not a threshold"),
            Case(
                "a delta of a level", rule("metric: temp.core\ndetector: delta\nat_least: 1"),
                "5:13: 'delta' asks a counter, and 'temp.core' is a gauge"),
            Case(
                "a metric of a job without an aggregate",
                rule("scope: job\nmetric: util.busy\nabove: 0.5"),
                "1:3: on a scope with members a metric needs 'agg', or stands under 'any_members'"),
            Case(
                "an aggregate of one device", rule("agg: median\nmetric: util.busy\nabove: 0.5"),
                "4:8: 'agg' needs a scope with members, such as job or host"),
            Case(
                "bits that contradict",
                rule("metric: throttle.reasons\ndetector: state\nany_of: 0x48\nnone_of: 0x40"),
                "1:3: 'none_of' has a bit that is asked for beside it"),
            Case(
                "a policy that nobody wrote", "- {id: a, detector: event, policy: xdi}",
                "1:36: there is no policy 'xdi'"),
            Case(
                "a gate and its opposite",
                rule("gate: [running, not running]\nmetric: util.busy\nabove: 0.5"),
                "4:9: 'gate' asks for a gate and for its opposite"),
            Case(
                "a rule that silences itself",
                rule("metric: util.busy\nabove: 0.5\ninhibits: [a]"),
                "1:3: rule 'a' inhibits itself, directly or through others"),
            Case(
                "more of them than there are",
                rule("at_least: 2\nof:\n - {metric: util.busy, above: 0.5}"),
                "4:13: 'at_least: 2' of 1 can never hold"),
            Case(
                "a key of another detector",
                rule("metric: util.busy\nabove: 0.5\ndeadband: 3"), "6:3: unknown key 'deadband'"),
            Case("a mapping that is no rule file", "rule: []\n", "1:1: 'rules' is missing"),
        ]
    }

    @Test(arguments: Case.all) func `what cannot be meant is refused`(_ item: Case) {
        #expect(
            problems(item.text).contains("rules/test.yaml:" + item.told), "\(problems(item.text))")
    }

    @Test func `a statistic alone may not page`() {
        let rule = """
            - id: a
              metric: power.draw
              detector: zscore
              z: 5
              severity: %
              runbook: x
            """
        let critical = rule.split(separator: "%").joined(separator: "critical")
        #expect(
            problems(critical)
                == "rules/test.yaml:5:13: 'severity: critical' needs a state, event, absence or "
                + "composite condition; a statistic alone may be 'high' at most")
        #expect(problems(rule.split(separator: "%").joined(separator: "high")) == "loaded")
    }

    @Test func `a scope that nobody knows is one problem, not two`() {
        let rule = Case.rule("scope: devise\nmetric: util.busy\nabove: 0.5")
        #expect(
            problems(rule).hasPrefix("rules/test.yaml:4:10: 'scope' must be one of device, "))
        #expect(problems(rule).split(separator: "\n").count == 1)
    }

    @Test func `a name that is taken says by whom`() {
        let one = "- {id: a, metric: util.busy, above: 0.5, severity: low, runbook: x}\n"
        #expect(
            problems(one + one)
                == "rules/test.yaml:2:3: rule 'a' is already defined at rules/test.yaml:1")
    }

    @Test func `layout and comments do not change a rule, a number does`() throws {
        let one = try Scenario.book(
            "- {id: a, metric: util.busy, above: 0.5, severity: low, runbook: x}")
        let same = try Scenario.book(
            """
            # Why it is here.
            - id: a
              metric: util.busy
              above: 0.5
              severity: low
              runbook: x
            """)
        let other = try Scenario.book(
            "- {id: a, metric: util.busy, above: 0.6, severity: low, runbook: x}")
        #expect(one.rules[0].hash == same.rules[0].hash)
        #expect(one.rules[0].hash != other.rules[0].hash)
    }

    @Test func `the first rule of the manual loads`() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let manual = try String(
            contentsOf: root.appending(path: "docs/rules.md"), encoding: .utf8)
        let blocks = manual.components(separatedBy: "```yaml\n").dropFirst()
        let first = try #require(blocks.first?.components(separatedBy: "```").first)
        #expect(problems(first) == "loaded")
    }

    @Test func `paging, topology, prices and tests are not rules`() {
        let names = [
            "rules/thermal.yaml", "rules/xid-policy.yaml", "rules/escalation.yaml",
            "rules/topology.yaml", "rules/prices.yaml", "rules/thermal.test.yaml",
            "rules/README.md",
        ]
        #expect(
            names.filter(RuleBook.isRuleFile) == ["rules/thermal.yaml", "rules/xid-policy.yaml"])
    }
}
