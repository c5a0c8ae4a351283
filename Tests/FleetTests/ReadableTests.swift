import Fleet
import Testing

@Suite struct ReadableTests {
    struct Case: Sendable {
        let value: Double
        let text: String

        static let all = [
            Case(value: 0.494_034_290_313_7, text: "0.494"), Case(value: 345.824, text: "346"),
            Case(value: 79, text: "79"), Case(value: -0.117_44, text: "-0.117"),
            Case(value: 0, text: "0"), Case(value: 0.000_1, text: "0"),
            Case(value: 999.6, text: "1000"), Case(value: 97.123_456, text: "97.1"),
            Case(value: 99.96, text: "100"), Case(value: 74_813_800_448, text: "74813800448"),
            Case(value: 100, text: "100"), Case(value: 12.25, text: "12.3"),
            Case(value: 0.05, text: "0.05"), Case(value: 5e300, text: "5e+300"),
            Case(value: .nan, text: "unknown"), Case(value: -.infinity, text: "-infinite"),
        ]
    }

    @Test(arguments: Case.all)
    func `numbers are rounded to what a person reads`(_ example: Case) {
        #expect(readable(example.value) == example.text)
    }
}
