public import CLanes
package import KernelBaseline
import KernelV3
import KernelV4

/// One limit on each lane of a metric group, as `lanes_plane` in C.
package struct LanePlane: Sendable {
    /// It may be broken by values between the two, exclusive; NaN where there is no such limit.
    package var low = SIMD16<Float>(repeating: .nan)
    package var high = SIMD16<Float>(repeating: .nan)
    /// Seconds for which the value must have been the same.
    package var still = SIMD16<Int32>(repeating: .min)
    /// Lanes that have a limit here.
    package var lanes: UInt16 = 0
    /// Which sixteen marks it fills: 16 w … 16 w + 15, by lane.
    package var word: UInt16

    /// Some limit asks how long the value was the same.
    package var asksStill: Bool { still != SIMD16(repeating: .min) }

    /// A plane without a limit; there are 16 words.
    package init(word: Int) { self.word = UInt16(word & 15) }
}

/// The newest value of each lane, when it was seen and since when it has been the same.
///
/// Sixteen lanes side by side make a block of three vectors, 192 B, and are stored at once. Times
/// are whole seconds since a moment of the caller's choice. Public, so that reading is inlined.
@safe
public struct LaneRegisters: ~Copyable {
    /// Lanes that may be named.
    package private(set) var count = 0
    /// What the code that stores was built for; all of them store the same bits.
    private let instructionSet: InstructionSet
    private var state: UnsafeMutablePointer<SIMD16<Float>>
    /// Blocks that have memory.
    private var capacity = LaneRegisters.blocksMin

    private static let bytesPerBlock = 192
    private static let blocksMin = 64

    /// Registers of no lane yet.
    ///
    /// An instruction set that the processor lacks is replaced by the widest that it has.
    package init(instructionSet: InstructionSet = .best) {
        self.instructionSet = min(instructionSet, .best)
        guard let pages = unsafe lanes_map(capacity * LaneRegisters.bytesPerBlock) else {
            fatalError("out of memory: \(capacity) blocks of registers")
        }
        unsafe state = pages.bindMemory(to: SIMD16<Float>.self, capacity: capacity * 3)
    }

    deinit { unsafe lanes_unmap(state, capacity * LaneRegisters.bytesPerBlock) }

    package var bytes: Int { count * LaneRegisters.bytesPerBlock / 16 }

    /// Makes room for `count` lanes, a multiple of sixteen.
    ///
    /// New ones have seen nothing. Costs are amortised: the memory doubles. Never shrinks.
    package mutating func grow(to count: Int) {
        guard count > self.count else { return }
        let blocks = (count + 15) / 16
        if blocks > capacity {
            let room = max(blocks, capacity * 2)
            guard
                let pages = unsafe lanes_remap(
                    state, capacity * LaneRegisters.bytesPerBlock,
                    room * LaneRegisters.bytesPerBlock)
            else { fatalError("out of memory: \(room) blocks of registers") }
            unsafe state = pages.bindMemory(to: SIMD16<Float>.self, capacity: room * 3)
            capacity = room
        }
        let never = unsafe unsafeBitCast(
            SIMD16<Int32>(repeating: .min), to: SIMD16<Float>.self)
        for block in self.count / 16..<blocks {
            unsafe state[block * 3] = SIMD16(repeating: .nan)
            unsafe state[block * 3 + 1] = never
            unsafe state[block * 3 + 2] = never
        }
        self.count = blocks * 16
    }

    /// The newest value of a lane, NaN where there never was one; when it was seen; and when it was
    /// first seen without another one, or a gap, since.
    public subscript(place: Int) -> (value: Float, seen: Int32, since: Int32) {
        precondition(place >= 0 && place < count, "a lane that was never grown")
        let block = unsafe UnsafeRawPointer(state + (place >> 4) * 3) + (place & 15) * 4
        return unsafe (
            block.load(as: Float.self), block.load(fromByteOffset: 64, as: Int32.self),
            block.load(fromByteOffset: 128, as: Int32.self)
        )
    }

    /// The sixteen values from `place` on, where a block begins.
    package func vector(at place: Int) -> SIMD16<Float> {
        precondition(place >= 0 && place < count, "a lane that was never grown")
        return unsafe state[(place >> 4) * 3]
    }

    /// Stores the `present` lanes of a tick in the block at `place`, and marks those that may be
    /// beyond a limit: bit b of the marks is bit b % 16 of word b / 16.
    ///
    /// After a silence of more than `gapMax` seconds nobody knows that the value stayed.
    ///
    /// - Returns: whether a mark changed.
    package mutating func store(
        _ lanes: SIMD16<Float>, _ present: UInt16, second: Int32, gapMax: Int32, at place: Int,
        planes: Span<LanePlane>, marks: inout SIMD4<UInt64>
    ) -> Bool {
        precondition(place >= 0 && place < count, "a lane that was never grown")
        let block = unsafe state + (place >> 4) * 3
        let instructionSet = instructionSet
        return unsafe withUnsafeMutableBytes(of: &marks) { marks in
            unsafe withUnsafePointer(to: lanes) { lanes in
                unsafe planes.withUnsafeBufferPointer { planes in
                    let tick = unsafe lanes_tick(
                        block: block, lanes: lanes, planes: planes.baseAddress,
                        marks: marks.baseAddress?.assumingMemoryBound(to: UInt16.self),
                        planes_count: Int32(planes.count), plain_count: 0, now: second, gap: gapMax,
                        present: present)
                    return switch instructionSet {
                    case .baseline: unsafe KernelBaseline.rememberLanes(tick)
                    case .v3: unsafe KernelV3.rememberLanes(tick)
                    case .v4: unsafe KernelV4.rememberLanes(tick)
                    }
                }
            }
        }
    }

    /// Stores `rows` of a batch, with the values of their lanes, up to and including the first that is
    /// not like the others.
    ///
    /// It changed a mark, its gates are not those of its device, its device is ready for something, it
    /// is the one at `due`, or `fed` may have no place for the next one. Times are seconds since
    /// `epoch`. What leaves keep lies in `numbers` and `times`, so many of each for every device.
    ///
    /// - Returns: which row that is, or the end of the range; how many rows up to there stand in `fed`
    ///   because somebody must be fed with them; and the lanes of which that row changed a mark.
    package mutating func store(
        _ rows: Span<ScoredRow>, _ lanes: Span<SIMD16<Float>>, in range: Range<Int>, due: Int,
        _ uses: LaneUses, epoch: Int64, gapMax: Int32, marks: inout [SIMD4<UInt64>],
        gates: [UInt16], ready: [UInt64], numbers: inout [Float], times: inout [Int64],
        strides: (numbers: Int, times: Int), fed: inout [FedRow]
    ) -> (row: Int, fed: Int, marked: UInt16) {
        precondition(fed.count >= uses.fedMax, "no place for rows to feed somebody with")
        precondition(range.upperBound <= min(rows.count, lanes.count), "rows that are not there")
        precondition(
            strides.numbers >= uses.numbers && strides.times >= uses.times,
            "numbers or times that no device has")
        let room = uses.blocks == 0 ? Int.max : count / 16 / uses.blocks
        var devices = min(marks.count, gates.count, ready.count / uses.words, room)
        if uses.numbers > 0 {
            devices = min(
                devices, numbers.count / strides.numbers, times.count / strides.times)
        }
        let state = unsafe self.state
        let instructionSet = instructionSet
        let found = unsafe rows.withUnsafeBytes { rows in
            unsafe lanes.withUnsafeBytes { lanes in
                unsafe marks.withUnsafeMutableBytes { marks in
                    unsafe gates.withUnsafeBufferPointer { gates in
                        unsafe ready.withUnsafeBufferPointer { ready in
                            unsafe numbers.withUnsafeMutableBufferPointer { numbers in
                                unsafe times.withUnsafeMutableBytes { times in
                                    unsafe fed.withUnsafeMutableBytes { fed in
                                        uses.withPointers {
                                            asked, planes, gatherings, widenings, masks in
                                            let job = unsafe lanes_rows(
                                                state: state, rows: rows.baseAddress,
                                                lanes: lanes.baseAddress, uses: asked,
                                                planes: planes, gatherings: gatherings,
                                                widenings: widenings,
                                                numbers: numbers.baseAddress,
                                                times: times.baseAddress?
                                                    .assumingMemoryBound(to: Int.self),
                                                number_stride: strides.numbers,
                                                time_stride: strides.times,
                                                marks: marks.baseAddress?
                                                    .assumingMemoryBound(to: UInt16.self),
                                                gates: gates.baseAddress, ready: ready.baseAddress,
                                                masks: masks, words: uses.words,
                                                blocks: uses.blocks, devices: devices,
                                                first: range.lowerBound, end: range.upperBound,
                                                due: due, epoch: Int(epoch), gap: gapMax,
                                                fed: fed.baseAddress,
                                                fed_max: fed.count / MemoryLayout<FedRow>.stride
                                                    - uses.fedMax + 1,
                                                prefetch: LaneRegisters.rowsAhead)
                                            return switch instructionSet {
                                            case .baseline: unsafe KernelBaseline.rememberRows(job)
                                            case .v3: unsafe KernelV3.rememberRows(job)
                                            case .v4: unsafe KernelV4.rememberRows(job)
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        return (found.row, found.fed, found.marked)
    }

    /// How many rows ahead the registers of a row are asked for.
    private static let rowsAhead: Int32 = 6

    /// Takes over a block as another set of registers had it.
    package mutating func copy(
        block source: Int, of other: borrowing LaneRegisters, to place: Int
    ) {
        precondition(source >= 0 && source < other.count, "a lane that was never grown")
        precondition(place >= 0 && place < count, "a lane that was never grown")
        for vector in 0..<3 {
            unsafe state[(place >> 4) * 3 + vector] = other.state[(source >> 4) * 3 + vector]
        }
    }

    /// Asks for the block at `place`, which is stored to soon.
    public func prefetch(_ place: Int) {
        guard place >= 0, place < count else { return }
        unsafe lanes_ask(state + (place >> 4) * 3, LaneRegisters.bytesPerBlock)
    }
}

extension MutableSpan where Element == SIMD16<Float> {
    /// One lane of a vector, without moving the other fifteen.
    @inlinable @inline(__always)
    package func value(in lane: Int, of index: Int) -> Float {
        span.value(in: lane, of: index)
    }

    /// Sets one lane where it lies, without moving the other fifteen.
    @inlinable @inline(__always)
    package mutating func put(_ value: Float, in lane: Int, of index: Int) {
        precondition(index >= 0 && index < count, "a vector that is not there")
        unsafe withUnsafeMutableBufferPointer { vectors in
            guard let first = vectors.baseAddress else { return }
            unsafe lanes_put(first + index, Int32(truncatingIfNeeded: lane), value)
        }
    }
}

extension Span where Element == SIMD16<Float> {
    /// One lane of a vector, without moving the other fifteen.
    @inlinable @inline(__always)
    package func value(in lane: Int, of index: Int) -> Float {
        precondition(index >= 0 && index < count, "a vector that is not there")
        return unsafe withUnsafeBytes { bytes in
            unsafe bytes.loadUnaligned(
                fromByteOffset: index &* 64 &+ (lane & 15) &* 4, as: Float.self)
        }
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
}
