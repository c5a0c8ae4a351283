import CLanes

/// One batch as the kernel sees it: plain pointers, checked by the caller once.
@unsafe
struct KernelBatch {
    /// Block b starts at `state + b * 8`; see `LaneBlocks`.
    let state: UnsafeMutablePointer<SIMD16<Float>>
    let blocks: UnsafePointer<UInt32>
    let times: UnsafePointer<Int32>
    let values: UnsafePointer<SIMD16<Float>>
    let flags: UnsafeMutablePointer<TickFlags>
    let count: Int
    /// Ticks to look ahead; 0 where the state fits the cache.
    let prefetch: Int
}

/// The fast twin of `ReferenceLane.update`: all lanes of every tick of a batch, in arrival order.
///
/// A device may occur many times in a batch. Every lane is computed and the masks choose: a branch
/// would cost more. No closures, generics, ARC or allocation, and of Swift's SIMD only what is one
/// instruction; the rest are the one-liners of CLanes (`.squareRoot()` and `.clamped` cost 20 and
/// 170 ns a vector, `lanes_sqrt` 1).
@inline(never)
func updateLanes(_ batch: borrowing KernelBatch, _ parameters: borrowing LaneParameters) {
    let fastSeconds = parameters.fastSeconds
    let slowSeconds = parameters.slowSeconds
    let floorSquared = parameters.floor * parameters.floor + LaneParameters.varianceMin
    let priorSquared = parameters.prior * parameters.prior
    let threshold = parameters.threshold
    let clip = parameters.clip
    let trust = parameters.trust
    let allowance = parameters.allowance
    let decision = parameters.decision
    let full = decision + decision

    let zero = SIMD16<Float>.zero
    let one = SIMD16<Float>(repeating: 1)
    let valueMax = SIMD16<Float>(repeating: LaneParameters.valueMax)
    let valueMin = SIMD16<Float>(repeating: -LaneParameters.valueMax)
    let evidenceMax = SIMD16<Float>(repeating: LaneParameters.evidenceMax)
    let evidenceMin = SIMD16<Float>(repeating: -LaneParameters.evidenceMax)
    let evidenceSecondsMax = SIMD16<Float>(repeating: LaneParameters.evidenceSecondsMax)
    let slowWeightMax = SIMD16<Float>(repeating: LaneParameters.slowWeightMax)
    let staleMin = SIMD16<Int32>(repeating: -LaneParameters.staleMilliseconds)
    let perThousand = SIMD16<Float>(repeating: 0.001)
    let perSixty = SIMD16<Float>(repeating: 1 / 60)

    let count = unsafe batch.count
    let ahead = unsafe batch.prefetch
    let state = unsafe batch.state
    var i = 0
    while i < count {
        if ahead != 0 && i &+ ahead < count {
            let next = unsafe state + Int(batch.blocks[i &+ ahead]) &* 8
            for line in 0..<8 { unsafe lanes_prefetch(next + line) }
        }
        let block = unsafe state + Int(batch.blocks[i]) &* 8
        let raw = unsafe batch.values[i]
        let time = unsafe SIMD16<Int32>(repeating: batch.times[i])
        let last = unsafe block[0]
        let seen = unsafe unsafeBitCast(block[1], to: SIMD16<Int32>.self)
        let mean = unsafe block[2]
        let variance = unsafe block[3]
        let slowMean = unsafe block[4]
        let slowVariance = unsafe block[5]
        let up = unsafe block[6]
        let down = unsafe block[7]

        let given = raw .== raw
        let value = lanes_min(lanes_max(raw, valueMin), valueMax)
        let fresh = (mean .!= mean) .& given
        let step = time &- seen
        let behind = (step .<= SIMD16<Int32>.zero) .& (step .> staleMin)
        let active = given .& .!behind .& .!fresh
        let elapsed = lanes_abs(lanes_from_int(step)) * perThousand

        let deviation = lanes_sqrt(slowVariance + floorSquared)
        let distance = value - slowMean
        let z = distance / deviation
        let unusual = lanes_abs(z) .> threshold

        let minutes = lanes_min(elapsed, evidenceSecondsMax) * perSixty
        let evidence = lanes_min(lanes_max(z, evidenceMin), evidenceMax)
        let newUp = lanes_min(lanes_max(up + (evidence - allowance) * minutes, zero), full)
        let newDown = lanes_min(lanes_max(down - (evidence + allowance) * minutes, zero), full)
        let shifted = lanes_max(newUp, newDown) .> decision

        let limit = clip * deviation
        let clipped = lanes_min(lanes_max(distance, zero - limit), limit)
        let weight = lanes_min(elapsed / (slowSeconds + elapsed), slowWeightMax)
        let slow = weight.replacing(with: weight * trust, where: unusual)
        let slowStep = slow * clipped
        let newSlowVariance = (one - slow) * (slowVariance + slowStep * clipped)

        let fast = elapsed / (fastSeconds + elapsed)
        let d = value - mean
        let fastStep = fast * d
        let newVariance = (one - fast) * (variance + fastStep * d)

        let used = active .| fresh
        let newSeen = seen.replacing(with: time, where: used)
        unsafe block[0] = last.replacing(with: value, where: used)
        unsafe block[1] = unsafeBitCast(newSeen, to: SIMD16<Float>.self)
        unsafe block[2] = mean.replacing(with: mean + fastStep, where: active)
            .replacing(with: value, where: fresh)
        unsafe block[3] = variance.replacing(with: newVariance, where: active)
            .replacing(with: zero, where: fresh)
        unsafe block[4] = slowMean.replacing(with: slowMean + slowStep, where: active)
            .replacing(with: value, where: fresh)
        unsafe block[5] = slowVariance.replacing(with: newSlowVariance, where: active)
            .replacing(with: priorSquared, where: fresh)
        unsafe block[6] = up.replacing(with: newUp, where: active)
            .replacing(with: zero, where: fresh)
        unsafe block[7] = down.replacing(with: newDown, where: active)
            .replacing(with: zero, where: fresh)

        var flags = TickFlags()
        flags.present = bits(used)
        flags.unusual = bits(unusual .& active)
        flags.shifted = bits(shifted .& active)
        flags.stale = bits(given .& behind .& .!fresh)
        unsafe batch.flags[i] = flags
        i &+= 1
    }
}

@inline(__always)
private func bits(_ mask: SIMDMask<SIMD16<Int32>>) -> UInt16 {
    lanes_bits(unsafe unsafeBitCast(mask, to: SIMD16<Int32>.self))
}
