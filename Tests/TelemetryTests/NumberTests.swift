import TestSupport
import Testing

@testable import Telemetry

@Suite("Numbers") struct NumberTests {
    private func parse(_ text: String) -> Number.Parsed? {
        let bytes = Array(text.utf8)
        return Number.parse(bytes.span, at: 0)
    }

    @Test(arguments: [UInt64](1...8))
    func `every literal reads as the standard library reads it`(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<20_000 {
            let text = literal(&random)
            let parsed = parse(text)
            #expect(
                parsed?.value.bitPattern == Double(text)?.bitPattern,
                "seed \(seed): \(text) read as \(parsed?.value ?? .nan)")
            #expect(parsed?.end == text.utf8.count)
        }
    }

    private func literal(_ random: inout SeededGenerator) -> String {
        func digits(_ count: Int) -> String {
            var text = ""
            for _ in 0..<count { text += String(random.below(10)) }
            return text
        }
        var text = random.below(4) == 0 ? "-" : ""
        text += random.below(3) == 0 ? "0" : String(1 + random.below(9)) + digits(random.below(21))
        if random.below(3) > 0 { text += "." + digits(1 + random.below(22)) }
        guard random.below(4) == 0 else { return text }
        text += random.below(2) == 0 ? "e" : "E"
        text += ["", "+", "-"][random.below(3)]
        return text + String(random.below(random.below(4) == 0 ? 400 : 30))
    }

    @Test(arguments: [UInt64](11...13))
    func `doubles written shortest come back bit for bit`(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<20_000 {
            let value = Double(bitPattern: random.next())
            guard value.isFinite else { continue }
            let text = "\(value)"
            #expect(parse(text)?.value.bitPattern == value.bitPattern, "seed \(seed): \(text)")
        }
    }

    @Test func `the edges of 64 bits and of Double are right`() {
        for text in [
            "0", "-0", "0.1", "9007199254740993", "9223372036854775794", "18446744073709551615",
            "18446744073709551616", "99999999999999999999", "1e22", "1e23",
            "1.7976931348623157e308",
            "5e-324", "2.4703282292062327e-324", "0.3", "0.30000000000000004",
            "123456789012345678.9", "1234567890123456789e-19", "8.000000000000000005",
        ] {
            #expect(parse(text)?.value.bitPattern == Double(text)?.bitPattern, "\(text)")
        }
        #expect(parse("1e999")?.value == .infinity)
        #expect(parse(String(repeating: "9", count: 512)) != nil)
        #expect(parse(String(repeating: "9", count: 513)) == nil)
    }

    @Test func `reading stops where the number does`() {
        #expect(parse("12,")?.end == 2)
        #expect(parse("12}")?.isInteger == true)
        #expect(parse("1.5e3]")?.end == 5)
        #expect(parse("1.5e3]")?.isInteger == false)
        for text in ["", "-", "x", "01", "1.", ".1", "1e", "1e+", "+1"] {
            #expect(parse(text) == nil, "\(text)")
        }
    }
}
