import Fleet
import Testing

@Suite("SHA-256") struct SHA256Tests {
    struct Case: Sendable {
        let message: String
        let digest: String

        /// The examples of FIPS 180-4, and the lengths at which padding takes another block.
        static let all: [Case] = [
            Case(
                message: "",
                digest: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            Case(
                message: "abc",
                digest: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            Case(
                message: "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                digest: "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
            Case(
                message:
                    "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
                    + "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
                digest: "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"),
            Case(
                message: String(repeating: "a", count: 100_000),
                digest: "6d1cf22d7cc09b085dfc25ee1a1f3ae0265804c607bc2074ad253bcc82fd81ee"),
            Case(
                message: String(repeating: "a", count: 55),
                digest: "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"),
            Case(
                message: String(repeating: "a", count: 56),
                digest: "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"),
            Case(
                message: String(repeating: "a", count: 64),
                digest: "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"),
        ]
    }

    @Test(arguments: Case.all)
    func `the digest is that of the standard`(_ example: Case) {
        let hex = SHA256.hash(example.message.utf8).map { byte in
            let text = String(byte, radix: 16)
            return text.count == 1 ? "0\(text)" : text
        }
        #expect(hex.joined() == example.digest)
    }

    @Test func `base 32 writes five bits a digit, and stops where it is told`() {
        #expect(base32([0xFF, 0x00, 0xFF, 0x00, 0xFF], digits: 8) == "ZW0FY07Z")
        #expect(base32([0xFF, 0x00, 0xFF, 0x00, 0xFF], digits: 3) == "ZW0")
        #expect(base32([UInt8](repeating: 255, count: 32), digits: 26).count == 26)
    }
}
