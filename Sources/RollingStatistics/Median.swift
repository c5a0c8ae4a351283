/// The median of the finite values in `scratch`, which it reorders; nil when there are none.
///
/// Of an even number, the mean of the middle two. Linear in the usual case and never worse than
/// n log n, whatever the order; allocates nothing.
package func median(_ scratch: inout [Float]) -> Float? {
    var values = scratch.mutableSpan
    return median(&values)
}

/// The median of the distances of the finite values from `center`; replaces `scratch`.
///
/// Times 1.4826 it estimates the standard deviation of normal noise, and half of the values may be
/// anything at all without moving it far (Rousseeuw and Croux, 1993).
package func medianAbsoluteDeviation(_ scratch: inout [Float], around center: Float) -> Float? {
    var values = scratch.mutableSpan
    return medianAbsoluteDeviation(&values, around: center)
}

package func median(_ values: inout MutableSpan<Float>) -> Float? {
    let count = gatherFinite(&values)
    guard count > 0 else { return nil }
    let middle = count / 2
    if let least = most(of: count, values) {
        return count % 2 == 0 ? least * 0.5 + least * 0.5 : least
    }
    let upper = select(middle, of: count, &values)
    guard count % 2 == 0 else { return upper }
    var lower = values[0]
    for i in 1..<middle { lower = max(lower, values[i]) }
    // Halved first: the sum of two huge ones would overflow.
    return lower * 0.5 + upper * 0.5
}

package func medianAbsoluteDeviation(
    _ values: inout MutableSpan<Float>, around center: Float
) -> Float? {
    for i in values.indices { values[i] = abs(values[i] - center) }
    return median(&values)
}

/// Moves the finite values to the front and says how many there are.
private func gatherFinite(_ values: inout MutableSpan<Float>) -> Int {
    var count = 0
    for i in values.indices where values[i].isFinite {
        values.swapAt(count, i)
        count += 1
    }
    return count
}

/// The least of the first `count` values where more than half of them are the same; nil otherwise.
///
/// Errors that nobody has, limits that all have: there is nothing to sort.
private func most(of count: Int, _ values: borrowing MutableSpan<Float>) -> Float? {
    var least = values[0]
    for i in 1..<count where values[i] < least { least = values[i] }
    var same = 0
    for i in 0..<count where values[i] == least { same += 1 }
    return same * 2 > count ? least : nil
}

/// The value at `rank` of the sorted first `count`; smaller ones end up before it.
///
/// Hoare's selection. A run of bad pivots ends in a heap sort, so that no cohort can be quadratic.
private func select(_ rank: Int, of count: Int, _ values: inout MutableSpan<Float>) -> Float {
    var low = 0
    var high = count - 1
    var patience = 2 * (Int.bitWidth - count.leadingZeroBitCount)
    while high > low {
        guard patience > 0 else {
            heapSort(low, high, &values)
            break
        }
        patience -= 1
        let pivot = middle(values[low], values[low + (high - low) / 2], values[high])
        var left = low
        var right = high
        while left <= right {
            while values[left] < pivot { left += 1 }
            while values[right] > pivot { right -= 1 }
            guard left <= right else { break }
            values.swapAt(left, right)
            left += 1
            right -= 1
        }
        if rank <= right {
            high = right
        } else if rank >= left {
            low = left
        } else {
            break
        }
    }
    return values[rank]
}

private func middle(_ a: Float, _ b: Float, _ c: Float) -> Float {
    max(min(a, b), min(max(a, b), c))
}

private func heapSort(_ low: Int, _ high: Int, _ values: inout MutableSpan<Float>) {
    let count = high - low + 1
    func sift(_ start: Int, _ end: Int, _ values: inout MutableSpan<Float>) {
        var root = start
        while root * 2 + 1 < end {
            var child = root * 2 + 1
            if child + 1 < end && values[low + child] < values[low + child + 1] { child += 1 }
            guard values[low + root] < values[low + child] else { return }
            values.swapAt(low + root, low + child)
            root = child
        }
    }
    for start in stride(from: count / 2, through: 0, by: -1) { sift(start, count, &values) }
    for end in stride(from: count - 1, to: 0, by: -1) {
        values.swapAt(low, low + end)
        sift(0, end, &values)
    }
}
