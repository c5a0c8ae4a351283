import Fleet
import Testing

@Suite struct SHA256Tests {
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
                + "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
        ),
    ])
    func `the digests are those of FIPS 180-4`(_ message: String, _ digest: String) {
        #expect(hexadecimal(SHA256.hash(message.utf8)) == digest)
    }

    @Test func `the digest of a million letters is that of FIPS 180-4`() {
        let digest = SHA256.hash(repeatElement(UInt8(ascii: "a"), count: 1_000_000))
        #expect(
            hexadecimal(digest)
                == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    /// Every length around the padding's turning points; the constant is that of Python's hashlib.
    @Test func `every length up to three blocks is padded right, whole and in parts`() {
        var all = SHA256()
        for length in 0...200 {
            let message = (0..<length).map { UInt8(truncatingIfNeeded: $0 * 7) }
            let digest = SHA256.hash(message)
            var parts = SHA256()
            parts.update(message.prefix(length / 3))
            parts.update(message.dropFirst(length / 3))
            #expect(parts.finalize() == digest)
            all.update(digest)
        }
        #expect(
            hexadecimal(all.finalize())
                == "c43614ca86d050b81500ab839e2b7e83381ef396e722c27d3e537ab57268e893")
    }

    private func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }
}
