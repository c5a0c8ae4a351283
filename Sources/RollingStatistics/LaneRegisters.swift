public import CLanes

/// The newest value of each lane, when it was seen and since when it has been the same.
///
/// Three columns, a place for each lane; sixteen lanes side by side are stored at once. Times are
/// whole seconds since a moment of the caller's choice.
@safe
package struct LaneRegisters: Sendable {
    /// NaN where there never was one.
    package var values: [Float] = []
    package var seen: [Int32] = []
    /// When the value was first seen without another one, or a gap, since.
    package var since: [Int32] = []

    package init() {}

    package var count: Int { values.count }
    package var bytes: Int { values.count * 12 }

    /// Makes room for `count` lanes.
    ///
    /// New ones have seen nothing. Never shrinks.
    package mutating func grow(to count: Int) {
        guard count > values.count else { return }
        let more = count - values.count
        values.append(contentsOf: repeatElement(.nan, count: more))
        seen.append(contentsOf: repeatElement(.min, count: more))
        since.append(contentsOf: repeatElement(.min, count: more))
    }

    /// Stores the `present` lanes of a tick at `place` and the fifteen after it.
    ///
    /// After a silence of more than `gapMax` seconds nobody knows that the value stayed.
    ///
    /// - Returns: for how many seconds each of these lanes has had its value, as far as was seen.
    package mutating func store(
        _ lanes: SIMD16<Float>, _ present: UInt16, second: Int32, gapMax: Int32, at place: Int
    ) -> SIMD16<Int32> {
        precondition(place >= 0 && place &+ 16 <= values.count, "a lane that was never grown")
        var still = SIMD16<Int32>.zero
        unsafe values.withUnsafeMutableBufferPointer { values in
            unsafe seen.withUnsafeMutableBufferPointer { seen in
                unsafe since.withUnsafeMutableBufferPointer { since in
                    guard let values = values.baseAddress, let seen = seen.baseAddress,
                        let since = since.baseAddress
                    else { return }
                    unsafe withUnsafePointer(to: lanes) { lanes in
                        unsafe withUnsafeMutablePointer(to: &still) { still in
                            unsafe lanes_remember(
                                values + place, seen + place, since + place, lanes, present,
                                second, gapMax, still)
                        }
                    }
                }
            }
        }
        return still
    }

    /// Asks for the lanes from `place` on, which are stored to soon.
    @inlinable @inline(__always)
    package func prefetch(_ place: Int) {
        values.prefetch(place)
        seen.prefetch(place)
        since.prefetch(place)
    }

    /// Takes over a lane as another set of registers had it.
    package mutating func copy(_ source: Int, of other: borrowing LaneRegisters, to place: Int) {
        values[place] = other.values[source]
        seen[place] = other.seen[source]
        since[place] = other.since[source]
    }

    /// The sixteen values from `place` on.
    package func vector(at place: Int) -> SIMD16<Float> {
        var lanes = SIMD16<Float>(repeating: .nan)
        for lane in 0..<16 { lanes[lane] = values[place + lane] }
        return lanes
    }
}

extension SIMDMask<SIMD16<Int32>> {
    /// Bit i is lane i.
    @inlinable @inline(__always)
    package var bits: UInt16 {
        lanes_bits(unsafe unsafeBitCast(self, to: SIMD16<Int32>.self))
    }
}

extension SIMD16 where Scalar == Float {
    /// Bit i is set where lane i is a number.
    @inlinable @inline(__always)
    package var presence: UInt16 { (self .== self).bits }

    /// These lanes, and those of `older` where there is no number.
    @inlinable @inline(__always)
    package func over(_ older: Self) -> Self { lanes_over(self, older) }

    /// These lanes with another value in one; Swift's own way to choose a lane at run time goes
    /// through memory and waits for it.
    @inlinable @inline(__always)
    package func with(_ value: Float, in lane: Int) -> Self {
        lanes_with(self, Int32(truncatingIfNeeded: lane), value)
    }
}
