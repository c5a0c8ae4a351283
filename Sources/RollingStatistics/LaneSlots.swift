import CLanes
package import KernelBaseline
import KernelV3
import KernelV4

/// The newest tick of one group of one device, as `lanes_slot` in C.
private struct LaneSlot: BitwiseCopyable {
    /// Milliseconds of event time.
    private let newest: Int64
    fileprivate var counters: Int32
    private let present: UInt16
    private var isInRun: Bool

    init() { (newest, counters, present, isInRun) = (.min, -1, 0, false) }

    fileprivate mutating func release() { isInRun = false }
}

/// What one row of a batch is to its device and group, as `lanes_place` in C.
///
/// Public, so that it is inlined.
public struct LanePlace: BitwiseCopyable, Sendable {
    /// Its slot; or why it has none.
    package var slot: Int32
    /// Lanes that it brings values in.
    package let carried: UInt16
    /// Those of them that had the same value at the same time before.
    package let again: UInt16
    /// Lanes that counters fill.
    package let counted: UInt16
    /// How many counters it reads, and how many of them were read before.
    package let readings: UInt8
    package let repeats: UInt8
    /// It is the first row of a message that is newer than all that its device sent before.
    package var isNewer: Bool

    /// One that is not sorted yet.
    public init() {
        slot = -1
        (carried, again, counted) = (0, 0, 0)
        (readings, repeats, isNewer) = (0, 0, false)
    }

    package static var unsorted: Int32 { -1 }
    /// Older than the newest of its slot.
    package static var late: Int32 { -2 }
    package static var future: Int32 { -3 }
    package static var noDevice: Int32 { -4 }
}

/// The last reading of a counter, as `lanes_counter` in C.
private struct LaneCounter: BitwiseCopyable {
    private let value: Double
    private let time: Int64

    /// One that was never read.
    init() { (value, time) = (.nan, .min) }
}

/// What a counter rose by between two readings, as `lanes_increase` in C.
package struct Increase: BitwiseCopyable, Sendable {
    package let row: Int32
    package let lane: UInt8
    /// It fell, so it counts from zero again; `amount` is what it reads since.
    package let wasReset: Bool
    package let amount: Float

    fileprivate init() { (row, lane, wasReset, amount) = (0, 0, false, 0) }
}

/// The newest tick of each group of each device, and the runs in which rows go to the kernel.
///
/// Slot s is block s of the statistics. About 84 B stand behind each, and 256 more where it counts.
@safe
package struct LaneSlots: ~Copyable {
    /// Rows of one group that a run holds at most.
    private static let room = 512
    private static let groups = 16
    /// How many rows ahead the slot of a row is asked for: beside the batches that pass through them,
    /// caches keep little of what is known of devices, however few these are.
    private static let rowsAhead: Int32 = 8
    /// How many readings ahead the counters of a reading are.
    private static let readingsAhead = 16

    private let instructionSet: InstructionSet
    /// By device and group; -1 where it never sent that group.
    private var slotOf: [Int32] = []
    /// Groups of which a slot is in the runs only once, bit g; change it when the runs are empty.
    package var once: UInt16 = 0
    package private(set) var count = 0
    /// Slots that have memory.
    private var capacity = 1_024
    private var slots: UnsafeMutablePointer<LaneSlot>
    /// By slot: the newest value of each lane.
    private var newest: UnsafeMutablePointer<SIMD16<Float>>
    /// By group: how many rows are in its run; the block that each goes to, its time, and which row
    /// of the batch brings the values.
    private let counts: UnsafeMutablePointer<Int>
    private let blocks: UnsafeMutablePointer<UInt32>
    private let times: UnsafeMutablePointer<Int32>
    private let sources: UnsafeMutablePointer<UInt32>
    /// Sixteen for each slot that has some.
    private var counters: [LaneCounter] = []
    /// What the batch in work may fill.
    private var risen: [Increase] = []

    /// None yet; an instruction set that the processor lacks is replaced by the widest that it has.
    package init(instructionSet: InstructionSet = .best) {
        self.instructionSet = min(instructionSet, .best)
        guard let slots = unsafe lanes_map(capacity * MemoryLayout<LaneSlot>.stride),
            let newest = unsafe lanes_map(capacity * 64)
        else { fatalError("out of memory: \(capacity) slots of metric groups") }
        unsafe self.slots = slots.bindMemory(to: LaneSlot.self, capacity: capacity)
        unsafe self.newest = newest.bindMemory(to: SIMD16<Float>.self, capacity: capacity)
        let rows = LaneSlots.groups * LaneSlots.room
        unsafe counts = .allocate(capacity: LaneSlots.groups)
        unsafe counts.initialize(repeating: 0, count: LaneSlots.groups)
        unsafe blocks = .allocate(capacity: rows)
        unsafe times = .allocate(capacity: rows)
        unsafe sources = .allocate(capacity: rows)
    }

    deinit {
        unsafe lanes_unmap(slots, capacity * MemoryLayout<LaneSlot>.stride)
        unsafe lanes_unmap(newest, capacity * 64)
        unsafe counts.deallocate()
        unsafe blocks.deallocate()
        unsafe times.deallocate()
        unsafe sources.deallocate()
    }

    /// Bytes behind all slots and devices.
    package var bytes: Int {
        count * (MemoryLayout<LaneSlot>.stride + 64) + slotOf.count * 4
            + counters.count * MemoryLayout<LaneCounter>.stride
    }

    /// Makes room for the groups of `devices` devices, none of which is there yet.
    package mutating func grow(devices: Int) {
        guard devices * LaneSlots.groups > slotOf.count else { return }
        let more = devices * LaneSlots.groups - slotOf.count
        slotOf.append(contentsOf: repeatElement(-1, count: more))
    }

    /// The groups that a device has sent, bit g, and their slots.
    package func groups(of device: Int) -> (sent: UInt16, slots: SIMD16<Int32>) {
        precondition(device >= 0 && device < slotOf.count / 16, "a device without slots")
        let slots = unsafe slotOf.withUnsafeBytes {
            unsafe $0.loadUnaligned(fromByteOffset: device &* 64, as: SIMD16<Int32>.self)
        }
        return ((slots .>= SIMD16<Int32>.zero).bits, slots)
    }

    /// The slot of a group of a device; nil where it never sent that.
    package func slot(of device: Int, group: Int) -> Int? {
        let slot = slotOf[device * LaneSlots.groups + group]
        return slot < 0 ? nil : Int(slot)
    }

    /// Gives a group of a device, by its place in `slotOf`, the next slot.
    ///
    /// Costs are amortised: the memory doubles.
    private mutating func add(_ place: Int) {
        if count == capacity {
            let size = MemoryLayout<LaneSlot>.stride
            guard let slots = unsafe lanes_remap(slots, capacity * size, 2 * capacity * size),
                let newest = unsafe lanes_remap(newest, capacity * 64, 2 * capacity * 64)
            else { fatalError("out of memory: \(2 * capacity) slots of metric groups") }
            capacity *= 2
            unsafe self.slots = slots.bindMemory(to: LaneSlot.self, capacity: capacity)
            unsafe self.newest = newest.bindMemory(to: SIMD16<Float>.self, capacity: capacity)
        }
        unsafe slots[count] = LaneSlot()
        unsafe newest[count] = SIMD16(repeating: .nan)
        slotOf[place] = Int32(count)
        count += 1
    }

    /// Holds rows against the newest tick of their slot and puts them into the runs of their groups.
    ///
    /// A row lies in 32 bytes as `lanes_arrival` in C. Places that are not `unsorted` are passed over.
    ///
    /// - Returns: the first row that must wait until the runs were fed on, or the end of the range.
    package mutating func sort<Row: BitwiseCopyable>(
        _ rows: Span<Row>, _ lanes: Span<SIMD16<Float>>, _ places: inout MutableSpan<LanePlace>,
        in range: Range<Int>
    ) -> Int {
        precondition(
            MemoryLayout<Row>.stride == MemoryLayout<lanes_arrival>.stride, "rows of another kind")
        let known = min(rows.count, lanes.count, places.count)
        precondition(range.lowerBound >= 0 && range.upperBound <= known, "rows that are not there")
        var next = range.lowerBound
        while next < range.upperBound {
            next = sortKnown(rows, lanes, &places, next..<range.upperBound)
            guard next < range.upperBound else { break }
            let waiting = unsafe rows.withUnsafeBytes {
                unsafe $0.load(
                    fromByteOffset: next * MemoryLayout<Row>.stride, as: lanes_arrival.self)
            }
            let place = Int(waiting.device) * LaneSlots.groups + Int(waiting.group)
            // One that must wait has a slot.
            guard slotOf[place] < 0 else { break }
            add(place)
        }
        return next
    }

    /// - Returns: the first row that must wait, or has no slot yet; or the end of the range.
    private func sortKnown<Row: BitwiseCopyable>(
        _ rows: Span<Row>, _ lanes: Span<SIMD16<Float>>, _ places: inout MutableSpan<LanePlace>,
        _ range: Range<Int>
    ) -> Int {
        let (slots, newest, counts) = unsafe (self.slots, self.newest, self.counts)
        let (blocks, times, sources) = unsafe (self.blocks, self.times, self.sources)
        return unsafe rows.withUnsafeBytes { rows in
            unsafe lanes.withUnsafeBytes { lanes in
                unsafe places.withUnsafeMutableBytes { places in
                    unsafe slotOf.withUnsafeBufferPointer { slotOf in
                        let job = unsafe lanes_sorting(
                            rows: rows.baseAddress, lanes: lanes.baseAddress,
                            places: places.baseAddress, slot_of: slotOf.baseAddress,
                            devices: slotOf.count / LaneSlots.groups, slots: slots, newest: newest,
                            blocks: blocks, times: times, sources: sources, counts: counts,
                            room: LaneSlots.room, first: range.lowerBound, end: range.upperBound,
                            once: UInt32(once), prefetch: LaneSlots.rowsAhead)
                        return switch instructionSet {
                        case .baseline: unsafe KernelBaseline.sortRows(job)
                        case .v3: unsafe KernelV3.sortRows(job)
                        case .v4: unsafe KernelV4.sortRows(job)
                        }
                    }
                }
            }
        }
    }

    /// Turns readings of counters into increases per second in the lanes of their rows, which were
    /// sorted: those before row `end`, from `reading` on.
    ///
    /// A row lies in 32 bytes as `lanes_arrival` in C, a reading in 16 as `lanes_reading`; readings go
    /// in order of rows. What a counter rose by is put into `increases` where it is `asked` for, by
    /// group.
    package mutating func count<Row: BitwiseCopyable, Reading: BitwiseCopyable>(
        _ readings: Span<Reading>, from reading: inout Int, of rows: Span<Row>, before end: Int,
        _ lanes: inout MutableSpan<SIMD16<Float>>, _ places: inout MutableSpan<LanePlace>,
        asked: [UInt16], into increases: inout [Increase]
    ) {
        precondition(
            MemoryLayout<Row>.stride == MemoryLayout<lanes_arrival>.stride
                && MemoryLayout<Reading>.stride == MemoryLayout<lanes_reading>.stride,
            "columns of another kind")
        let known = min(rows.count, lanes.count, places.count)
        precondition(end <= known && reading >= 0, "rows that are not there")
        precondition(asked.count >= LaneSlots.groups, "groups that are not there")
        while risen.count < readings.count { risen.append(Increase()) }
        while true {
            let found = countKnown(readings, reading, rows, end, &lanes, &places, asked)
            reading = found.reading
            if found.increases > 0 { increases.append(contentsOf: risen[..<found.increases]) }
            guard reading < readings.count else { return }
            let waiting = unsafe readings.withUnsafeBytes {
                unsafe $0.load(
                    fromByteOffset: reading * MemoryLayout<Reading>.stride, as: lanes_reading.self)
            }
            guard Int(waiting.row) < end else { return }
            unsafe slots[Int(places[Int(waiting.row)].slot)].counters = Int32(counters.count)
            counters.append(contentsOf: repeatElement(LaneCounter(), count: 16))
        }
    }

    /// As far as there are counters.
    private mutating func countKnown<Row: BitwiseCopyable, Reading: BitwiseCopyable>(
        _ readings: Span<Reading>, _ reading: Int, _ rows: Span<Row>, _ end: Int,
        _ lanes: inout MutableSpan<SIMD16<Float>>, _ places: inout MutableSpan<LanePlace>,
        _ asked: [UInt16]
    ) -> lanes_counted {
        let slots = unsafe slots
        return unsafe readings.withUnsafeBytes { readings in
            unsafe rows.withUnsafeBytes { rows in
                unsafe lanes.withUnsafeMutableBytes { lanes in
                    unsafe places.withUnsafeMutableBytes { places in
                        unsafe counters.withUnsafeMutableBytes { counters in
                            unsafe risen.withUnsafeMutableBytes { risen in
                                unsafe asked.withUnsafeBufferPointer { asked in
                                    unsafe lanes_count(
                                        lanes_counting(
                                            readings: readings.baseAddress, reading: reading,
                                            readings_count: readings.count
                                                / MemoryLayout<lanes_reading>.stride,
                                            rows: rows.baseAddress, places: places.baseAddress,
                                            slots: slots, lanes: lanes.baseAddress,
                                            counters: counters.baseAddress,
                                            asked: asked.baseAddress,
                                            increases: risen.baseAddress, end: end,
                                            prefetch: LaneSlots.readingsAhead))
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Feeds the run of each group to the kernel and empties it.
    ///
    /// `values` are those of the batch that was sorted, `parameters` go by group. Of the groups that
    /// are not in `asked`, bit g, only what came last is kept.
    package mutating func feed(
        _ values: Span<SIMD16<Float>>, to lanes: inout LaneBlocks, _ parameters: [LaneParameters],
        asked: UInt16 = .max
    ) {
        for group in 0..<LaneSlots.groups {
            let count = unsafe counts[group]
            guard count > 0 else { continue }
            let first = group * LaneSlots.room
            let blocks = unsafe Span(_unsafeStart: self.blocks + first, count: count)
            if once & (1 << UInt16(group)) != 0 {
                for place in blocks.indices { unsafe slots[Int(blocks[place])].release() }
            }
            let times = unsafe Span(_unsafeStart: times + first, count: count)
            let sources = unsafe Span(_unsafeStart: sources + first, count: count)
            if asked & (1 << UInt16(group)) != 0 {
                lanes.update(
                    blocks: blocks, times: times, values: values, rows: sources,
                    parameters: parameters[group])
            } else {
                lanes.note(blocks: blocks, times: times, values: values, rows: sources)
            }
            unsafe counts[group] = 0
        }
    }
}
