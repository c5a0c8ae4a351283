import CCrypto

/// SHA-256 of `message`, 32 bytes (FIPS 180-4).
package func sha256(_ message: [UInt8]) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: 32)
    var count: UInt32 = 32
    let done = unsafe EVP_Digest(message, message.count, &digest, &count, EVP_sha256(), nil)
    precondition(done == 1 && count == 32, "libcrypto has SHA-256")
    return digest
}

/// Whether two secrets are equal, in a time that tells nothing of where they differ.
///
/// The lengths may leak; they are no secret.
package func constantTimeEquals(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    guard left.count == right.count else { return false }
    return unsafe CRYPTO_memcmp(left, right, left.count) == 0
}

/// The system has no randomness to give; whoever wanted a token must refuse to make one.
package struct EntropyError: Error, CustomStringConvertible {
    package var description: String { "libcrypto's random generator is not seeded" }
}

/// Bytes for tokens and nonces that nobody can guess.
package func randomBytes(_ count: Int) throws(EntropyError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    let done = unsafe RAND_bytes(&bytes, Int32(clamping: count))
    guard count == 0 || done == 1 else { throw EntropyError() }
    return bytes
}

/// Lower-case hexadecimal, two digits a byte.
package func hex(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(bytes.count * 2)
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}

/// The bytes that `text` spells in hexadecimal, in either case; nil where it does not.
package func bytes(hex text: some StringProtocol) -> [UInt8]? {
    var bytes: [UInt8] = []
    var high: UInt8?
    for unit in text.utf8 {
        guard let digit = unit.hexDigit else { return nil }
        if let first = high {
            bytes.append(first << 4 | digit)
            high = nil
        } else {
            high = digit
        }
    }
    return high == nil ? bytes : nil
}

extension UInt8 {
    /// The value of an ASCII hexadecimal digit.
    var hexDigit: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
