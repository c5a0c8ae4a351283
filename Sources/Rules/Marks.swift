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
    /// The marks of one device; word w has bits 16 w … 16 w + 15, by lane.
    typealias Bits = SIMD4<UInt64>

    static let wordsMax = 16

    /// By metric group.
    private(set) var planes = [[LanePlane]](repeating: [], count: Vocabulary.groupsMax)
    /// By metric group and plane: lanes whose limit may hold where the value was never sent.
    private var optional = [[UInt16]](repeating: [], count: Vocabulary.groupsMax)
    /// Words of marks that are taken.
    private var words = 0
    /// Of a device that sent nothing yet.
    private(set) var initial = Bits.zero
    /// Bits given to leaves in the word in work, and which word that is.
    private var given = 16
    private var givenWord = 0

    /// The bit `place` alone.
    static func bit(_ place: Int16) -> Bits {
        // Not through memory: a wide load of what was stored in parts waits for the store.
        let bit = UInt64(1) << UInt64(place & 63)
        let word = place >> 6
        return Bits(
            word == 0 ? bit : 0, word == 1 ? bit : 0, word == 2 ? bit : 0, word == 3 ? bit : 0)
    }

    /// Whether the bit `place` is set.
    static func has(_ place: Int16, _ bits: Bits) -> Bool {
        bits[Int(place) / 64] & (1 << UInt64(place % 64)) != 0
    }

    /// The mark of a limit on the values of one metric; nil where no place is left.
    mutating func mark(
        _ metric: Metric, low: Float = .nan, high: Float = .nan, still: Int32 = .min,
        isOptional: Bool
    ) -> Bits? {
        let (group, lane) = (metric.group, metric.lane)
        let bit = UInt16(1) << UInt16(lane)
        let same = planes[group].indices.first {
            let plane = planes[group][$0]
            return plane.lanes & bit != 0
                && plane.low[lane].bitPattern == low.bitPattern
                && plane.high[lane].bitPattern == high.bitPattern
                && plane.still[lane] == still
                && (optional[group][$0] & bit != 0) == isOptional
        }
        if let same { return Marks.bits(word: Int(planes[group][same].word), bit) }
        var place = planes[group].firstIndex { $0.lanes & bit == 0 }
        if place == nil, words < Marks.wordsMax {
            place = planes[group].count
            planes[group].append(LanePlane(word: words))
            optional[group].append(0)
            words += 1
        }
        guard let place else { return nil }
        planes[group][place].lanes |= bit
        planes[group][place].low[lane] = low
        planes[group][place].high[lane] = high
        planes[group][place].still[lane] = still
        let mark = Marks.bits(word: Int(planes[group][place].word), bit)
        if isOptional {
            optional[group][place] |= bit
            initial |= mark
        }
        return mark
    }

    /// A bit that no value sets; -1 where no place is left.
    ///
    /// With `isSet` it begins set, because nothing is known yet.
    mutating func give(isSet: Bool) -> Int16 {
        if given == 16 {
            guard words < Marks.wordsMax else { return -1 }
            givenWord = words
            words += 1
            given = 0
        }
        let place = Int16(givenWord * 16 + given)
        given += 1
        if isSet { initial |= Marks.bit(place) }
        return place
    }

    private static func bits(word: Int, _ lanes: UInt16) -> Bits {
        var bits = Bits.zero
        bits[word / 4] = UInt64(lanes) << UInt64(word % 4 * 16)
        return bits
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
