/// The keys of every format as integers, made once per decoder.
///
/// A `static let` would cost a check of its once-token at each comparison, and a literal the making
/// of the integer.
struct Keys: Sendable {
    let version: Spelling = "v"
    let time: Spelling = "ts"
    let metrics: Spelling = "m"
    let events: Spelling = "e"
    let device: Spelling = "device"
    let host: Spelling = "host"
    let index: Spelling = "index"
    let vendor: Spelling = "vendor"
    let model: Spelling = "model"
    let labels: Spelling = "labels"
    let tags: Spelling = "tags"
    let fields: Spelling = "fields"
    let name: Spelling = "name"
    let value: Spelling = "value"
    let metric: Spelling = "metric"
    let kind: Spelling = "kind"
    let gauge: Spelling = "gauge"
    let counter: Spelling = "counter"
    let list: Spelling = "metrics"
    let timestamp: Spelling = "timestamp"
    let code: Spelling = "code"
    let text: Spelling = "text"
    let untyped: Spelling = "untyped"
    let incremental: Spelling = "incremental"
    let prometheusName: Spelling = "__name__"
    let nvidiaSMI: Spelling = "nvidia_smi"
    let nvidiaMIG: Spelling = "nvidia_smi_mig"
    let rocmSMI: Spelling = "amd_rocm_smi"
    let words = Words()

    /// What may stand for a number, in lower case.
    struct Words: Sendable {
        let ones = [Spelling](["yes", "true", "on", "enabled"]).map(\.low)
        let zeros = [Spelling](["no", "false", "off", "disabled"]).map(\.low)
        let blanks = [Spelling](["n/a", "none", "null"]).map(\.low)
        let infinities = [Spelling](["nan", "inf", "+inf", "-inf"]).map(\.low)
    }
}

/// A short ASCII word as two integers, to be compared without a loop.
struct Spelling: ExpressibleByStringLiteral, Sendable {
    let count: Int
    let low: UInt64
    let high: UInt64

    init(stringLiteral text: String) {
        precondition((1...16).contains(text.utf8.count), "a spelling has 1 to 16 bytes")
        var words: (UInt64, UInt64) = (0, 0)
        for (index, byte) in text.utf8.enumerated() {
            if index < 8 {
                words.0 |= UInt64(byte) << UInt64(index * 8)
            } else {
                words.1 |= UInt64(byte) << UInt64(index * 8 - 64)
            }
        }
        count = text.utf8.count
        (low, high) = words
    }
}
