import Fleet
import Testing

@Suite struct SearchTests {
    struct Case: Sendable {
        let text: String
        let word: String
        let before: String?

        static let all = [
            Case(text: "dcgm-exporter-x2x7z", word: "exporter", before: "dcgm-"),
            Case(text: "exporter", word: "exporter", before: ""),
            Case(text: "exporte", word: "exporter", before: nil),
            Case(text: "exexporter", word: "exporter", before: "ex"),
            Case(text: "", word: "/", before: nil), Case(text: "é{{x}}", word: "{{", before: "é"),
            Case(text: "{{{", word: "{{", before: ""),
        ]
    }

    @Test(arguments: Case.all)
    func `a word is found where it first stands`(_ example: Case) {
        let found = example.text[...].firstRange(of: example.word)
        #expect(found.map { String(example.text[..<$0.lowerBound]) } == example.before)
        #expect(found.map { String(example.text[$0]) } == (found == nil ? nil : example.word))
    }
}
