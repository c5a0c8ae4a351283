import Detection
import Fleet
import RollingStatistics
import Telemetry

/// Which limits the newest values of a device are beyond: one bit for each that some rule asks.
///
/// Most of the time nothing is wrong, and a rule need not be evaluated to know that it does not
/// hold. A mark that is set says only that its limit *may* hold; one that is not set is certain, as
/// long as the rule is idle on the device: hysteresis is the business of rules that are not.
///
/// A mark by value follows the newest sample. What leaves count or learn, a value tells nothing of:
/// such a mark is set by what feeds the leaf, and taken away when the leaf was asked and said no.
struct Marks {
    /// The marks of one device; plane p has bits 16 p … 16 p + 15, by lane.
    typealias Bits = SIMD4<UInt64>

    /// One limit on each lane of a metric group.
    struct Plane {
        /// It may hold for values between the two, exclusive; NaN where there is no such limit.
        var low = SIMD16<Float>(repeating: .nan)
        var high = SIMD16<Float>(repeating: .nan)
        /// Seconds for which the value must have been the same.
        var still = SIMD16<Int32>(repeating: .min)
        var used: UInt16 = 0
        /// Lanes whose limit may hold where the value was never sent.
        var optional: UInt16 = 0
    }

    static let planesMax = 16

    private(set) var planes: [Plane] = []
    /// By metric group, the numbers of its planes.
    private(set) var ofGroup = [[Int]](repeating: [], count: Vocabulary.groupsMax)
    /// Of a device that sent nothing yet.
    private(set) var initial = Bits.zero
    /// Bits given to leaves in the plane in work, and which plane that is.
    private var given = 16
    private var givenPlane = 0

    /// The bit `place` alone.
    static func bit(_ place: Int16) -> Bits {
        var bits = Bits.zero
        bits[Int(place) / 64] = 1 << UInt64(place % 64)
        return bits
    }

    /// The mark of a limit on the values of one metric; nil where no place is left.
    mutating func mark(
        _ metric: Metric, low: Float = .nan, high: Float = .nan, still: Int32 = .min,
        isOptional: Bool
    ) -> Bits? {
        let (group, lane) = (metric.group, metric.lane)
        let bit = UInt16(1) << UInt16(lane)
        let same = ofGroup[group].first {
            let plane = planes[$0]
            return plane.used & bit != 0
                && plane.low[lane].bitPattern == low.bitPattern
                && plane.high[lane].bitPattern == high.bitPattern
                && plane.still[lane] == still
                && (plane.optional & bit != 0) == isOptional
        }
        if let same { return Marks.bits(plane: same, bit) }
        var place = ofGroup[group].first { planes[$0].used & bit == 0 }
        if place == nil, planes.count < Marks.planesMax {
            place = planes.count
            ofGroup[group].append(planes.count)
            planes.append(Plane())
        }
        guard let place else { return nil }
        planes[place].used |= bit
        planes[place].low[lane] = low
        planes[place].high[lane] = high
        planes[place].still[lane] = still
        if isOptional {
            planes[place].optional |= bit
            initial |= Marks.bits(plane: place, bit)
        }
        return Marks.bits(plane: place, bit)
    }

    /// A bit that no value sets; -1 where no place is left.
    ///
    /// With `isSet` it begins set, because nothing is known yet.
    mutating func give(isSet: Bool) -> Int16 {
        if given == 16 {
            guard planes.count < Marks.planesMax else { return -1 }
            givenPlane = planes.count
            planes.append(Plane())
            given = 0
        }
        let place = Int16(givenPlane * 16 + given)
        given += 1
        if isSet { initial |= Marks.bit(place) }
        return place
    }

    private static func bits(plane: Int, _ lanes: UInt16) -> Bits {
        var bits = Bits.zero
        bits[plane / 4] = UInt64(lanes) << UInt64(plane % 4 * 16)
        return bits
    }

    /// Takes over the values of one row; only the lanes in `present` carry something new.
    ///
    /// `still` says for how many seconds each has had its value.
    @inline(__always)
    func take(
        _ values: SIMD16<Float>, _ present: UInt16, still: SIMD16<Int32>, group: Int,
        into bits: inout Bits
    ) {
        for place in ofGroup[group] {
            let lanes = present & planes[place].used
            guard lanes != 0 else { continue }
            let isBeyond =
                (values .<= planes[place].low) .| (values .>= planes[place].high)
                .| (still .< planes[place].still)
            let shift = UInt64(place % 4 * 16)
            let old = bits[place / 4] & ~(UInt64(lanes) << shift)
            bits[place / 4] = old | UInt64(lanes & ~isBeyond.bits) << shift
        }
    }
}

extension CompiledLeaf {
    /// Values outside of it cannot fulfil the leaf; nil where no such range is known.
    var range: (low: Float, high: Float)? {
        let (above, below) = (bound.above, bound.below)
        switch kind {
        case .threshold where relative == -1:
            return (above, below)
        case .duration:
            return (above, below)
        case .rate where amount > 0:
            // A rounding of the division must not cost an alarm.
            return CompiledLeaf.wider(above / amount, below / amount)
        case .state:
            if !state.equals.isNaN { return (state.equals.nextDown, state.equals.nextUp) }
            let least = max(Float(state.anyOf & ~(state.anyOf &- 1)), Float(state.allOf))
            return least > 0 ? (least.nextDown, .nan) : nil
        default:
            return nil
        }
    }

    /// Where one value for all members fulfils the leaf, that of at least one member lies inside.
    var memberRange: (low: Float, high: Float)? {
        switch aggregate {
        case nil, .median, .p10, .p90, .min, .max: break
        // A rounding of the sum may leave a mean beyond all of its members.
        case .mean, .sum, .spread: return nil
        }
        // Between two limits, a median may lie where no member does.
        guard let range, range.low.isNaN || range.high.isNaN else { return nil }
        return CompiledLeaf.wider(range.low, range.high)
    }

    private static func wider(_ low: Float, _ high: Float) -> (low: Float, high: Float) {
        (low - abs(low) * 1e-6, high + abs(high) * 1e-6)
    }
}
