/// What is known of one row of a batch once it was applied, as `lanes_row` in C.
///
/// Public, so that it is inlined.
public struct ScoredRow: BitwiseCopyable, Sendable {
    /// Milliseconds of event time.
    public let time: Int64
    /// The index of its device.
    public let device: UInt32
    /// Where it says how far each lane lay from its slow baseline; -1 where nobody asked.
    public var z: Int32
    /// Its group of sixteen metrics.
    public let group: UInt16
    /// Lanes that carried something new; none where the row was late or a duplicate.
    public let present: UInt16
    /// What its device was doing, one bit for each gate that was open.
    public let gates: UInt16

    /// A row that brought nothing.
    public init() { self.init(time: 0, device: 0, group: 0, present: 0, gates: 0) }

    /// A row that was applied.
    public init(time: Int64, device: UInt32, group: UInt16, present: UInt16, gates: UInt16) {
        self.time = time
        self.device = device
        z = -1
        self.group = group
        self.present = present
        self.gates = gates
    }
}

/// What becomes of the rows of one group of sixteen metrics, as `lanes_use` in C.
package struct LaneUse: BitwiseCopyable, Sendable {
    /// Which of the blocks of a device remembers them; -1 for none.
    let block: Int32
    let firstPlane: Int32
    let planes: Int32
    /// How many of the planes, the first ones, do not ask how long a value was the same.
    let plain: Int32
    let firstGathering: Int32
    let gatherings: Int32
    let firstWidening: Int32
    let widenings: Int32
    /// Lanes that somebody else is fed with.
    let fed: UInt16

    package init(
        block: Int, planes: Range<Int>, plain: Int, gatherings: Range<Int> = 0..<0,
        widenings: Range<Int> = 0..<0, fed: UInt16
    ) {
        self.block = Int32(clamping: block)
        firstPlane = Int32(clamping: planes.lowerBound)
        self.planes = Int32(clamping: planes.count)
        self.plain = Int32(clamping: plain)
        firstGathering = Int32(clamping: gatherings.lowerBound)
        self.gatherings = Int32(clamping: gatherings.count)
        firstWidening = Int32(clamping: widenings.lowerBound)
        self.widenings = Int32(clamping: widenings.count)
        self.fed = fed
    }
}

/// What up to eight leaves gather of the rows of one group, as `lanes_gathering` in C: the sum and the
/// count of the values within a slice of time.
package struct LaneGathering: BitwiseCopyable, Sendable {
    /// Leaves that find place.
    @inlinable package static var width: Int { 8 }
    /// Numbers that they take of a device: sums, counts, and values below which nothing counts.
    @inlinable package static var numbers: Int { 3 * width }

    private var lanes = SIMD8<Int32>.zero
    private var bits = SIMD8<Int32>.zero
    private var required = SIMD8<Int32>.zero
    private var refused = SIMD8<Int32>.zero
    /// Where they stand in the numbers of a device, and where the ends of slices do in its times.
    package let number: Int32
    package let time: Int32

    /// One without a leaf, which takes `numbers` numbers and `width` times from these places on.
    package init(number: Int, time: Int) {
        self.number = Int32(clamping: number)
        self.time = Int32(clamping: time)
    }

    /// Has leaf `place` gather the values of a lane while these gates are open and those are not.
    package mutating func add(_ place: Int, lane: Int, required: UInt16, refused: UInt16) {
        lanes[place] = Int32(lane & 15)
        bits[place] = 1 << Int32(lane & 15)
        self.required[place] = Int32(required)
        self.refused[place] = Int32(refused)
    }
}

/// What one leaf keeps of a lane, as `lanes_widening` in C: the least and the largest value of each of
/// the last eight slices of time.
package struct LaneWidening: BitwiseCopyable, Sendable {
    /// Slices of which the values are known.
    package static let slices = 8

    private let size: Int64
    let number: Int32
    let time: Int32
    private let lane: Int32

    /// One of slices of `size` milliseconds, which takes two numbers of a device for each from `number`
    /// on, slice i at i % 8, and the time at `time` for the index of the newest one, negative before
    /// the first.
    package init(lane: Int, size: Int64, number: Int, time: Int) {
        self.size = max(size, 1)
        self.number = Int32(clamping: number)
        self.time = Int32(clamping: time)
        self.lane = Int32(lane & 15)
    }
}

/// A row that somebody must be fed with, as `lanes_fed` in C.
package struct FedRow: BitwiseCopyable, Equatable, Sendable {
    /// Its index in the batch.
    package let row: UInt32
    package let gathering: UInt16
    /// The leaves of that gathering whose value begins another slice, bit i; 0 where it is for those
    /// that do not gather.
    package var due: UInt16

    package init(row: UInt32 = 0, gathering: UInt16 = 0, due: UInt16 = 0) {
        (self.row, self.gathering, self.due) = (row, gathering, due)
    }
}

/// What becomes of rows, whatever device they are of.
package struct LaneUses: Sendable {
    /// By group; there are sixteen.
    private let uses: [LaneUse]
    private let planes: [LanePlane]
    private let gatherings: [LaneGathering]
    private let widenings: [LaneWidening]
    /// By group and word: who waits for a row of it, one bit for each.
    private let masks: [UInt64]
    let words: Int
    /// Of each device.
    let blocks: Int
    /// Numbers and times of each device that gatherings and widenings reach.
    let numbers: Int
    let times: Int
    /// How often one row may be listed, at most.
    package let fedMax: Int

    /// Nobody wants any.
    package init() {
        let none = LaneUse(block: -1, planes: 0..<0, plain: 0, fed: 0)
        self.init(
            [LaneUse](repeating: none, count: 16), planes: [], gatherings: [],
            masks: [UInt64](repeating: 0, count: 16), words: 1, blocks: 0)
    }

    package init(
        _ uses: [LaneUse], planes: [LanePlane], gatherings: [LaneGathering] = [],
        widenings: [LaneWidening] = [], masks: [UInt64], words: Int, blocks: Int
    ) {
        precondition(uses.count == 16 && masks.count == 16 * words, "not sixteen groups")
        for use in uses {
            precondition(Int(use.block) < blocks, "a block that no device has")
            precondition(use.plain <= use.planes, "more plain planes than planes")
            precondition(Int(use.firstPlane + use.planes) <= planes.count, "planes are missing")
            precondition(
                Int(use.firstGathering + use.gatherings) <= gatherings.count,
                "gatherings are missing")
            precondition(
                Int(use.firstWidening + use.widenings) <= widenings.count, "widenings are missing")
        }
        (self.uses, self.planes, self.masks) = (uses, planes, masks)
        (self.gatherings, self.widenings) = (gatherings, widenings)
        (self.words, self.blocks) = (words, blocks)
        numbers = max(
            gatherings.map { Int($0.number) + LaneGathering.numbers }.max() ?? 0,
            widenings.map { Int($0.number) + 2 * LaneWidening.slices }.max() ?? 0)
        times = max(
            gatherings.map { Int($0.time) + LaneGathering.width }.max() ?? 0,
            widenings.map { Int($0.time) + 1 }.max() ?? 0)
        fedMax = 1 + (uses.map { Int($0.gatherings) }.max() ?? 0)
    }

    /// Lends the pointers that the kernel wants.
    @safe
    func withPointers<R>(
        _ body: (
            UnsafeRawPointer?, UnsafeRawPointer?, UnsafeRawPointer?, UnsafeRawPointer?,
            UnsafePointer<UInt64>?
        ) -> R
    ) -> R {
        unsafe uses.withUnsafeBytes { uses in
            unsafe planes.withUnsafeBytes { planes in
                unsafe gatherings.withUnsafeBytes { gatherings in
                    unsafe widenings.withUnsafeBytes { widenings in
                        unsafe masks.withUnsafeBufferPointer { masks in
                            unsafe body(
                                uses.baseAddress, planes.baseAddress, gatherings.baseAddress,
                                widenings.baseAddress, masks.baseAddress)
                        }
                    }
                }
            }
        }
    }
}
