/// One thing that is wrong with a file that a person wrote.
package struct Problem: Error, Equatable, Sendable, CustomStringConvertible {
    package let file: String
    package let mark: Mark
    package let message: String

    package init(file: String, mark: Mark, message: String) {
        self.file = file
        self.mark = mark
        self.message = message
    }

    /// As compilers write it: `rules/thermal.yaml:12:5: unknown key 'fro'`.
    package var description: String { "\(file):\(mark.line):\(mark.column): \(message)" }
}

/// Gathers every problem of a load, so that a person mends them all in one round.
package final class Problems {
    /// A hostile file must not grow the report without bound; no person reads more.
    package static let countMax = 200

    private var found: [Problem] = []

    package init() {}

    package var isEmpty: Bool { found.isEmpty }

    package func add(_ message: String, at mark: Mark, in file: String) {
        guard found.count < Problems.countMax else { return }
        let problem = Problem(file: file, mark: mark, message: message)
        if !found.contains(problem) { found.append(problem) }
    }

    /// In reading order: by file, then by place.
    package var sorted: [Problem] {
        found.sorted {
            ($0.file, $0.mark.line, $0.mark.column) < ($1.file, $1.mark.line, $1.mark.column)
        }
    }
}

/// The candidate nearest to `word`, where one is near enough to be a slip of the finger.
///
/// Optimal string alignment distance (Damerau–Levenshtein without repeated transposition): at most
/// two edits, and at most a third of the word.
package func nearest(to word: String, among candidates: some Sequence<String>) -> String? {
    let limit = min(2, max(1, word.count / 3))
    let ranked = candidates.map { (distance: distance(word, $0), name: $0) }
        .filter { $0.distance <= limit }
    return ranked.min { ($0.distance, $0.name) < ($1.distance, $1.name) }?.name
}

/// `; did you mean 'for'?`, or nothing.
package func suggestion(for word: String, among candidates: some Sequence<String>) -> String {
    nearest(to: word, among: candidates).map { "; did you mean '\($0)'?" } ?? ""
}

private func distance(_ left: String, _ right: String) -> Int {
    let a = Array(left.utf8)
    let b = Array(right.utf8)
    guard abs(a.count - b.count) <= 2, a.count < 200, b.count < 200 else { return .max }
    guard !a.isEmpty, !b.isEmpty else { return max(a.count, b.count) }
    var before: [Int] = []
    var previous = Array(0...b.count)
    for i in 1...a.count {
        var row = [i]
        for j in 1...b.count {
            let change = a[i - 1] == b[j - 1] ? 0 : 1
            var best = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + change)
            if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
                best = min(best, before[j - 2] + 1)
            }
            row.append(best)
        }
        before = previous
        previous = row
    }
    return previous[b.count]
}
