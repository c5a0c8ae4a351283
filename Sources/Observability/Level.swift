/// How much a log line matters; the number is syslog's, which the journal understands.
package enum Level: Int, Sendable, CaseIterable, Comparable {
    /// Something is lost or broken; a person should look.
    case error = 3
    /// It goes on, but not as it should.
    case warning = 4
    /// Said once in a life: started, reloaded, stopped.
    case notice = 5
    case info = 6
    case debug = 7

    package var name: String {
        switch self {
        case .error: "error"
        case .warning: "warning"
        case .notice: "notice"
        case .info: "info"
        case .debug: "debug"
        }
    }

    package init?(name: String) {
        guard let found = Level.allCases.first(where: { $0.name == name }) else { return nil }
        self = found
    }

    /// The graver level is the smaller.
    package static func < (left: Level, right: Level) -> Bool { left.rawValue < right.rawValue }
}

/// How a log line is written.
package enum LogFormat: String, Sendable, CaseIterable {
    /// `<4>message key=value`: the journal adds the time and keeps the priority.
    case journal
    /// `2026-11-21T08:00:00Z warning message key=value`.
    case text
    /// One object on each line.
    case json
}
