/// Messages per second through the whole pipeline, against a loop that only counts them.
///
/// Both sides read the same preloaded topic to its end and say how many messages there were.
struct EndToEnd {
    let name: String
    let whole: () throws(BenchError) -> Int
    let countOnly: () throws(BenchError) -> Int

    /// The pipeline and the bare loop; nil until they are joined to this benchmark.
    static func subject() throws(BenchError) -> EndToEnd? { nil }

    static func run(_ settings: Settings) throws(BenchError) -> [Row] {
        guard let subject = try subject() else {
            print("\nend-to-end: the pipeline is not part of this build; the row is left out")
            return []
        }
        let rates = try interleave(
            [
                Side(name: subject.name) { () throws(BenchError) in Double(try subject.whole()) },
                Side(name: "count-only consume loop") { () throws(BenchError) in
                    Double(try subject.countOnly())
                },
            ], repetitions: settings.repetitions)
        return [
            Row(name: "end-to-end", unit: "messages/s", ours: rates[0], denominator: rates[1])
        ]
    }
}
