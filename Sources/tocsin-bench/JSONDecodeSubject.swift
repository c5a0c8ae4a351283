/// A decoder under test: takes a corpus, message by message, and says how much it understood.
///
/// Made once per corpus. A call decodes every message once and returns how many values reached a
/// lane, so that a decoder which skips work is seen to.
struct JSONDecodeSubject {
    let name: String
    let decodeAll: (Corpus) throws(BenchError) -> Int

    /// Our decoder for ticks of the native format; nil until it is joined to this benchmark.
    static func native() -> JSONDecodeSubject? { nil }

    /// Our decoder for Telegraf's JSON; nil until it is joined to this benchmark.
    static func telegraf() -> JSONDecodeSubject? { nil }
}
