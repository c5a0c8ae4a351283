package import Configuration
package import Escalation
import Fleet
import Foundation
package import Incidents
package import Rules

/// The whole of a rules folder, read and checked together: all of it is in force, or none.
package struct RuleFolder: Sendable {
    package let book: RuleBook
    package let policy: EscalationPolicy
    package let prices: PriceBook
    /// Files that were read, for the log.
    package let files: [String]

    /// A folder with more, or larger, files than this is not a rules folder.
    private static let filesMax = 500
    private static let bytesMax = 4 << 20

    /// Reads every `.yaml` of `directory` but the `*.test.yaml`.
    ///
    /// `destinations` are the names that people's channels may use; nil leaves them alone. Answers
    /// nil where there was any problem; every one is in `problems`.
    package static func load(
        _ directory: String, destinations: Set<String>?, problems: Problems
    ) -> RuleFolder? {
        let start = Mark(line: 1, column: 1)
        let directory =
            directory.count > 1 && directory.hasSuffix("/")
            ? String(directory.dropLast()) : directory
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: directory)
                .filter { $0.hasSuffix(".yaml") && !$0.hasSuffix(".test.yaml") }.sorted()
        } catch {
            problems.add(
                "the rules folder cannot be read: \(reason(error))", at: start, in: directory)
            return nil
        }
        guard names.count <= filesMax else {
            problems.add("more than \(filesMax) rule files", at: start, in: directory)
            return nil
        }
        var rules: [(name: String, text: String)] = []
        var policy: EscalationPolicy?
        var prices: PriceBook?
        for name in names {
            let path = "\(directory)/\(name)"
            guard let text = read(path, problems) else { continue }
            switch name {
            case "escalation.yaml":
                policy = EscalationPolicy.load(
                    text, file: path, zones: ZoneFiles.database, into: problems)
                if let policy, let destinations {
                    check(policy, against: destinations, text, path, problems)
                }
            case "prices.yaml": prices = PriceBook.load(text, file: path, into: problems)
            default: if RuleBook.isRuleFile(name) { rules.append((path, text)) }
            }
        }
        for (name, found) in [
            ("escalation.yaml", names.contains("escalation.yaml")),
            ("prices.yaml", names.contains("prices.yaml")),
        ] where !found {
            problems.add("'\(name)' is missing from the rules folder", at: start, in: directory)
        }
        guard
            let book = RuleBook.load(
                files: rules, zones: ZoneFiles.database, problems: problems), let policy,
            let prices,
            problems.isEmpty
        else { return nil }
        return RuleFolder(book: book, policy: policy, prices: prices, files: names)
    }

    /// A channel that no destination has would be found out by the first page.
    private static func check(
        _ policy: EscalationPolicy, against destinations: Set<String>, _ text: String,
        _ file: String, _ problems: Problems
    ) {
        let known = destinations.union([Desk.feed])
        let used = policy.people.values.flatMap(\.channels) + policy.rooms.values.flatMap { $0 }
        for channel in Set(used).subtracting(known).sorted() {
            problems.add(
                "no destination in the settings is called '\(channel)'"
                    + suggestion(for: channel, among: known),
                at: place(of: channel, in: text), in: file)
        }
    }

    /// Where a name is first written.
    private static func place(of name: String, in text: String) -> Mark {
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false)
            .enumerated()
        {
            guard let found = line.range(of: name) else { continue }
            let column = line.distance(from: line.startIndex, to: found.lowerBound)
            return Mark(line: number + 1, column: column + 1)
        }
        return Mark(line: 1, column: 1)
    }

    private static func read(_ path: String, _ problems: Problems) -> String? {
        let start = Mark(line: 1, column: 1)
        do {
            let bytes = try Data(contentsOf: URL(filePath: path))
            guard bytes.count <= bytesMax else {
                problems.add("larger than \(bytesMax >> 20) MiB", at: start, in: path)
                return nil
            }
            guard let text = String(bytes: bytes, encoding: .utf8) else {
                problems.add("not UTF-8", at: start, in: path)
                return nil
            }
            return text
        } catch {
            problems.add("cannot be read: \(reason(error))", at: start, in: path)
            return nil
        }
    }
}

/// The words of the system for a Foundation error, without its wrapping.
func reason(_ error: any Error) -> String {
    let underlying = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
    return (underlying ?? error as NSError).localizedDescription
}

/// The host's own time zone data, read once for each zone.
enum ZoneFiles {
    private static let folders = ["/usr/share/zoneinfo", "/usr/lib/zoneinfo"]

    static var database: ZoneDatabase { ZoneDatabase(bytes: bytes, names: names) }

    /// All zones, for a person who mistyped one; looked for only then.
    private static func names() -> [String] {
        for folder in folders {
            guard let found = FileManager.default.subpaths(atPath: folder) else { continue }
            let zones = found.filter { name in
                name.first?.isUppercase == true && !name.contains(".")
                    && !isFolder("\(folder)/\(name)")
            }
            if !zones.isEmpty { return zones.sorted() }
        }
        return []
    }

    private static func isFolder(_ path: String) -> Bool {
        let kind = try? URL(filePath: path).resourceValues(forKeys: [.isDirectoryKey])
        return kind?.isDirectory == true
    }

    /// The TZif bytes of the zone called `name`; nil where the host has none.
    private static func bytes(_ name: String) -> [UInt8]? {
        guard !name.hasPrefix("/"), !name.contains(".."), name.utf8.count < 100 else { return nil }
        for folder in folders {
            guard let bytes = try? Data(contentsOf: URL(filePath: "\(folder)/\(name)")) else {
                continue
            }
            return Array(bytes)
        }
        return nil
    }
}
