import Configuration
import Escalation
import Fleet
import Foundation
import Incidents
import Rules
import Testing

/// The files that ship: they must load clean, and say what their comments say.
@Suite("Shipped files") struct RepositoryFilesTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    private func text(_ name: String) throws -> String {
        try String(contentsOf: Self.root.appending(path: "rules/\(name)"), encoding: .utf8)
    }

    @Test func `the shipped policy loads clean and its timings are the defaults`() throws {
        let policy = try loadPolicy(try text("escalation.yaml"), file: "rules/escalation.yaml")
        #expect(policy.timings == Timings())
        #expect(policy.routes.map(\.name) == ["links", "thermal", "jobs", "efficiency", "default"])
        for (name, written) in policy.policies {
            #expect(written.levels.count == 3, "\(name)")
        }
    }

    @Test func `every route of the shipped policy reaches a person at every hour of a year`() throws
    {
        let policy = try loadPolicy(try text("escalation.yaml"), file: "rules/escalation.yaml")
        for hour in 0..<(365 * 24) {
            let time = Stage.start + .seconds(hour * 3_600)
            for (name, written) in policy.policies {
                for (index, level) in (written.levels + [written.backstop]).enumerated() {
                    #expect(
                        !policy.recipients(of: level.page, at: time).isEmpty,
                        "\(name) tier \(index + 1) at \(time.rfc3339)")
                }
            }
        }
    }

    @Test(arguments: [
        ("NVIDIA H100 80GB HBM3", "h100-sxm"), ("h100-sxm5-80gb", "h100-sxm"),
        ("NVIDIA H200", "h200-sxm"), ("NVIDIA GH200 480GB", "h200-sxm"),
        ("NVIDIA A100-SXM4-80GB", "a100"), ("AMD Instinct MI300X", "mi300x"),
        ("tpu-v6e-slice", "tpu-v6e"), ("v5litepod-16", "tpu-v5e"), ("v5p-128", "tpu-v5p"),
        ("HL-225H", "gaudi2"), ("trn1.32xlarge", "trainium1"), ("wafer-9", "unknown"),
        ("", "unknown"),
    ])
    func `the shipped price book knows the models by their own names`(
        _ model: String, _ entry: String
    ) throws {
        let price = try loadPrices(try text("prices.yaml")).price(of: model)
        #expect(price.name == entry)
        #expect(price.isAssumed == (entry == "unknown"))
    }
}
