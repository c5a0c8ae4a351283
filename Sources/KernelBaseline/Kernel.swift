package import CLanes

/// The fast twin of `ReferenceLane.update`: all lanes of every tick of a batch, in arrival order.
///
/// This file is compiled three times, for three instruction sets, and `LaneBlocks` calls the widest
/// that the processor runs. An object built for a wide one may hold no code that the linker could
/// hand to others: so there are pointers and SIMD16 here and no generics, closures, arrays or
/// strings, whose shared copies would end up in it (a test reads the objects).
///
/// A device may occur many times in a batch. Every lane is computed and the masks choose: a branch
/// would cost more. Of Swift's SIMD only what is one instruction; the rest are the one-liners of
/// CLanes (`.squareRoot()` and `.clamped` cost 20 and 170 ns a vector, `lanes_sqrt` 1).
@inline(never)
package func updateLanes(_ batch: borrowing lanes_batch) {
    guard let state = unsafe batch.state?.assumingMemoryBound(to: SIMD16<Float>.self),
        let values = unsafe batch.values?.assumingMemoryBound(to: SIMD16<Float>.self),
        let parameters = unsafe batch.parameters?.assumingMemoryBound(to: SIMD16<Float>.self),
        let blocks = unsafe batch.blocks, let times = unsafe batch.times
    else { return }
    let (rows, flags) = unsafe (batch.rows, batch.flags)
    let fastSeconds = unsafe parameters[0]
    let slowSeconds = unsafe parameters[1]
    let floorSquared = unsafe parameters[2]
    let priorSquared = unsafe parameters[3]
    let threshold = unsafe parameters[4]
    let clip = unsafe parameters[5]
    let trust = unsafe parameters[6]
    let allowance = unsafe parameters[7]
    let decision = unsafe parameters[8]
    let full = unsafe parameters[9]
    let valueMax = unsafe parameters[10]
    let evidenceMax = unsafe parameters[11]
    let evidenceSecondsMax = unsafe parameters[12]
    let slowWeightMax = unsafe parameters[13]
    let staleMilliseconds = unsafe parameters[14]
    let perSixty = unsafe parameters[15]

    let zero = SIMD16<Float>.zero
    let one = SIMD16<Float>(repeating: 1)
    let valueMin = zero - valueMax
    let evidenceMin = zero - evidenceMax
    let staleMin = zero - staleMilliseconds
    let perThousand = SIMD16<Float>(repeating: 0.001)

    let count = unsafe batch.count
    let ahead = unsafe batch.prefetch
    var i = 0
    while i < count {
        if ahead != 0 { unsafe lanes_prefetch(state, blocks, i, count, ahead) }
        let block = unsafe state + Int(blocks[i]) &* 8
        var row = i
        if let rows = unsafe rows { row = unsafe Int(rows[i]) }
        let raw = unsafe values[row]
        let time = unsafe SIMD16<Int32>(repeating: times[i])
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
        let milliseconds = lanes_from_int(step)
        let behind = (milliseconds .<= zero) .& (milliseconds .> staleMin)
        let active = given .& .!behind .& .!fresh
        let elapsed = lanes_abs(milliseconds) * perThousand

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

        let newSeen = seen.replacing(with: time, where: active)
        unsafe block[0] = last.replacing(with: value, where: active)
        unsafe block[1] = unsafeBitCast(newSeen, to: SIMD16<Float>.self)
        unsafe block[2] = mean.replacing(with: mean + fastStep, where: active)
        unsafe block[3] = variance.replacing(with: newVariance, where: active)
        unsafe block[4] = slowMean.replacing(with: slowMean + slowStep, where: active)
        unsafe block[5] = slowVariance.replacing(with: newSlowVariance, where: active)
        unsafe block[6] = up.replacing(with: newUp, where: active)
        unsafe block[7] = down.replacing(with: newDown, where: active)

        // A lane has one first value: the branch is foretold for ever after.
        let first = bits(fresh)
        if first != 0 {
            let freshSeen = newSeen.replacing(with: time, where: fresh)
            unsafe block[0].replace(with: value, where: fresh)
            unsafe block[1] = unsafeBitCast(freshSeen, to: SIMD16<Float>.self)
            unsafe block[2].replace(with: value, where: fresh)
            unsafe block[3].replace(with: zero, where: fresh)
            unsafe block[4].replace(with: value, where: fresh)
            unsafe block[5].replace(with: priorSquared, where: fresh)
            unsafe block[6].replace(with: zero, where: fresh)
            unsafe block[7].replace(with: zero, where: fresh)
        }

        if let flags = unsafe flags {
            let raised = unsafe flags + i &* 4
            unsafe raised[0] = bits(active) | first
            unsafe raised[1] = bits(unusual .& active)
            unsafe raised[2] = bits(shifted .& active)
            unsafe raised[3] = bits(given .& behind .& .!fresh)
        }
        i &+= 1
    }
}

/// The same for lanes whose statistics nobody asks for: their newest value and when it was seen.
///
/// `parameters` and `flags` are not looked at.
@inline(never)
package func noteLanes(_ batch: borrowing lanes_batch) {
    guard let state = unsafe batch.state?.assumingMemoryBound(to: SIMD16<Float>.self),
        let values = unsafe batch.values?.assumingMemoryBound(to: SIMD16<Float>.self),
        let blocks = unsafe batch.blocks, let times = unsafe batch.times,
        let rows = unsafe batch.rows
    else { return }
    let count = unsafe batch.count
    // Always: caches keep little of the state beside the batches that pass through them.
    let ahead = 12
    var i = 0
    while i < count {
        if i &+ ahead < count { unsafe lanes_ask(state + Int(blocks[i &+ ahead]) &* 8, 128) }
        let block = unsafe state + Int(blocks[i]) &* 8
        let value = unsafe values[Int(rows[i])]
        let time = unsafe SIMD16<Int32>(repeating: times[i])
        let given = value .== value
        let last = unsafe block[0]
        let seen = unsafe unsafeBitCast(block[1], to: SIMD16<Int32>.self)
        let newSeen = seen.replacing(with: time, where: given)
        unsafe block[0] = last.replacing(with: value, where: given)
        unsafe block[1] = unsafeBitCast(newSeen, to: SIMD16<Float>.self)
        i &+= 1
    }
}

@inline(__always)
private func bits(_ mask: SIMDMask<SIMD16<Int32>>) -> UInt16 {
    lanes_bits(unsafe unsafeBitCast(mask, to: SIMD16<Int32>.self))
}

/// Remembers one tick; see `lanes_remember`, which is compiled here for this instruction set.
///
/// - Returns: whether a mark changed.
@inline(never)
package func rememberLanes(_ tick: borrowing lanes_tick) -> Bool {
    unsafe lanes_remember(copy tick) != 0
}

/// Sorts rows up to one that must wait; see `lanes_sort`.
@inline(never)
package func sortRows(_ rows: borrowing lanes_sorting) -> Int {
    unsafe lanes_sort(copy rows)
}

/// Remembers rows up to one that deserves a look; see `lanes_remember_rows`.
@inline(never)
package func rememberRows(_ rows: borrowing lanes_rows) -> lanes_found {
    unsafe lanes_remember_rows(copy rows)
}
