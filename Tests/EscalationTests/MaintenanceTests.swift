import Fleet
import Incidents
import Testing

@testable import Escalation

/// Which silences are a maintenance of a device, from which nothing is learned.
@Suite struct MaintenanceTests {
    private static let noon = Instant(milliseconds: 1_795_262_400_000)

    private func silence(_ groups: [[String]]) throws -> Silence {
        Silence(
            id: "SIL-1", matchers: try groups.map { try $0.map { try Matcher($0) } },
            starts: Self.noon, ends: Self.noon + .seconds(3_600), author: "ana", reason: "drill",
            approvedBy: "")
    }

    @Test func `a silence by labels alone covers what has them, while it lasts`() throws {
        let labels = Labels([.host: "gpu-1", .rack: "r1"])
        let whole = try silence([["rack=r2"], ["rack=r1", "host=~gpu-.*"]])
        #expect(whole.covers(labels, at: Self.noon))
        #expect(!whole.covers(labels, at: Self.noon - .milliseconds(1)))
        #expect(!whole.covers(labels, at: Self.noon + .seconds(3_600)))
        #expect(!whole.covers(Labels([.host: "cpu-1", .rack: "r1"]), at: Self.noon))
    }

    @Test func `one that names a symptom says nothing of the rest of the device`() throws {
        let labels = Labels([.host: "gpu-1"])
        #expect(try !silence([["host=gpu-1", "symptom=thermal"]]).covers(labels, at: Self.noon))
        #expect(try !silence([["rule=thm-drift"]]).covers(labels, at: Self.noon))
    }
}
