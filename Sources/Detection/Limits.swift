import RollingStatistics
import Telemetry

/// The sizes of a device that shares are of.
struct Limits {
    private var memory = Float.nan
    private var power = Float.nan

    // Numbers, because a constant of another module is read through a call.
    private static var memTotal: Int { 0 }
    private static var powerLimit: Int { 1 }
    private static var memUsed: Int { 4 }
    private static var memUsedRatio: Int { 5 }
    private static var powerDraw: Int { 6 }
    private static var powerRatio: Int { 7 }

    /// Notes the sizes in a row of group 1.
    @inline(__always)
    mutating func take(
        _ values: borrowing MutableSpan<SIMD16<Float>>, _ index: Int, _ given: UInt16
    ) {
        if given & Limits.bit(Limits.memTotal) != 0 {
            memory = values.value(in: Limits.memTotal, of: index)
        }
        if given & Limits.bit(Limits.powerLimit) != 0 {
            power = values.value(in: Limits.powerLimit, of: index)
        }
    }

    /// power.ratio and mem.used_ratio of a row of group 0, where the parts are known and the whole was
    /// not sent.
    ///
    /// - Returns: the lanes that were filled.
    @inline(__always)
    func derive(
        _ values: inout MutableSpan<SIMD16<Float>>, _ index: Int, _ given: UInt16
    ) -> UInt16 {
        var filled: UInt16 = 0
        let powers = given & (Limits.bit(Limits.powerRatio) | Limits.bit(Limits.powerDraw))
        if powers == Limits.bit(Limits.powerDraw), power > 0 {
            let draw = values.value(in: Limits.powerDraw, of: index)
            values.put(draw / power, in: Limits.powerRatio, of: index)
            filled |= Limits.bit(Limits.powerRatio)
        }
        let memories = given & (Limits.bit(Limits.memUsedRatio) | Limits.bit(Limits.memUsed))
        if memories == Limits.bit(Limits.memUsed), memory > 0 {
            let used = values.value(in: Limits.memUsed, of: index)
            values.put(used / memory, in: Limits.memUsedRatio, of: index)
            filled |= Limits.bit(Limits.memUsedRatio)
        }
        return filled
    }

    @inline(__always)
    private static func bit(_ lane: Int) -> UInt16 {
        1 << UInt16(truncatingIfNeeded: lane)
    }
}
