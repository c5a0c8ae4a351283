import Detection
import Fleet
import Foundation

/// `tocsin score`: the anomaly score of recorded series, as a rule would have given it.
///
/// Every file is read once from its first row to its last, and a row is scored before the next one
/// is read: nothing is known of a file but what a stream would have told.
package struct Scoring {
    private let input: String
    private let output: String
    private let profile: AnomalyProfile
    /// Several columns are the metrics of one device.
    package var isMultivariate = false
    /// Says each alert in words.
    package var explains = false

    /// - Returns: nil where there is no profile of that name.
    package init?(input: String, output: String, profile: String) {
        guard let found = AnomalyProfile(named: profile) else { return nil }
        self.input = input
        self.output = output
        self.profile = found
    }

    /// What came of all files.
    package struct Tally: Sendable {
        package var files = 0
        package var rows = 0
        package var alerts = 0
        /// Rows without a number, or with a time before the one above; they score 0.
        package var skipped = 0
    }

    /// Scores `<folder>/<name>.csv` under `input` into files of the same names under `output`.
    ///
    /// - Returns: what there was; `say` is told of alerts and of what was skipped.
    package func run(_ say: (String) -> Void) throws(StartFailure) -> Tally {
        var tally = Tally()
        let names = try files()
        for name in names {
            let target = URL(filePath: output).appending(path: name)
            do {
                try FileManager.default.createDirectory(
                    at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
            } catch {
                throw StartFailure(
                    .cannotCreate, "cannot make the folder of \(target.path): \(reason(error))")
            }
            let text = try score(name, &tally, say)
            do { try text.write(to: target, options: .atomic) } catch {
                throw StartFailure(.cannotCreate, "cannot write \(target.path): \(reason(error))")
            }
            tally.files += 1
        }
        return tally
    }

    /// Every CSV file below the input, in order of names.
    private func files() throws(StartFailure) -> [String] {
        let kind = try? URL(filePath: input).resourceValues(forKeys: [.isDirectoryKey])
        guard kind?.isDirectory == true, let walk = FileManager.default.enumerator(atPath: input)
        else {
            throw StartFailure(
                .usage, "there is no folder \(input); --input names one with <folder>/<name>.csv")
        }
        var names: [String] = []
        while let name = walk.nextObject() as? String {
            if name.hasSuffix(".csv") { names.append(name) }
        }
        guard !names.isEmpty else {
            throw StartFailure(
                .usage, "no file under \(input) ends in .csv; --input wants <folder>/<name>.csv")
        }
        return names.sorted()
    }

    /// The scored rows of one file.
    private func score(
        _ name: String, _ tally: inout Tally, _ say: (String) -> Void
    ) throws(StartFailure) -> Data {
        let path = "\(input)/\(name)"
        let text: Data
        do { text = try Data(contentsOf: URL(filePath: path), options: .mappedIfSafe) } catch {
            throw StartFailure(.dataError, "cannot read \(path): \(error)")
        }
        var rows = RowReader(path: path, isMultivariate: isMultivariate)
        var scored = Data("timestamp,value,anomaly_score,label\n".utf8)
        var device: AnomalyDevice?
        var skipped = 0
        for line in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            guard let row = try rows.read(line) else { continue }
            tally.rows += 1
            if device == nil { device = AnomalyDevice(metrics: row.values.count) }
            var mark = 0.0
            if let score = device?.push(row.values, at: row.time.milliseconds, profile) {
                if score.alerts {
                    tally.alerts += 1
                    let total = Double(score.total)
                    mark = total / (total + profile.threshold)
                    if explains { say("\(name):\(rows.line) \(explain(row, score, rows))") }
                }
            } else {
                skipped += 1
            }
            scored.append(row.copied)
            scored.append(contentsOf: ",\(mark),0\n".utf8)
        }
        guard !rows.columns.isEmpty else {
            throw StartFailure(.dataError, "\(path): no rows; it wants timestamp,value and rows")
        }
        if skipped > 0 {
            tally.skipped += skipped
            say("\(name): \(skipped) rows without a number, or back in time, score 0")
        }
        return scored
    }

    private func explain(
        _ row: RowReader.Row, _ score: AnomalyDevice.Score, _ rows: RowReader
    ) -> String {
        let parts = score.parts.map { part in
            let words = part.part.words { Scoring.number($0) }
            guard isMultivariate else { return words }
            return (part.metric.map { rows.columns[$0] } ?? "what they have not in common")
                + ": " + words
        }
        return "\(row.text) score \(Scoring.number(Double(score.total))): "
            + parts.joined(separator: "; ")
    }

    private static func number(_ value: Double) -> String {
        let digits = FloatingPointFormatStyle<Double>.number.precision(.significantDigits(1...4))
        return value.formatted(digits.grouping(.never).locale(Locale(identifier: "en_US_POSIX")))
    }
}

/// Rows of `timestamp,value[,…]`, checked as they come.
struct RowReader {
    struct Row {
        let time: Instant
        /// NaN where the cell is empty or says so.
        var values: [Double]
        /// The first two cells, as they go into the output.
        let copied: Data

        var text: String { String(decoding: copied, as: UTF8.self) }
    }

    let path: String
    let isMultivariate: Bool
    private(set) var line = 0
    /// Names of the value columns.
    private(set) var columns: [String] = []
    private var places: [Int] = []
    private var width = 0

    init(path: String, isMultivariate: Bool) {
        self.path = path
        self.isMultivariate = isMultivariate
    }

    /// What a scored file adds; an input that has them already is scored anew.
    private static let added: Set<String> = ["anomaly_score", "label"]
    private static let valuesMax = 256

    /// - Returns: nil for the header and for empty lines.
    mutating func read(_ bytes: Data) throws(StartFailure) -> Row? {
        line += 1
        let trimmed = bytes.last == UInt8(ascii: "\r") ? bytes.dropLast() : bytes
        guard !trimmed.isEmpty else { return nil }
        let cells = trimmed.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        if width == 0 {
            try head(cells)
            return nil
        }
        guard cells.count == width else {
            throw bad("\(cells.count) cells where the header has \(width); mend or drop the row")
        }
        guard let time = Self.time(cells[0]) else {
            throw bad(
                "'\(Self.text(cells[0]))' is no time; write 2014-02-14 14:27:00, or RFC 3339")
        }
        var values: [Double] = []
        for (place, name) in zip(places, columns) {
            guard let value = Self.value(cells[place]) else {
                throw bad(
                    "'\(Self.text(cells[place]))' in column '\(name)' is no number; "
                        + "leave the cell empty where there is none")
            }
            values.append(value)
        }
        var copied = Data(cells[0])
        copied.append(UInt8(ascii: ","))
        copied.append(contentsOf: cells[places[0]])
        return Row(time: time, values: values, copied: copied)
    }

    private mutating func head(_ cells: [Data]) throws(StartFailure) {
        let names = cells.map { Self.text($0).trimmingCharacters(in: .whitespaces) }
        guard names[0] == "timestamp", names.count >= 2 else {
            throw bad("the header must be timestamp,value, not '\(names.joined(separator: ","))'")
        }
        for (place, name) in names.enumerated().dropFirst()
        where !RowReader.added.contains(name) {
            places.append(place)
            columns.append(name)
        }
        guard !columns.isEmpty else { throw bad("the header names no value column") }
        guard columns.count == 1 || isMultivariate else {
            throw bad(
                "there are \(columns.count) value columns; --multivariate scores them as the "
                    + "metrics of one device")
        }
        guard columns.count <= RowReader.valuesMax else {
            throw bad("\(columns.count) value columns; \(RowReader.valuesMax) at most")
        }
        width = names.count
    }

    private func bad(_ reason: String) -> StartFailure {
        StartFailure(.dataError, "\(path):\(line): \(reason)")
    }

    private static func text(_ cell: Data) -> String {
        String(decoding: cell.prefix(60), as: UTF8.self)
    }

    /// A time without a zone is taken for UTC.
    private static func time(_ cell: Data) -> Instant? {
        Instant(rfc3339: cell) ?? Instant(rfc3339: cell + [UInt8(ascii: "Z")])
    }

    private static func value(_ cell: Data) -> Double? {
        let text = text(cell).trimmingCharacters(in: .whitespaces)
        guard !text.isEmpty else { return .nan }
        return Double(text)
    }
}
