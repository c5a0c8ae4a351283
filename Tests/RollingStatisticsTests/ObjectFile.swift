import Foundation

/// As much of an ELF64 object as it takes to find functions that a linker may share.
struct ObjectFile {
    let path: String
    private let bytes: [UInt8]

    init?(path: String) {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        self.path = path
        bytes = Array(data)
        guard bytes.starts(with: [0x7F, 0x45, 0x4C, 0x46, 2, 1]), bytes.count >= 64 else {
            return nil
        }
    }

    /// All objects that the build made of `module`, in every configuration that was built.
    static func all(of module: String) -> [ObjectFile] {
        let root = URL(filePath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        var found: [ObjectFile] = []
        for configuration in ["debug", "release"] {
            let folder = root.appending(path: ".build/\(configuration)/\(module).build").path
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            for name in names.sorted() where name.hasSuffix(".o") {
                if let file = ObjectFile(path: "\(folder)/\(name)") { found.append(file) }
            }
        }
        return found
    }

    /// Functions defined here: those of this object alone, and the weak ones, of which the linker
    /// keeps one copy for the whole program, from whichever object it likes.
    func functions() -> (own: [String], weak: [String]) {
        var own: [String] = []
        var weak: [String] = []
        let table = number(0x28, 8)
        let size = number(0x3A, 2)
        let count = number(0x3C, 2)
        func section(_ index: Int, _ field: Int, _ width: Int) -> Int {
            number(table + index * size + field, width)
        }
        for index in 0..<count where section(index, 4, 4) == 2 {
            let symbols = section(index, 0x18, 8)
            let names = section(section(index, 0x28, 4), 0x18, 8)
            for symbol in stride(from: symbols, to: symbols + section(index, 0x20, 8), by: 24) {
                let home = number(symbol + 6, 2)
                guard home > 0, home < count, section(home, 8, 8) & 4 != 0 else { continue }
                let name = text(names + number(symbol, 4))
                guard !name.isEmpty else { continue }
                switch number(symbol + 4, 1) >> 4 {
                case 1: own.append(name)
                case 2: weak.append(name)
                default: break
                }
            }
        }
        return (own, weak)
    }

    private func number(_ offset: Int, _ width: Int) -> Int {
        guard offset >= 0, offset + width <= bytes.count else { return 0 }
        return bytes[offset..<offset + width].reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    private func text(_ offset: Int) -> String {
        guard offset < bytes.count else { return "" }
        return String(decoding: bytes[offset...].prefix { $0 != 0 }, as: UTF8.self)
    }
}
