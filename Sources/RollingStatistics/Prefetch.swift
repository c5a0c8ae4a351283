public import CLanes

extension Array {
    /// Asks for the memory of an element that is read soon, so that nobody waits for it then.
    ///
    /// State of many devices in no order lies beyond the caches. `lines` are of 64 bytes each; an
    /// index that does not exist asks for nothing.
    @inlinable @inline(__always)
    package func prefetch(_ index: Int, lines: Int = 1) {
        unsafe withUnsafeBufferPointer { elements in
            guard let base = elements.baseAddress, index >= 0, index < elements.count else {
                return
            }
            let first = unsafe UnsafeRawPointer(base + index)
            unsafe lanes_ask(first, lines * 64)
        }
    }
}

extension MutableSpan {
    /// The same for elements that are lent.
    @inlinable @inline(__always)
    package func prefetch(_ index: Int, lines: Int = 1) {
        guard index >= 0, index < count else { return }
        unsafe withUnsafeBufferPointer { elements in
            guard let base = elements.baseAddress else { return }
            unsafe lanes_ask(UnsafeRawPointer(base + index), lines * 64)
        }
    }
}

/// Asks for the lines from where a value lies on, which may be more than it fills.
@inlinable @inline(__always)
package func prefetch<Value>(from value: inout Value, lines: Int = 1) {
    unsafe withUnsafeMutablePointer(to: &value) { unsafe lanes_ask($0, lines * 64) }
}
