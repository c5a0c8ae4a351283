package import Configuration

/// What an hour of one accelerator is worth, by its model: `rules/prices.yaml`.
///
/// Dollars are always derived: an incident keeps accelerator-hours and the version of the book, so
/// that history can be priced again.
package struct PriceBook: Sendable {
    package struct Price: Codable, Hashable, Sendable {
        /// The name of the entry, such as `h100-sxm`.
        package var name: String
        /// Dollars per accelerator-hour.
        package var low: Double
        package var expected: Double
        package var high: Double
        package var source: String
        /// The model is unknown, and this is the entry for unknown ones.
        package var isAssumed: Bool
    }

    /// Below and above, a number is a slip of the unit or a feed's placeholder: rows with 700.0
    /// stand in public catalogues (reference, accelerators 2.5).
    package static let plausible: ClosedRange<Double> = 0.05...60

    /// Written beside every amount.
    package let version: String
    private let unknown: Price
    private let entries: [(patterns: [Pattern], price: Price)]

    /// The price of a model as a device names it, such as `NVIDIA H100 80GB HBM3`.
    package func price(of model: String) -> Price {
        let name = model.lowercased()
        return entries.first { entry in entry.patterns.contains { $0.matches(name) } }?.price
            ?? unknown
    }

    /// Reads a price book; every problem goes into `problems`.
    ///
    /// - Returns: nil where anything was wrong.
    package static func load(
        _ text: String, file: String, into problems: Problems
    ) -> PriceBook? {
        let before = problems.sorted.count
        guard let root = Node.read(text, file: file, into: problems)?.section() else { return nil }
        _ = root.required("version")?.choice([("1", 1)])
        let book = root.required("book")?.text() ?? ""
        let unknown = root.required("unknown")?.section()
            .flatMap { Price($0, name: "unknown", isAssumed: true) }
        var entries: [(patterns: [Pattern], price: Price)] = []
        for (name, value) in root.required("prices")?.named() ?? [] {
            guard let section = value.section() else { continue }
            let written = section.required("match")?.list() ?? []
            let patterns = written.compactMap(pattern)
            if written.isEmpty { section.report("'\(name)' matches no model") }
            guard let price = Price(section, name: name, isAssumed: false) else { continue }
            entries.append((patterns, price))
        }
        root.finish()
        guard problems.sorted.count == before, let unknown else { return nil }
        return PriceBook(version: book, unknown: unknown, entries: entries)
    }

    private static func pattern(_ value: Value) -> Pattern? {
        guard let text = value.text() else { return nil }
        do throws(Pattern.Malformed) {
            return try Pattern(text.lowercased())
        } catch {
            value.report("the pattern '\(text.prefix(80))' \(error.reason)")
            return nil
        }
    }
}

extension PriceBook.Price {
    fileprivate init?(_ section: Section, name: String, isAssumed: Bool) {
        let range = PriceBook.plausible
        let expected = section.required("price")?.number(in: range)
        let low = section["low"].map { $0.number(in: range) } ?? expected
        let high = section["high"].map { $0.number(in: range) } ?? expected
        let source = section.required("source")?.text()
        section.finish()
        guard let expected, let low, let high, let source else { return nil }
        guard low <= expected, expected <= high else {
            section.report("'\(name)' must have low ≤ price ≤ high")
            return nil
        }
        self.init(
            name: name, low: low, expected: expected, high: high, source: source,
            isAssumed: isAssumed)
    }
}
