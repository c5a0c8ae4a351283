/// The time zones of the host: the edge reads the files, the core asks by name.
package struct ZoneDatabase: Sendable {
    private let bytes: @Sendable (String) -> [UInt8]?
    private let allNames: @Sendable () -> [String]

    /// - Parameters:
    ///   - bytes: the TZif file of a zone; nil where there is none of that name.
    ///   - names: of all zones, for a person who mistyped one.
    package init(
        bytes: @escaping @Sendable (String) -> [UInt8]?,
        names: @escaping @Sendable () -> [String] = { [] }
    ) {
        self.bytes = bytes
        allNames = names
    }

    /// A host that has none.
    package static let empty = ZoneDatabase(bytes: { _ in nil })

    package enum Refusal: Error, Equatable {
        case unknown
        /// The host has no zone at all.
        case noData
        case unreadable(String)
    }

    package func zone(_ name: String) throws(Refusal) -> Zone {
        let isPath = name.contains("..") || name.hasPrefix("/") || name.utf8.count > 64
        guard !isPath, let found = bytes(name) else {
            throw bytes("UTC") == nil && allNames().isEmpty ? .noData : .unknown
        }
        do throws(Zone.Unreadable) { return try Zone(name: name, bytes: found) } catch {
            throw .unreadable(error.reason)
        }
    }

    /// The zones that somebody may have meant by `name`: of that city, or written otherwise.
    package func alike(_ name: String) -> [String] {
        let wanted = ZoneDatabase.plain(name)
        return allNames().filter {
            let candidate = ZoneDatabase.plain($0)
            return candidate == wanted || candidate.hasSuffix("/" + wanted)
        }
    }

    /// All zones that there are.
    package var names: [String] { allNames() }

    private static func plain(_ name: String) -> String {
        String(name.lowercased().map { $0 == " " ? "_" : $0 })
    }
}
