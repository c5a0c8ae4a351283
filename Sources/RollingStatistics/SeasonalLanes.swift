import CLanes

/// Seasonal profiles for a group of 16 metrics of every device, sixteen at a time.
///
/// The same arithmetic as `SeasonalProfile`, lane by lane. Memory is bin-major, `[bin][device]`, two
/// vectors each: the hour that is now is a slab of its own, 128 B per device, and a slab exists from
/// the first visit to its bin. All 168 bins of 100,000 devices are 2.2 GB: `devicesMax` bounds what
/// may be asked for, and devices beyond it have no profile.
package struct SeasonalLanes: ~Copyable {
    /// One tick, seen against its hour.
    package struct Reading: Equatable, Sendable {
        /// What is usual now; NaN where the hour was not visited twice.
        package var usual: SIMD16<Float>
        /// Deviations above it; NaN where there is no value or nothing usual.
        package var z: SIMD16<Float>
    }

    package let settings: SeasonalProfile.Settings
    package let devicesMax: Int
    package private(set) var count = 0
    private let floorSquared: SIMD16<Float>

    /// By bin, then two vectors a device: the mean, NaN before the first visit, and the variance,
    /// NaN before the second.
    private var slabs: [[SIMD16<Float>]]
    /// Three vectors a device: how many values this visit brought, their mean, their squares.
    private var visits: [SIMD16<Float>] = []
    private var slots: [Int64] = []

    /// - Parameters:
    ///   - settings: `floor` is not used.
    ///   - floor: the deviation of each metric below which nothing counts as unusual.
    ///   - devicesMax: the bound on memory.
    package init(_ settings: SeasonalProfile.Settings, floor: SIMD16<Float>, devicesMax: Int) {
        self.settings = settings
        self.devicesMax = max(devicesMax, 0)
        floorSquared = floor * floor + LaneParameters.varianceMin
        slabs = [[SIMD16<Float>]](repeating: [], count: max(settings.bins, 1))
    }

    /// Makes devices 0 ..< `count` known, up to `devicesMax`.
    package mutating func grow(to count: Int) {
        let count = min(count, devicesMax)
        guard count > self.count else { return }
        visits.append(contentsOf: repeatElement(.zero, count: 3 * (count - self.count)))
        slots.append(contentsOf: repeatElement(.min, count: count - self.count))
        self.count = count
    }

    /// Bytes that the profiles hold.
    package var bytes: Int {
        slabs.reduce(visits.count + slots.count / 8) { $0 + $1.count } * 64
    }

    /// Scores one tick against what is usual at its time, then learns from it.
    ///
    /// - Returns: nil for a device beyond the bound.
    package mutating func update(
        device: Int, at milliseconds: Int64, _ tick: SIMD16<Float>
    ) -> Reading? {
        guard device >= 0 && device < count else { return nil }
        let slot = settings.slot(milliseconds)
        let late = slot < slots[device] && slot >= slots[device] - 1
        if slot != slots[device] && !late {
            fold(device: device)
            slots[device] = slot
        }
        let reading = score(device: device, at: milliseconds, tick)
        guard !late else { return reading }
        let given = lanes_abs(tick) .<= SIMD16<Float>(repeating: LaneParameters.valueMax)
        let first = device * 3
        let one = SIMD16<Float>(repeating: 1)
        let number = visits[first].replacing(with: visits[first] + one, where: given)
        let before = tick - visits[first + 1]
        let mean = visits[first + 1] + before / number
        let residual = tick - reading.usual
        let square = (before * (tick - mean))
            .replacing(with: residual * residual, where: residual .== residual)
        visits[first] = number
        visits[first + 1] = visits[first + 1].replacing(with: mean, where: given)
        visits[first + 2] = visits[first + 2]
            .replacing(with: visits[first + 2] + square, where: given)
        return reading
    }

    /// How a tick looks against what is usual at its time; learns nothing.
    package func score(
        device: Int, at milliseconds: Int64, _ tick: SIMD16<Float>
    ) -> Reading {
        let nothing = SIMD16<Float>(repeating: .nan)
        let slot = settings.slot(milliseconds)
        let (mean, variance) = self[settings.bin(slot), device]
        let (bin, share) = settings.neighbour(milliseconds, of: slot)
        let (otherMean, otherVariance) = self[bin, device]
        let known = variance .== variance
        let both = known .& (otherVariance .== otherVariance)
        let part = SIMD16<Float>(repeating: share)
        let usual = nothing.replacing(with: mean, where: known)
            .replacing(with: mean + part * (otherMean - mean), where: both)
        let spread =
            variance
            .replacing(with: variance + part * (otherVariance - variance), where: both)
        let z = (tick - usual) / lanes_sqrt(spread + floorSquared)
        return Reading(
            usual: usual, z: z.replacing(with: nothing, where: lanes_abs(z) .== .infinity))
    }

    /// Closes the visit that `device` is on, as its first tick in the next bin does.
    package mutating func fold(device: Int) {
        let first = device * 3
        let number = visits[first]
        let visited = number .> SIMD16<Float>.zero
        guard any(visited) else { return }
        let bin = settings.bin(slots[device])
        allocate(bin, device)
        let (old, oldVariance) = self[bin, device]
        let mean = visits[first + 1]
        let within = visits[first + 2] / number
        let away = mean - old
        let zero = SIMD16<Float>.zero

        // Third visit and later: clipped, as in the scalar form.
        let clip = SIMD16<Float>(repeating: SeasonalProfile.Settings.clip)
        let limit = clip * lanes_sqrt(oldVariance + floorSquared)
        let step = lanes_min(lanes_max(away, zero - limit), limit)
        let spread = lanes_min(within, limit * limit)
        let weight = SIMD16<Float>(repeating: settings.weight)
        let never = (old .!= old) .& visited
        let once = (old .== old) .& (oldVariance .!= oldVariance) .& visited
        let often = (oldVariance .== oldVariance) .& visited
        let half = SIMD16<Float>(repeating: 0.5)
        slabs[bin][device * 2] =
            old
            .replacing(with: mean, where: never)
            .replacing(with: old + half * away, where: once)
            .replacing(with: old + weight * step, where: often)
        slabs[bin][device * 2 + 1] =
            oldVariance
            .replacing(with: within + away * away, where: once)
            .replacing(with: oldVariance + weight * (spread - oldVariance), where: often)
        for vector in 0..<3 { visits[first + vector] = zero }
    }

    private subscript(bin: Int, device: Int) -> (mean: SIMD16<Float>, variance: SIMD16<Float>) {
        guard device * 2 + 1 < slabs[bin].count else {
            return (SIMD16(repeating: .nan), SIMD16(repeating: .nan))
        }
        return (slabs[bin][device * 2], slabs[bin][device * 2 + 1])
    }

    private mutating func allocate(_ bin: Int, _ device: Int) {
        let missing = (device + 1) * 2 - slabs[bin].count
        guard missing > 0 else { return }
        slabs[bin].append(
            contentsOf: repeatElement(SIMD16<Float>(repeating: .nan), count: missing))
    }
}
