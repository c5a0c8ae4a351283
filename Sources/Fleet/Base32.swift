/// Crockford's base 32: no I, L, O or U, so that an id survives being read over the telephone.
package func base32(_ bytes: some Sequence<UInt8>, digits: Int) -> String {
    let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    var text = ""
    var held: UInt32 = 0
    var bits: UInt32 = 0
    for byte in bytes where text.count < digits {
        held = held << 8 | UInt32(byte)
        bits += 8
        while bits >= 5, text.count < digits {
            bits -= 5
            text.append(alphabet[Int(held >> bits & 31)])
        }
        held &= (1 << bits) - 1
    }
    return text
}
