import CLanes

/// Zeroed pages for what is looked at once an hour: of a file, which the kernel may write out and
/// forget, or of the process's own memory.
@safe
struct ColdPages: ~Copyable {
    private let pages: UnsafeMutableRawPointer
    private let bytes: Int
    /// The file, and where in it the pages lie; -1 without one.
    private let file: Int32
    private let offset: Int

    /// Pages at the end of a file, which grows by them; nil where there is no room.
    ///
    /// The room of a file is taken at once: pages that a full disk could not hold would end the
    /// process when they are written.
    ///
    /// - Parameters:
    ///   - bytes: a multiple of the size of a page.
    ///   - file: a descriptor that is open for reading and writing as long as the pages are used;
    ///     nil for memory of one's own.
    init?(bytes: Int, file: Int32?) {
        self.bytes = bytes
        self.file = file ?? -1
        guard let file else {
            guard let pages = unsafe lanes_map(bytes) else { return nil }
            unsafe self.pages = pages
            offset = 0
            return
        }
        var place = 0
        guard let pages = unsafe lanes_map_file(file, bytes, &place) else { return nil }
        unsafe self.pages = pages
        offset = place
    }

    deinit {
        if file < 0 {
            unsafe lanes_unmap(pages, bytes)
        } else {
            unsafe lanes_unmap_file(file, pages, bytes, offset)
        }
    }

    subscript(place: Int) -> UInt16 {
        get {
            precondition(place >= 0 && place &* 2 < bytes, "a place beyond the pages")
            return unsafe pages.load(fromByteOffset: place &* 2, as: UInt16.self)
        }
        set {
            precondition(place >= 0 && place &* 2 < bytes, "a place beyond the pages")
            unsafe pages.storeBytes(of: newValue, toByteOffset: place &* 2, as: UInt16.self)
        }
    }
}
