package import CLanes

/// Follows a message through the steps of its layout; see `lanes_follow`, which is compiled here for
/// this instruction set.
///
/// - Returns: what stands where it ended, as `lanes_step_…`.
@inline(never)
package func followLayout(
    _ walk: inout lanes_walk, _ steps: UnsafePointer<lanes_step>, _ text: UnsafeRawPointer,
    _ count: Int, _ tail: UnsafeMutableRawPointer?, _ digits: UnsafeMutableRawPointer,
    _ divisors: UnsafeMutablePointer<Double>,
    _ labels: UnsafeRawPointer?
) -> Int32 {
    unsafe lanes_follow(&walk, steps, text, count, tail, digits, divisors, labels)
}

/// Makes numbers of the digits that were put aside; see `lanes_convert`.
///
/// - Returns: whether every one lies within its range.
@inline(never)
package func convertNumbers(_ numbers: borrowing lanes_conversion) -> Bool {
    unsafe withUnsafePointer(to: numbers) { unsafe lanes_convert($0) != 0 }
}
