/// One option of a command: `--settings FILE`.
struct Option {
    let name: String
    /// What stands for the value in the help; empty where the option is a switch.
    let value: String
    let help: String
    var required = false
}

/// One command, as its help shows it; parsing, help, completion and the man page read this table.
struct Command {
    let name: String
    let summary: String
    /// Positional arguments in words: `ACTION [INCIDENT]`; optional ones in brackets.
    var arguments = ""
    var options: [Option] = []
    /// What a person should know beyond the summary.
    var details = ""
    let run: (Arguments) throws -> Int32
}

/// What a person typed, checked against the table.
struct Arguments {
    let positional: [String]
    private let values: [String: String]
    private let switches: Set<String>

    subscript(name: String) -> String? { values[name] }
    func has(_ name: String) -> Bool { switches.contains(name) }

    /// - Throws: `UsageError` that names what was not understood and what would be.
    init(_ words: [String], for command: Command) throws(UsageError) {
        var positional: [String] = []
        var values: [String: String] = [:]
        var switches: Set<String> = []
        var rest = words[...]
        while let word = rest.popFirst() {
            if word == "--" {
                positional += rest
                break
            }
            guard word.hasPrefix("--") else {
                guard !word.hasPrefix("-") || word == "-" else {
                    throw UsageError("unknown option '\(word)'; options begin with two dashes")
                }
                positional.append(word)
                continue
            }
            let parts = word.dropFirst(2).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0])
            guard let option = command.options.first(where: { $0.name == name }) else {
                let known = command.options.map { "--\($0.name)" }.joined(separator: ", ")
                throw UsageError(
                    "'\(command.name)' has no option '--\(name)'"
                        + (known.isEmpty ? "" : "; it has \(known)"))
            }
            if option.value.isEmpty {
                guard parts.count == 1 else { throw UsageError("'--\(name)' takes no value") }
                switches.insert(name)
            } else if parts.count == 2 {
                values[name] = String(parts[1])
            } else if let next = rest.popFirst() {
                values[name] = next
            } else {
                throw UsageError("'--\(name)' needs a value: --\(name) \(option.value)")
            }
        }
        for option in command.options where option.required && values[option.name] == nil {
            throw UsageError("'\(command.name)' needs --\(option.name) \(option.value)")
        }
        let slots = command.arguments.split(separator: " ")
        let least = slots.count { !$0.hasPrefix("[") }
        let most = command.arguments.contains("...") ? Int.max : slots.count
        guard (least...most).contains(positional.count) else {
            throw UsageError(
                positional.count < least
                    ? "'\(command.name)' needs: \(command.arguments)"
                    : "too many arguments: '\(positional[min(most, positional.count - 1)])'")
        }
        self.positional = positional
        self.values = values
        self.switches = switches
    }
}

/// The command line makes no sense; the reason says what would.
struct UsageError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

extension Command {
    /// `usage: tocsin run --settings FILE`, the options, the details.
    var help: String {
        var lines = ["usage: tocsin \(name)" + (arguments.isEmpty ? "" : " \(arguments)")]
        if !options.isEmpty { lines[0] += " [options]" }
        lines += ["", summary]
        if !options.isEmpty {
            lines.append("")
            let left = options.map { "  --\($0.name)\($0.value.isEmpty ? "" : " \($0.value)")" }
            let width = (left.map(\.count).max() ?? 0) + 2
            for (head, option) in zip(left, options) {
                lines.append(
                    head + String(repeating: " ", count: width - head.count) + option.help
                        + (option.required ? " (required)" : ""))
            }
        }
        if !details.isEmpty { lines += ["", details] }
        return lines.joined(separator: "\n")
    }
}

extension Arguments {
    /// The whole number of an option, where it was given.
    func integer(_ name: String, in range: ClosedRange<Int>) throws(UsageError) -> Int? {
        guard let text = self[name] else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw UsageError(
                "'--\(name)' must be a whole number from \(range.lowerBound) to "
                    + "\(range.upperBound), not '\(text)'")
        }
        return number
    }
}
