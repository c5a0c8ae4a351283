import CLanes

/// One step through a message: a literal, and often a number in the form that it had before.
///
/// A producer writes one metric in nearly the same way each time. A number that fits needs no search
/// for its end, and the processor need not wait for it to go on behind: that wait is what reading a
/// message costs most. Where what lies, `lanes_step` says.
typealias Step = lanes_step

extension Step {
    /// A number behind it finds room in most steps.
    static var literalMax: Int { 24 }
    static var size: Int { MemoryLayout<Step>.stride }

    init(slot: LayoutTree.Slot, literal: Span<UInt8>) {
        self.init()
        above = (SIMD16(repeating: 255), SIMD16(repeating: 255))
        divisor = 1
        child = -1
        sibling = -1
        self.slot = slot.rawValue
        length = UInt8(literal.count)
        for index in literal.indices { set(index, literal[index], 0) }
        advance = Int32(literal.count)
        kind =
            switch slot {
            case .value, .time: Self.question
            case .labels: UInt8(lanes_step_labels)
            case .more: UInt8(lanes_step_more)
            case .end: UInt8(lanes_step_end)
            }
    }

    static var straight: UInt8 { UInt8(lanes_step_straight) }
    static var number: UInt8 { UInt8(lanes_step_number) }
    static var open: UInt8 { UInt8(lanes_step_open) }
    static var question: UInt8 { UInt8(lanes_step_question) }

    /// Whether it is one for a number, of any form or of the one that is expected.
    var isNumeric: Bool { slot <= LayoutTree.Slot.time.rawValue }

    /// Whether the number that is expected has a form.
    var expectsForm: Bool { kind <= Self.number }

    /// Whether both know as much of their numbers.
    func expectsSameForm(as other: Step) -> Bool {
        guard kind != Self.question, other.kind != Self.question else { return true }
        return expectsForm == other.expectsForm && advance == other.advance
            && least.0 == other.least.0 && least.1 == other.least.1
    }

    /// Notes where in the tree it stands.
    mutating func settle(at index: Int) {
        if kind == Self.number, slot == LayoutTree.Slot.value.rawValue,
            Int(child) == (index + 1) * Self.size
        {
            kind = Self.straight
        }
    }

    private mutating func set(_ index: Int, _ byte: UInt8, _ more: UInt8) {
        if index < 16 {
            least.0[index] = byte
            above.0[index] = more
        } else {
            least.1[index - 16] = byte
            above.1[index - 16] = more
        }
    }

    /// Whether `text` begins with the literal.
    @inline(__always)
    func holdsLiteral(_ text: UnsafeRawPointer) -> Bool {
        unsafe withUnsafePointer(to: self) { unsafe lanes_begins(text, $0) != 0 }
    }

    func isLiteral(_ literal: Span<UInt8>) -> Bool {
        guard literal.count == Int(length) else { return false }
        return literal.indices.allSatisfy {
            literal[$0] == ($0 < 16 ? least.0[$0] : least.1[$0 - 16])
        }
    }

    /// Knows nothing of its number any more: the next one gives the form.
    mutating func forget() {
        expectAny()
        kind = Self.question
    }

    /// Expects a number of any form behind the literal.
    mutating func expectAny() {
        var index = Int(length)
        while index < 32 {
            set(index, 0, 255)
            index += 1
        }
        advance = Int32(length)
        base = 0
        kind = Self.open
    }

    /// Expects a number like that of the first `width` bytes of `text`, and what stands behind it;
    /// `given` digits in front of it are expected as they stand already.
    mutating func expect(_ text: Span<UInt8>, _ width: Int, given: Int = 0) {
        expectAny()
        let length = Int(length) + given
        guard width < 16, length + width < 32, width < text.count else { return }
        let dot = min(text.first(0x2E, from: 0), width)
        source = SIMD16(repeating: 255)
        var index = 0
        while index < width {
            if index == dot {
                set(length + dot, 0x2E, 0)
            } else {
                // Of several digits before the dot the first is none.
                let isFirst = index == 0 && dot > 1
                set(length + index, isFirst ? 0x31 : 0x30, isFirst ? 8 : 9)
                let place = 16 - width + index
                source[index < dot && dot < width ? place + 1 : place] = UInt8(place)
            }
            index += 1
        }
        // Else 0.5 would be seen where 0.5e3 stands.
        set(length + width, text[width], 0)
        divisor = dot < width ? Double(Digits.power(width - dot - 1)) : 1
        advance = Int32(length + width)
        kind = Self.number
    }

    /// Expects a time like that of the first `width` bytes of `text`, which are digits.
    ///
    /// Fifteen digits are exact in a Double: those before are expected as they stand, which the
    /// nanoseconds' are for eleven days.
    mutating func expectTime(_ text: Span<UInt8>, _ width: Int) {
        let given = max(width - 15, 0)
        guard width <= 19, Int(length) + width < 32, width < text.count, text[0] != 0x30 else {
            return
        }
        expect(text.extracting(droppingFirst: given), width - given, given: given)
        guard given > 0 else { return }
        var worth = 0
        var index = 0
        while index < given {
            set(Int(length) + index, text[index], 0)
            worth = worth * 10 + Int(text[index] &- 0x30)
            index += 1
        }
        // The first of the others may be a zero.
        set(Int(length) + given, 0x30, 9)
        base = worth * 1_000_000_000_000_000
    }
}
