/// The last reading of a counter.
struct Counter {
    let value: Double
    let time: Int64

    /// One that was never read.
    init() { (value, time) = (.nan, .min) }

    /// One that read `value` at `time`, in milliseconds.
    @inline(__always)
    init(_ value: Double, at time: Int64) { (self.value, self.time) = (value, time) }
}
