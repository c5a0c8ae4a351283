import CLanes
package import KernelBaseline
import KernelV3
import KernelV4

/// The rolling statistics of a group of 16 metrics, for every device: one block of 512 B each.
///
/// Block i is device i. A block is eight vectors of sixteen lanes: last, seen, mean, variance, slow
/// mean, slow variance, CUSUM up, CUSUM down. Blocks start on a cache line and lie side by side in
/// pages of their own, so that growing moves page tables and copies nothing.
@safe
package struct LaneBlocks: ~Copyable {
    package static let bytesPerBlock = 512

    /// What the kernel was built for; all of them compute the same bits.
    package let instructionSet: InstructionSet

    private var state: UnsafeMutablePointer<SIMD16<Float>>
    /// Blocks that may be named.
    package private(set) var count: Int
    /// Blocks that have memory.
    private var capacity: Int

    /// Room for `capacity` devices, none of them counted yet; `grow` makes them usable.
    ///
    /// An instruction set that the processor lacks is replaced by the widest that it has.
    package init(capacity: Int, instructionSet: InstructionSet = .best) {
        self.instructionSet = min(instructionSet, .best)
        self.capacity = max(capacity, LaneBlocks.blocksPerPage)
        count = 0
        guard let pages = unsafe lanes_map(self.capacity * LaneBlocks.bytesPerBlock) else {
            fatalError("out of memory: \(self.capacity) blocks of lane statistics")
        }
        unsafe state = pages.bindMemory(to: SIMD16<Float>.self, capacity: self.capacity * 8)
    }

    deinit { unsafe lanes_unmap(state, capacity * LaneBlocks.bytesPerBlock) }

    /// A page of 4 KiB; less than that the operating system does not lend.
    private static let blocksPerPage = 8

    /// Makes blocks 0 ..< `count` usable; new ones have seen nothing.
    ///
    /// Costs are amortised: the memory doubles. Never shrinks.
    package mutating func grow(to count: Int) {
        guard count > self.count else { return }
        if count > capacity {
            let room = max(count, capacity * 2)
            guard
                let pages = unsafe lanes_remap(
                    state, capacity * LaneBlocks.bytesPerBlock, room * LaneBlocks.bytesPerBlock)
            else { fatalError("out of memory: \(room) blocks of lane statistics") }
            unsafe state = pages.bindMemory(to: SIMD16<Float>.self, capacity: room * 8)
            capacity = room
        }
        for block in self.count..<count { empty(block, all: true, lanes: .max) }
        self.count = count
    }

    /// Forgets the `lanes` of a block, bit i being lane i: a metric that changed its meaning.
    package mutating func reset(block: Int, lanes: UInt16 = .max) {
        check(block)
        empty(block, all: false, lanes: lanes)
    }

    /// Feeds one tick per index, in order: tick i brings `values[i]` at `times[i]` to `blocks[i]`.
    ///
    /// NaN lanes are missing: they change nothing. `times` are event times in milliseconds, modulo
    /// 2³². A device may occur any number of times. The flags of tick i are written to `flags[i]`.
    package mutating func update(
        blocks: Span<UInt32>, times: Span<Int32>, values: Span<SIMD16<Float>>,
        parameters: LaneParameters, flags: inout MutableSpan<TickFlags>
    ) {
        precondition(flags.count >= blocks.count, "too few flags for the batch")
        precondition(values.count == blocks.count, "columns of one batch differ")
        unsafe flags.withUnsafeMutableBytes { flags in
            unsafe run(
                blocks, times, values, nil, parameters,
                flags.baseAddress?.assumingMemoryBound(to: UInt16.self))
        }
    }

    /// The same where tick i brings `values[rows[i]]`, and nobody asks for flags.
    package mutating func update(
        blocks: Span<UInt32>, times: Span<Int32>, values: Span<SIMD16<Float>>, rows: Span<UInt32>,
        parameters: LaneParameters
    ) {
        feed(blocks, times, values, rows, parameters)
    }

    /// The same where nobody asks for statistics: only what came last, and when, is kept.
    ///
    /// A block goes one way or the other; `reset` it when it begins to go the other.
    package mutating func note(
        blocks: Span<UInt32>, times: Span<Int32>, values: Span<SIMD16<Float>>, rows: Span<UInt32>
    ) {
        feed(blocks, times, values, rows, nil)
    }

    private mutating func feed(
        _ blocks: Span<UInt32>, _ times: Span<Int32>, _ values: Span<SIMD16<Float>>,
        _ rows: Span<UInt32>, _ parameters: LaneParameters?
    ) {
        precondition(rows.count == blocks.count, "columns of one batch differ")
        var last: UInt32 = 0
        for i in rows.indices { last = max(last, rows[i]) }
        precondition(rows.isEmpty || Int(last) < values.count, "a row that is not there")
        unsafe rows.withUnsafeBufferPointer { rows in
            unsafe run(blocks, times, values, rows.baseAddress, parameters, nil)
        }
    }

    /// Without parameters nothing but the newest values is kept.
    private mutating func run(
        _ blocks: Span<UInt32>, _ times: Span<Int32>, _ values: Span<SIMD16<Float>>,
        _ rows: UnsafePointer<UInt32>?, _ parameters: LaneParameters?,
        _ flags: UnsafeMutablePointer<UInt16>?
    ) {
        let ticks = blocks.count
        precondition(times.count == ticks, "columns of one batch differ")
        guard ticks > 0 else { return }
        var newest: UInt32 = 0
        for i in blocks.indices { newest = max(newest, blocks[i]) }
        precondition(Int(newest) < count, "a block that was never grown")

        // The state beyond the second-level cache arrives in time only if asked for early; within
        // it the questions cost 5 to 15 %.
        let far = count * LaneBlocks.bytesPerBlock > LaneBlocks.cacheBytes
        let vectors = (parameters ?? LaneParameters()).vectors
        let isNoted = parameters == nil
        let state = unsafe self.state
        let instructionSet = instructionSet
        unsafe blocks.withUnsafeBufferPointer { blocks in
            unsafe times.withUnsafeBufferPointer { times in
                unsafe values.withUnsafeBufferPointer { values in
                    unsafe vectors.span.withUnsafeBufferPointer { vectors in
                        let batch = unsafe lanes_batch(
                            state: state, blocks: blocks.baseAddress,
                            times: times.baseAddress, values: values.baseAddress, rows: rows,
                            parameters: vectors.baseAddress, flags: flags,
                            count: ticks, prefetch: far ? LaneBlocks.prefetchTicks : 0)
                        guard !isNoted else {
                            switch instructionSet {
                            case .baseline: unsafe KernelBaseline.noteLanes(batch)
                            case .v3: unsafe KernelV3.noteLanes(batch)
                            case .v4: unsafe KernelV4.noteLanes(batch)
                            }
                            return
                        }
                        switch instructionSet {
                        case .baseline: unsafe KernelBaseline.updateLanes(batch)
                        case .v3: unsafe KernelV3.updateLanes(batch)
                        case .v4: unsafe KernelV4.updateLanes(batch)
                        }
                    }
                }
            }
        }
    }

    /// The second-level cache of a small server core.
    package static let cacheBytes = 1 << 20

    /// How many ticks ahead the first lines of a block are asked for; the last, a quarter of it.
    package static let prefetchTicks = 96

    /// A copy of one block's vectors.
    package subscript(block: Int) -> LaneBlock {
        check(block)
        let vectors = unsafe state + block * 8
        return unsafe LaneBlock(
            last: vectors[0], seen: unsafeBitCast(vectors[1], to: SIMD16<Int32>.self),
            mean: vectors[2], variance: vectors[3], slowMean: vectors[4],
            slowVariance: vectors[5], cusumUp: vectors[6], cusumDown: vectors[7])
    }

    /// The lanes of a block that have had a value; those with none for `age` milliseconds before
    /// `now`, and those with none for `more`.
    package func lanes(
        of block: Int, notSeenFor age: Int32, or more: Int32, at now: Int32
    ) -> (known: UInt16, late: UInt16, gone: UInt16) {
        check(block)
        let vectors = unsafe state + block * 8
        let known = unsafe vectors[0].presence
        let aged = unsafe lanes_aged(vectors + 1, now, age, more)
        return (
            known, known & UInt16(truncatingIfNeeded: aged),
            known & UInt16(truncatingIfNeeded: aged >> 16)
        )
    }

    /// How many milliseconds before `now` the longest unseen of some lanes of a block was seen.
    package func age(of block: Int, lanes: UInt16, at now: Int32) -> Int32 {
        check(block)
        return unsafe lanes_oldest(state + block * 8 + 1, now, lanes)
    }

    /// A copy of one lane; the slow way to look, for explanations and tests.
    package func lane(block: Int, lane: Int) -> ReferenceLane {
        let vectors = self[block]
        var copy = ReferenceLane()
        copy.last = vectors.last[lane]
        copy.seen = vectors.seen[lane]
        copy.mean = vectors.mean[lane]
        copy.variance = vectors.variance[lane]
        copy.slowMean = vectors.slowMean[lane]
        copy.slowVariance = vectors.slowVariance[lane]
        copy.cusumUp = vectors.cusumUp[lane]
        copy.cusumDown = vectors.cusumDown[lane]
        return copy
    }

    /// Puts a block back as a checkpoint kept it.
    package mutating func restore(_ block: LaneBlock, at index: Int) {
        check(index)
        let vectors = unsafe state + index * 8
        unsafe vectors[0] = block.last
        unsafe vectors[1] = unsafeBitCast(block.seen, to: SIMD16<Float>.self)
        unsafe vectors[2] = block.mean
        unsafe vectors[3] = block.variance
        unsafe vectors[4] = block.slowMean
        unsafe vectors[5] = block.slowVariance
        unsafe vectors[6] = block.cusumUp
        unsafe vectors[7] = block.cusumDown
    }

    /// Lends the bytes of blocks 0 ..< `count`, as a checkpoint writes them.
    package borrowing func withBytes<R, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
        let bytes = unsafe RawSpan(
            _unsafeStart: UnsafeRawPointer(state), byteCount: count * LaneBlocks.bytesPerBlock)
        return try body(bytes)
    }

    private func check(_ block: Int) {
        precondition(block >= 0 && block < count, "a block that was never grown")
    }

    /// With `all`, the memory holds nothing yet that is worth keeping.
    private mutating func empty(_ block: Int, all: Bool, lanes: UInt16) {
        let vectors = unsafe state + block * 8
        let nothing = SIMD16<Float>(repeating: .nan)
        guard !all else {
            for vector in 0..<8 { unsafe vectors[vector] = .zero }
            unsafe vectors[0] = nothing
            unsafe vectors[2] = nothing
            unsafe vectors[4] = nothing
            return
        }
        for lane in 0..<16 where lanes & (1 << UInt16(lane)) != 0 {
            for vector in 0..<8 { unsafe vectors[vector][lane] = 0 }
            unsafe vectors[0][lane] = .nan
            unsafe vectors[2][lane] = .nan
            unsafe vectors[4][lane] = .nan
        }
    }
}

/// A copy of what is known of one device's group of 16 metrics.
package struct LaneBlock: Equatable, Sendable {
    /// NaN where the lane never had a value.
    package var last: SIMD16<Float>
    /// Milliseconds of the newest value, modulo 2³².
    package var seen: SIMD16<Int32>
    /// NaN where the lane never had a value, or nobody asked.
    package var mean: SIMD16<Float>
    package var variance: SIMD16<Float>
    package var slowMean: SIMD16<Float>
    package var slowVariance: SIMD16<Float>
    package var cusumUp: SIMD16<Float>
    package var cusumDown: SIMD16<Float>

    /// Lanes that have had a value.
    package var known: UInt16 { last.presence }

    /// What one deviation is, in the metric's unit, given the floor.
    package func deviation(floor: SIMD16<Float>) -> SIMD16<Float> {
        lanes_sqrt(slowVariance + (floor * floor + LaneParameters.varianceMin))
    }

    /// How far the last value lies from the baseline now, in deviations; NaN where never seen.
    package func z(floor: SIMD16<Float>) -> SIMD16<Float> {
        (last - slowMean) / deviation(floor: floor)
    }
}
