import Foundation
import KernelBaseline
import RollingStatistics

/// The lane kernel against C, and against the memory.
enum KernelBench {
    /// 1,000 devices: half a megabyte of state, which stays in the second-level cache.
    static func cached(_ settings: Settings, _ library: Library) throws(BenchError) -> [Row] {
        let devices = 1_000
        let ours = KernelSubject(devices: devices, batch: devices)
        let twin = try KernelTwin(devices: devices, batch: devices, library)
        let rounds = 500
        let lanes = Double(rounds * devices * 16)
        func denominator(_ name: String, _ call: @escaping KernelCall) -> Side {
            Side(name: name) { () throws(BenchError) in
                unsafe twin.run(rounds: rounds, call)
                return lanes
            }
        }
        try agree(ours, twin, library)
        let narrow = KernelSubject(devices: devices, batch: devices, .v3)
        let rates = try interleave(
            [
                ours.side(rounds: rounds),
                unsafe denominator(library.kernelName, library.kernel),
                unsafe denominator("C, fused multiply-add", library.kernelFused),
                narrow.side(rounds: rounds),
                unsafe denominator("C, vector extensions, AVX2 at most", library.kernelPlain),
            ], repetitions: settings.repetitions)
        let unit = "lane-updates/s"
        return [
            Row(name: "kernel-l2", unit: unit, ours: rates[0], denominator: rates[1]),
            Row(name: "kernel-l2-fused", unit: unit, ours: rates[0], denominator: rates[2]),
            Row(name: "kernel-l2-v3", unit: unit, ours: rates[3], denominator: rates[4]),
        ]
    }

    /// A million devices in random order: every tick fetches 512 B from memory and returns them.
    ///
    /// The denominator reads, changes and writes as many bytes in order, which no scattered access
    /// can beat; its rate is given in lanes, 64 B each.
    static func scattered(_ settings: Settings, _ library: Library) throws(BenchError) -> [Row] {
        var devices = settings.devices
        // Ours, C's and the stream's state, and as much again for whoever else is at home.
        while devices > 1_000
            && 3 * devices * LaneBlocks.bytesPerBlock > Machine.memoryAvailable / 2
        {
            devices /= 2
        }
        if devices < settings.devices {
            print("kernel-1m-random: only \(devices) devices, for lack of memory")
        }
        let ours = KernelSubject(devices: devices, batch: 4_096)
        let twin = try KernelTwin(devices: devices, batch: 4_096, library)
        let stream = try Pages(count: devices * 128, library)
        let rounds = 1
        let lanes = Double(rounds * ours.ticks * 16)
        let rates = try interleave(
            [
                ours.side(rounds: rounds),
                Side(name: "read-modify-write stream") { () throws(BenchError) in
                    for _ in 0..<rounds { unsafe library.stream(stream.start, stream.count) }
                    return Double(rounds * stream.count * 4 * 2) / 64
                },
                Side(name: library.kernelName) { () throws(BenchError) in
                    unsafe twin.run(rounds: rounds, library.kernel)
                    return lanes
                },
            ], repetitions: settings.repetitions)
        let megabytes = devices * LaneBlocks.bytesPerBlock / 1_000_000
        print("\nkernel-1m-random: \(devices) devices, \(megabytes) MB of state")
        return zip(["kernel-1m-random", "kernel-1m-random-c"], rates.dropFirst()).map {
            Row(name: $0, unit: "lane-updates/s", ours: rates[0], denominator: $1)
        }
    }

    /// Both kernels see the same ticks and must raise the same flags and hold the same state.
    private static func agree(
        _ ours: KernelSubject, _ twin: KernelTwin, _ library: Library
    ) throws(BenchError) {
        for round in 0..<200 {
            ours.run(rounds: 1)
            unsafe twin.run(rounds: 1, library.kernel)
            guard ours.flagWords == twin.flagWords else {
                throw BenchError("in round \(round) the kernels raised different flags")
            }
        }
        guard twin.hasState(of: ours) else {
            throw BenchError("the kernels hold different states after the same ticks")
        }
    }
}

/// The columns of ticks that both kernels read: every device once a round, in a fixed order.
struct TickColumns {
    let batch: Int
    let order: [UInt32]
    /// Fewer than a round's, used in turn, as a decoder's output would be: warm.
    let values: [[SIMD16<Float>]]

    init(devices: Int, batch: Int) {
        let batch = min(batch, devices)
        self.batch = batch
        var generator = SeededGenerator(seed: 7)
        // Whole batches only.
        let whole = devices / batch * batch
        order = (0..<UInt32(devices)).shuffled(using: &generator).prefix(whole).map { $0 }
        values = (0..<4).map { _ in
            (0..<batch).map { _ in
                var tick = SIMD16<Float>()
                for lane in 0..<16 {
                    tick[lane] = 100 + Float.random(in: 0..<2, using: &generator)
                    if Int.random(in: 0..<5_000, using: &generator) == 0 { tick[lane] = .nan }
                }
                return tick
            }
        }
    }
}

/// Our kernel, fed through the door that Detection uses.
final class KernelSubject {
    private let columns: TickColumns
    private var blocks: LaneBlocks
    private var times: [Int32]
    private var flags: [TickFlags]
    private var round: Int32 = 0
    private let parameters = LaneParameters()

    var ticks: Int { columns.order.count }

    init(devices: Int, batch: Int, _ instructionSet: InstructionSet = .best) {
        columns = TickColumns(devices: devices, batch: batch)
        blocks = LaneBlocks(capacity: devices, instructionSet: instructionSet)
        blocks.grow(to: devices)
        times = [Int32](repeating: 0, count: columns.batch)
        flags = [TickFlags](repeating: TickFlags(), count: columns.batch)
    }

    /// `rounds` rounds a call, counted in lanes, or in ticks of 16.
    func side(rounds: Int, inTicks: Bool = false) -> Side {
        let lanes = Double(rounds * ticks * (inTicks ? 1 : 16))
        let what = inTicks ? "kernel ticks of 16 lanes" : "Tocsin"
        return Side(name: "\(what), \(blocks.instructionSet)") { () throws(BenchError) in
            self.run(rounds: rounds)
            return lanes
        }
    }

    func run(rounds: Int) {
        let columns = columns
        let batch = columns.batch
        for _ in 0..<rounds {
            round &+= 1
            for i in 0..<batch { times[i] = round &* 10_000 }
            for start in stride(from: 0, to: columns.order.count, by: batch) {
                let values = columns.values[(start / batch + Int(round)) % 4]
                let order = columns.order.span
                var raised = flags.mutableSpan
                blocks.update(
                    blocks: order.extracting(start..<start + batch), times: times.span,
                    values: values.span, parameters: parameters, flags: &raised)
            }
        }
    }

    /// The flags of the last batch, as C lays them out.
    var flagWords: [UInt16] { flags.flatMap { [$0.present, $0.unusual, $0.shifted, $0.stale] } }

    /// Lanes of the last batch with each flag, in that order.
    var flagCounts: [Int] {
        flags.reduce(into: [0, 0, 0, 0]) { counts, flag in
            counts[0] += flag.present.nonzeroBitCount
            counts[1] += flag.unusual.nonzeroBitCount
            counts[2] += flag.shifted.nonzeroBitCount
            counts[3] += flag.stale.nonzeroBitCount
        }
    }

    /// The ticks, as another process may read them.
    var columnBytes: Data {
        columns.values.reduce(into: Data()) { bytes, column in
            unsafe column.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
        }
    }

    func withState<R>(_ body: (RawSpan) -> R) -> R { blocks.withBytes { bytes in body(bytes) } }
}

/// The C kernel, fed the same columns from the same kind of memory.
@safe
final class KernelTwin {
    private let columns: TickColumns
    private let state: Pages
    private var times: [Int32]
    private(set) var flagWords: [UInt16]
    private var round: Int32 = 0
    private let parameters: [Float]
    private let prefetch: Int

    init(devices: Int, batch: Int, _ library: Library) throws(BenchError) {
        columns = TickColumns(devices: devices, batch: batch)
        state = try Pages(count: devices * 128, library)
        for device in 0..<devices {
            // A lane that has seen nothing: last, mean and slow mean are NaN.
            for vector in [0, 2, 4] {
                for lane in 0..<16 { unsafe state.start[device * 128 + vector * 16 + lane] = .nan }
            }
        }
        times = [Int32](repeating: 0, count: columns.batch)
        flagWords = [UInt16](repeating: 0, count: columns.batch * 4)
        let all = LaneParameters()
        let fields = [
            all.fastSeconds, all.slowSeconds, all.floor, all.prior, all.threshold, all.clip,
            all.trust, all.allowance, all.decision,
        ]
        parameters = fields.flatMap { field in (0..<16).map { field[$0] } }
        prefetch =
            devices * LaneBlocks.bytesPerBlock > LaneBlocks.cacheBytes
            ? LaneBlocks.prefetchTicks : 0
    }

    func run(rounds: Int, _ call: KernelCall) {
        let batch = columns.batch
        for _ in 0..<rounds {
            round &+= 1
            for i in 0..<batch { times[i] = round &* 10_000 }
            for start in stride(from: 0, to: columns.order.count, by: batch) {
                let values = columns.values[(start / batch + Int(round)) % 4]
                unsafe columns.order.withUnsafeBufferPointer { order in
                    unsafe values.withUnsafeBytes { values in
                        guard let block = order.baseAddress, let value = values.baseAddress
                        else { return }
                        unsafe call(
                            state.start, block + start, times,
                            value.assumingMemoryBound(to: Float.self), batch, parameters,
                            &flagWords, prefetch)
                    }
                }
            }
        }
    }

    func hasState(of subject: KernelSubject) -> Bool {
        subject.withState { ours in
            let theirs = unsafe UnsafeRawBufferPointer(start: state.start, count: ours.byteCount)
            guard theirs.count <= state.count * 4 else { return false }
            for offset in stride(from: 0, to: ours.byteCount, by: 4) {
                let a = unsafe ours.unsafeLoad(fromByteOffset: offset, as: UInt32.self)
                let b = unsafe theirs.load(fromByteOffset: offset, as: UInt32.self)
                guard a == b else { return false }
            }
            return true
        }
    }
}

/// Floats in pages of their own, released with the last reference.
@safe
final class Pages {
    let start: UnsafeMutablePointer<Float>
    let count: Int
    private let library: Library

    init(count: Int, _ library: Library) throws(BenchError) {
        guard let pages = unsafe library.pages(count * 4) else {
            throw BenchError("no memory for \(count * 4) bytes of state; try fewer --devices")
        }
        unsafe start = pages.bindMemory(to: Float.self, capacity: count)
        self.count = count
        self.library = library
    }

    deinit { unsafe library.release(start, count * 4) }
}
