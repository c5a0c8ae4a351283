import Configuration
import Fleet
import Foundation
import Incidents
import Rules
import Testing

private let start = Instant(milliseconds: 1_795_248_000_000)

private let priceText = """
    version: 1
    book: "2026-11"
    unknown: {low: 0.5, price: 2, high: 10, source: assumption}
    prices:
      h100: {match: ["(nvidia )?h100.*"], low: 2, price: 6.88, high: 12.29, source: list}
    """

private func prices(_ text: String = priceText) throws -> PriceBook {
    let problems = Problems()
    let book = PriceBook.load(text, file: "prices.yaml", into: problems)
    #expect(problems.isEmpty, "\(problems.sorted)")
    return try #require(book)
}

private func finding(
    _ cost: CostClass, lost: Double = 0, devices: [String] = ["gpu-0"], blocked: [String] = [],
    model: String = "NVIDIA H100 80GB HBM3", rule: String = "r", edge: Finding.Edge = .fired,
    since: Instant = start, at time: Instant = start
) -> Finding {
    var finding = Finding(
        key: .init(rule: rule, subject: Entity(kind: .device, name: "gpu-0")), edge: edge,
        since: since, at: time, severity: .high, tier: .one, symptom: "s", devices: devices,
        labels: Labels([.model: model, .job: "llm", .host: "n1"]), summary: "",
        partition: Partition(topic: "t", number: 0), offset: 0)
    finding.cost = cost
    finding.lostFraction = lost
    finding.blocked = blocked
    return finding
}

@Suite("Cost") struct CostTests {
    private let routing = Routing(group: { _ in .init(route: "default", bySymptom: true) })
    private let job = (0..<1_024).map { "gpu-\($0)" }

    private func incident(_ findings: [Finding], _ book: PriceBook) throws -> Incident {
        var casebook = Casebook()
        _ = casebook.take(findings, routing: routing, prices: book, at: start)
        return try #require(casebook.incidents.values.first)
    }

    /// Reference, accelerators 2.5: 1 024 H100 at $6.88.
    @Test func `the worked examples of the cost model come out`() throws {
        let book = try prices()
        let slow = try incident([finding(.straggler, lost: 0.12, blocked: job)], book)
        let sixHours = start + .seconds(6 * 3_600)
        #expect(abs(slow.acceleratorHoursLost(at: sixHours) - 737.28) < 1e-6)
        #expect(slow.costTotal(at: sixHours) == Money(dollars: 5_072.4864))
        let hung = try incident([finding(.hang, blocked: job)], book)
        let fortyMinutes = start + .seconds(40 * 60)
        #expect(abs(hung.acceleratorHoursLost(at: fortyMinutes) - 682.666_667) < 1e-5)
        #expect(abs(hung.costTotal(at: fortyMinutes).dollars - 4_696.75) < 0.01)
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let cost: CostClass
        let lost: Double
        let blocked: Int
        let accelerators: Double
        let why: String
        var testDescription: String { why }

        static let all: [Case] = [
            Case(cost: .hard, lost: 0, blocked: 0, accelerators: 1, why: "a lone device is gone"),
            Case(cost: .hard, lost: 0.2, blocked: 64, accelerators: 64, why: "all of a job wait"),
            Case(cost: .straggler, lost: 0.25, blocked: 8, accelerators: 2, why: "N·(1−1/s)"),
            Case(cost: .straggler, lost: 0, blocked: 8, accelerators: 0, why: "nothing measured"),
            Case(cost: .throttle, lost: 0.5, blocked: 0, accelerators: 0.5, why: "one slow device"),
            Case(cost: .throttle, lost: 0.5, blocked: 8, accelerators: 4, why: "it holds its job"),
            Case(cost: .idle, lost: 0.97, blocked: 8, accelerators: 0.97, why: "idle is its own"),
            Case(cost: .idle, lost: 0, blocked: 0, accelerators: 1, why: "idle, not measured"),
            Case(cost: .prevent, lost: 1, blocked: 8, accelerators: 0, why: "nothing lost yet"),
            Case(cost: .none, lost: 1, blocked: 8, accelerators: 0, why: "telemetry costs nothing"),
            Case(cost: .opportunity, lost: 0.6, blocked: 0, accelerators: 0, why: "not waste"),
            Case(cost: .straggler, lost: .nan, blocked: 8, accelerators: 0, why: "not a number"),
            Case(cost: .throttle, lost: 7, blocked: 0, accelerators: 1, why: "more than all"),
        ]
    }

    @Test(arguments: Case.all)
    func `each class costs what the model says`(_ example: Case) throws {
        let blocked = (0..<example.blocked).map { "gpu-\($0)" }
        let found = try incident(
            [finding(example.cost, lost: example.lost, blocked: blocked)], try prices())
        #expect(abs(found.acceleratorsLost - example.accelerators) < 1e-9)
        #expect(abs(found.costPerHour.dollars - 6.88 * example.accelerators) < 1e-5)
        #expect((found.opportunityPerHour > .zero) == (example.cost == .opportunity))
    }

    /// A sum of doubles would depend on the order in which a dictionary has the devices.
    @Test(arguments: [CostClass.opportunity, .throttle])
    func `what devices cost together is the sum of what each costs`(_ cost: CostClass) throws {
        let devices = (0..<7).map { "gpu-\($0)" }
        let found = try incident([finding(cost, lost: 1 / 3, devices: devices)], try prices())
        let each = Money(dollars: 6.88 / 3)
        let sum = devices.reduce(Money.zero) { sum, _ in sum + each }
        #expect((cost == .opportunity ? found.opportunityPerHour : found.costPerHour) == sum)
    }

    @Test func `a device that two rules blame is lost once, by the larger share`() throws {
        let found = try incident(
            [
                finding(.throttle, lost: 0.3, rule: "a"), finding(.throttle, lost: 0.5, rule: "b"),
            ], try prices())
        #expect(abs(found.acceleratorsLost - 0.5) < 1e-9)
    }

    @Test func `the total is exact over changes of the rate, whatever came between`() throws {
        let book = try prices()
        var casebook = Casebook()
        func at(_ minutes: Int) -> Instant { start + .seconds(minutes * 60) }
        // Half a device from 0 to 10, a whole one to 40, nothing to 60, half to 90.
        let edges = [
            finding(.throttle, lost: 0.5, at: at(0)),
            finding(.hard, edge: .changed, at: at(10)),
            finding(.hard, edge: .cleared, at: at(40)),
            finding(.throttle, lost: 0.5, since: at(60), at: at(60)),
            finding(.throttle, lost: 0.5, edge: .cleared, at: at(90)),
        ]
        for edge in edges {
            _ = casebook.take([edge], routing: routing, prices: book, at: at(0))
        }
        let one = try #require(casebook.incidents.values.first)
        #expect(abs(one.acceleratorHoursLost - (5 + 30 + 15) / 60) < 1e-9)
        #expect(one.costTotal == Money(dollars: 6.88 * 50 / 60))
        #expect(one.costTotal(at: at(500)) == one.costTotal, "it is over")
        var batched = Casebook()
        _ = batched.take(edges, routing: routing, prices: book, at: at(0))
        let other = try #require(batched.incidents.values.first)
        #expect(abs(other.acceleratorHoursLost - one.acceleratorHoursLost) < 1e-9)
        #expect(other.costTotal == one.costTotal, "the same edges in one batch cost the same")
    }

    @Test func `an unknown model is priced by assumption and says so`() throws {
        let found = try incident([finding(.hard, model: "wafer-9")], try prices())
        #expect(found.costPerHour == Money(dollars: 2))
        #expect(found.costBasis == "hard at $2.0/h (unknown, assumed), prices 2026-11")
        #expect(found.costLowPerHour == Money(dollars: 0.5))
        #expect(found.costHighPerHour == Money(dollars: 10))
    }

    @Test func `the members that wait are kept once for all findings of a job`() throws {
        let findings = (0..<50).map { finding(.hard, blocked: job, rule: "r\($0)") }
        let found = try incident(findings, try prices())
        let size = try JSONEncoder().encode(found).count
        #expect(size < 80_000, "\(size) bytes; 50 copies of the members would be 500,000")
        #expect(abs(found.acceleratorsLost - 1_024) < 1e-9)
    }

    @Test func `an implausible price is refused at the turning point`() throws {
        for (price, isFine) in [(0.05, true), (0.049, false), (60, true), (60.01, false)] {
            let problems = Problems()
            let text = """
                version: 1
                book: "x"
                unknown: {price: \(price), source: s}
                prices: {}
                """
            let book = PriceBook.load(text, file: "p.yaml", into: problems)
            #expect((book != nil) == isFine, "\(price)")
            #expect(problems.isEmpty == isFine)
        }
    }

    @Test func `every mistake of a price book is reported at once`() {
        let problems = Problems()
        let text = """
            version: 1
            unknown: {price: 2, source: s, sorce: x}
            prices:
              a: {match: [], price: 1, source: s}
              b: {match: ["(x"], price: 700.0, source: s}
              c: {match: [c], low: 5, price: 4, source: s}
            """
        #expect(PriceBook.load(text, file: "p.yaml", into: problems) == nil)
        #expect(
            problems.sorted.map(\.description) == [
                "p.yaml:1:1: 'book' is missing",
                "p.yaml:2:32: unknown key 'sorce'; did you mean 'source'?",
                "p.yaml:4:6: 'a' matches no model",
                "p.yaml:5:15: the pattern '(x' has a '(' without a ')'",
                "p.yaml:5:29: 'price' must be between 0.05 and 60.0, not 700.0",
                "p.yaml:6:6: 'c' must have low ≤ price ≤ high",
            ])
    }
}
