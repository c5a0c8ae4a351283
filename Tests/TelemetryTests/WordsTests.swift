import Bytes
import TestSupport
import Testing

@testable import Telemetry

/// Loads without the standard library's checks: whatever is asked, they stay inside.
@Suite struct WordsTests {
    private static let strange = [
        Int.min, Int.min + 7, -1_000, -9, -8, -7, -1, Int.max - 24, Int.max - 8, Int.max - 7,
        Int.max,
    ]

    /// Byte by byte, as it is meant.
    private static func word(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
        var word: UInt64 = 0
        for index in 0..<8 {
            let place = offset.addingReportingOverflow(index)
            guard !place.overflow, bytes.indices.contains(place.partialValue) else { continue }
            word |= UInt64(bytes[place.partialValue]) << UInt64(index * 8)
        }
        return word
    }

    private static func loaded(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
        bytes.span.word(at: offset)
    }

    private static func areEqual(
        _ one: [UInt8], _ other: [UInt8], _ start: Int, _ length: Int
    ) -> Bool { one.span.equals(start, length, other.span, at: start) }

    private static func hash(
        _ bytes: [UInt8], _ start: Int, _ length: Int, _ seed: UInt64
    ) -> UInt64 { bytes.span.hash(start, length, seed: seed) }

    private static func matches(_ bytes: [UInt8], _ literal: Literal, _ offset: Int) -> Bool {
        bytes.span.matches(literal, at: offset)
    }

    @Test func `a word anywhere is what stands there, and zero outside`() {
        for count in 0...40 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 1) }
            for offset in Array(-20...count + 20) + Self.strange {
                #expect(
                    Self.loaded(bytes, offset) == Self.word(bytes, offset), "\(count) \(offset)")
            }
        }
    }

    @Test func `runs are equal when they are, and never outside`() {
        let one = (0..<60).map { UInt8(truncatingIfNeeded: $0) }
        for length in Array(0...60) + [-1, 61, .max, .min] {
            for start in Array(0...4) + Self.strange {
                let isInside = length >= 0 && length <= 60 && start >= 0 && start <= 60 - length
                #expect(Self.areEqual(one, one, start, length) == isInside)
                guard isInside, length > 0 else { continue }
                for changed in start..<start + length {
                    var other = one
                    other[changed] ^= 0x80
                    #expect(!Self.areEqual(one, other, start, length))
                    let hashes = (
                        Self.hash(one, start, length, 1),
                        Self.hash(other, start, length, 1)
                    )
                    #expect(hashes.0 != hashes.1)
                }
                var other = one
                if start + length < 60 { other[start + length] ^= 0xFF }
                #expect(
                    Self.hash(one, start, length, 1) == Self.hash(other, start, length, 1)
                )
            }
            for start in Self.strange { #expect(Self.hash(one, start, length, 5) == 5) }
        }
    }

    @Test func `a literal matches its own bytes and no others`() {
        let bytes = (0..<80).map { UInt8(truncatingIfNeeded: $0 &* 11 &+ 3) }
        for length in 0...Literal.lengthMax {
            let literal = Literal(bytes.span, 5..<5 + length)
            #expect(Self.matches(bytes, literal, 5))
            for changed in 5..<5 + length {
                var other = bytes
                other[changed] ^= 1
                #expect(!Self.matches(other, literal, 5))
            }
            for offset in Self.strange + [57, 80] {
                #expect(!Self.matches(bytes, literal, offset))
            }
        }
    }

    @Test func `a copy has zeros behind it, whatever stood there before`() {
        var scratch = Scratch()
        for count in [300, 0, 1, 299, 7, 1_000, 2] {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 | 1) }
            scratch.fill(bytes.span)
            let text = scratch.bytes[Scratch.front...].prefix(count + Scratch.padding)
            #expect(Array(text.prefix(count)) == bytes && scratch.count == count)
            #expect(text.count == count + Scratch.padding)
            #expect(text.suffix(Scratch.padding).allSatisfy { $0 == 0 })
            #expect(scratch.bytes.prefix(Scratch.front).allSatisfy { $0 == 0 })
        }
    }

    @Test(arguments: [3, 44, 555] as [UInt64])
    func `a number that fits the form of another reads as it would alone`(_ seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var fitted = 0
        let texts = [
            "0", "7", "42", "0.5", "0.1234", "12.5", "00", "01", "0.", ".5", "1.2.3", "1e5",
            "1.5e3",
            "-3", "-0.5", "123456", "1234567", "12345678", "700.25", "0x12", "1a", "9.", "1234.56",
        ]
        var form = Number.Form()
        for _ in 0..<60_000 {
            var text = texts[random.below(texts.count)]
            if random.below(2) == 0 {
                text =
                    "\(random.below(1_000))"
                    + (random.below(2) == 0 ? "" : ".\(random.below(1_000))")
            }
            let ends = [",", "}", "i", "u", "]", " ", "e", ".", "5"]
            let bytes = Array((text + ends[random.below(ends.count)] + "       ").utf8)
            let word = bytes.span.word(at: 0)
            let parsed = Number.parse(bytes.span, at: 0)
            if let value = form.value(word) {
                fitted += 1
                guard value == parsed?.value, Int(form.width) == parsed?.end else {
                    Issue.record("seed \(seed): \(text) read as \(value) of \(form.width) bytes")
                    return
                }
            } else if let parsed, random.below(3) == 0 {
                form = Number.Form()
                form.learn(word, width: parsed.end, isInteger: parsed.isInteger)
            }
        }
        #expect(fitted > 500, "seed \(seed)")
    }
}
