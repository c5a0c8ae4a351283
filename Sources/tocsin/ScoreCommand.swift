import Daemon

/// `tocsin score …`: recorded series through the anomaly score.
enum ScoreCommand {
    static func run(_ arguments: Arguments) throws -> Int32 {
        let name = arguments["profile"] ?? "sensitive"
        guard
            var scoring = Scoring(
                input: arguments["input"] ?? "", output: arguments["output"] ?? "", profile: name)
        else { throw UsageError("'--profile' must be sensitive or paging, not '\(name)'") }
        scoring.explains = arguments.has("explain")
        scoring.isMultivariate = arguments.has("multivariate")
        let tally = try scoring.run { say($0) }
        say(
            "\(tally.files) files, \(tally.rows) rows, \(tally.alerts) alerts, profile \(name)")
        return 0
    }
}
