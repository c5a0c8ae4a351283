extension Substring {
    /// The first place where the bytes of `word` stand.
    ///
    /// The standard library's own search makes a table of the word at each call, which costs more than
    /// reading a hundred messages.
    package func firstRange(of word: String) -> Range<Index>? {
        let bytes = utf8
        var start = startIndex
        while start < endIndex {
            if bytes[start...].starts(with: word.utf8) {
                return start..<bytes.index(start, offsetBy: word.utf8.count)
            }
            bytes.formIndex(after: &start)
        }
        return nil
    }
}
