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
    /// Lanes that somebody is fed with.
    let fed: UInt16

    package init(block: Int, planes: Range<Int>, plain: Int, fed: UInt16) {
        self.block = Int32(clamping: block)
        firstPlane = Int32(clamping: planes.lowerBound)
        self.planes = Int32(clamping: planes.count)
        self.plain = Int32(clamping: plain)
        self.fed = fed
    }
}

/// What becomes of rows, whatever device they are of.
package struct LaneUses: Sendable {
    /// By group; there are sixteen.
    private let uses: [LaneUse]
    private let planes: [LanePlane]
    /// By group and word: who waits for a row of it, one bit for each.
    private let masks: [UInt64]
    let words: Int
    /// Of each device.
    let blocks: Int

    /// Nobody wants any.
    package init() {
        let none = LaneUse(block: -1, planes: 0..<0, plain: 0, fed: 0)
        self.init(
            [LaneUse](repeating: none, count: 16), planes: [],
            masks: [UInt64](repeating: 0, count: 16), words: 1, blocks: 0)
    }

    package init(_ uses: [LaneUse], planes: [LanePlane], masks: [UInt64], words: Int, blocks: Int) {
        precondition(uses.count == 16 && masks.count == 16 * words, "not sixteen groups")
        for use in uses {
            precondition(Int(use.block) < blocks, "a block that no device has")
            precondition(use.plain <= use.planes, "more plain planes than planes")
            precondition(Int(use.firstPlane + use.planes) <= planes.count, "planes are missing")
        }
        (self.uses, self.planes, self.masks) = (uses, planes, masks)
        (self.words, self.blocks) = (words, blocks)
    }

    /// Lends the pointers that the kernel wants.
    @safe
    func withPointers<R>(
        _ body: (UnsafeRawPointer?, UnsafeRawPointer?, UnsafePointer<UInt64>?) -> R
    ) -> R {
        unsafe uses.withUnsafeBytes { uses in
            unsafe planes.withUnsafeBytes { planes in
                unsafe masks.withUnsafeBufferPointer { masks in
                    unsafe body(uses.baseAddress, planes.baseAddress, masks.baseAddress)
                }
            }
        }
    }
}
