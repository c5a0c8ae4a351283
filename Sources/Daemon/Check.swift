import Configuration
import Escalation
import Rules

/// `tocsin check`: what a start or a reload would say of these files.
package enum Check {
    /// - Returns: 0, or the exit code of a configuration error; every problem went to `print`.
    package static func run(
        folder: String?, settings file: String?, _ say: (String) -> Void
    ) throws(StartFailure) -> Int32 {
        var destinations: Set<String>?
        var directory = folder
        if let file {
            let settings = try Settings.read(file)
            _ = try settings.kafka.clientProperties(instance: settings.instanceName)
            destinations = Set(settings.destinations.map(\.name))
            directory = folder ?? settings.rulesDirectory
            say("\(file): settings are good")
        }
        guard let directory else {
            throw StartFailure(.usage, "name a rules folder, or settings with --settings FILE")
        }
        let problems = Problems()
        guard
            let rules = RuleFolder.load(directory, destinations: destinations, problems: problems)
        else {
            // As compilers write it, so that editors find the place.
            say(problems.report)
            return StartFailure.Kind.configuration.rawValue
        }
        let calendars = rules.book.calendars.count
        let live = rules.book.rules.count { $0.mode == .live }
        say(
            "\(directory): \(rules.files.count) files are good: \(rules.book.rules.count) rules "
                + "(\(live) live), \(rules.policy.routes.count) routes, "
                + "\(rules.policy.people.count) people"
                + (calendars > 0 ? ", calendars: \(calendars)" : ""))
        return 0
    }
}
