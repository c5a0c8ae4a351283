package import Escalation
import Fleet

/// A page as people read it: on a phone at night first, in full below.
package struct PageText: Sendable {
    /// What a lock screen shows.
    package static let headlineCharacters = 200
    /// More than anybody reads in a page; the console has them all.
    private static let devicesShown = 20

    private let page: Page
    private let instance: Instance
    private let mayRepeat: Bool

    package init(_ page: Page, from instance: Instance, mayRepeat: Bool = false) {
        self.page = page
        self.instance = instance
        self.mayRepeat = mayRepeat
    }

    private var brief: Brief { page.brief }

    /// What, where, since when, how bad, to whom and why, what to do, how to acknowledge.
    ///
    /// At most 200 characters as long as the blamed thing's name has at most 60: title and first
    /// action are cut to fit, ids never are.
    package var headline: String {
        let lead = "\(kindWord)SEV\(brief.severity.rawValue) "
        let title = plain(brief.title.isEmpty ? brief.symptom : brief.title, max: 1_000)
        let blame = plain(brief.blame.description, max: 300)
        let where_ = names(title) ? "" : " | \(blame)"
        let tail = " | \(facts.joined(separator: " | "))"
        let command = acknowledgeCommand.map { " | \($0)" } ?? ""
        let action = page.kind == .resolved ? "" : plain(brief.runbook, max: 1_000)

        let room =
            PageText.headlineCharacters - lead.count - where_.count - tail.count - command.count
            - (action.isEmpty ? 0 : 3)
        // Each gets at least half, and what the other leaves; a stub of 16 characters always.
        let titleMax = max(16, room - min(action.count, max(0, room / 2)))
        let shown = plain(title, max: titleMax)
        let actionMax = max(16, room - shown.count)
        let todo = action.isEmpty ? "" : " | \(plain(action, max: actionMax))"
        // A title cut before the name no longer says where.
        let place = where_.isEmpty && !names(shown) ? " | \(blame)" : where_
        return lead + shown + place + tail + todo + command
    }

    /// Whether a title says where; a device is found by its host and slot too.
    private func names(_ title: String) -> Bool {
        if !brief.blame.name.isEmpty, title.contains(brief.blame.name) { return true }
        let host = brief.labels[.host]
        return brief.blame.kind == .device && !host.isEmpty && title.contains(host)
    }

    /// The headline, an empty line, and everything that the person needs before a console is open.
    package var full: String { "\(headline)\n\n\(details)" }

    /// The full text without its headline.
    var details: String {
        var lines: [String] = []
        if mayRepeat {
            lines += ["This may be a repeat: an earlier attempt had no clear end.", ""]
        }
        if brief.isStale { lines += ["News of the past: it was old when we heard of it.", ""] }
        lines.append(
            "What     \(plain(brief.summary.isEmpty ? brief.title : brief.summary, max: 2_000))")
        for line in brief.evidence.prefix(10) { lines.append("         \(plain(line, max: 300))") }
        lines.append("Where    \(plain(brief.blame.description, max: 300))\(surroundings)")
        lines.append("Since    \(brief.since.rfc3339) (\(age))")
        if page.kind == .resolved {
            lines.append("Cost     \(brief.costTotal) in all")
        } else {
            lines.append(
                "Cost     \(brief.costPerHour)/h, \(brief.costTotal) so far, "
                    + "\(PageText.rounded(brief.acceleratorsLost)) accelerators lost")
        }
        for note in brief.notes.prefix(5) { lines.append("         \(plain(note, max: 300))") }
        lines.append("Devices  \(devices)")
        if !brief.rules.isEmpty {
            lines.append(
                "Rules    \(brief.rules.prefix(10).map { plain($0, max: 100) }.joined(separator: ", "))"
            )
        }
        if !brief.acknowledgedBy.isEmpty {
            lines.append("Acked by \(plain(brief.acknowledgedBy, max: 100))")
        }
        lines.append("Why you  \(page.tier.name), \(page.reason.words)")
        if page.kind != .resolved {
            lines.append(
                "Do first \(brief.runbook.isEmpty ? "open the incident" : plain(brief.runbook, max: 1_000))"
            )
        }
        if let acknowledgeCommand { lines.append("Ack      \(acknowledgeCommand)") }
        let link = instance.link(to: page.incident)
        if !link.isEmpty { lines.append("Open     \(link)") }
        lines.append(
            "Sent     \(page.at.rfc3339) by \(plain(instance.cluster, max: 100))/"
                + "\(plain(instance.name, max: 100)), page \(page.id)")
        return lines.joined(separator: "\n") + "\n"
    }

    private var kindWord: String {
        switch page.kind {
        case .page: ""
        case .update: "UPDATE "
        case .reminder: "REMINDER "
        case .resolved: "RESOLVED "
        case .acknowledged: "ACKED "
        }
    }

    private var facts: [String] {
        let who = plain(brief.acknowledgedBy, max: 40)
        switch page.kind {
        case .resolved: return ["lasted \(age)", "\(brief.costTotal) in all"]
        case .acknowledged:
            return [since, "\(brief.costPerHour)/h", who.isEmpty ? "acknowledged" : "by \(who)"]
        case .page, .update, .reminder:
            return [since, "\(brief.costPerHour)/h", "\(page.tier.name), \(page.reason.words)"]
        }
    }

    private var since: String {
        let isToday = brief.since.rfc3339.prefix(10) == page.at.rfc3339.prefix(10)
        let day = isToday ? "" : "\(brief.since.rfc3339.prefix(10)) "
        return "since \(day)\(brief.since.timeOfDay.prefix(5))Z"
    }

    private var acknowledgeCommand: String? {
        switch page.kind {
        case .resolved, .acknowledged: nil
        case .page, .update, .reminder: "tocsin incident ack \(page.incident)"
        }
    }

    private var surroundings: String {
        brief.labels.pairs.map { ", \($0.key.name) \(plain($0.value, max: 100))" }.joined()
    }

    private var devices: String {
        let shown = brief.devices.prefix(PageText.devicesShown).map { plain($0, max: 100) }
        let count = max(brief.deviceCount, brief.devices.count)
        let rest = count - shown.count
        return "\(count): \(shown.joined(separator: ", "))\(rest > 0 ? " and \(rest) more" : "")"
    }

    /// In whole minutes, or seconds in the first.
    private var age: String {
        let seconds = max(0, (page.at - brief.since).milliseconds / 1_000)
        guard seconds >= 60 else { return "\(seconds)s" }
        let minutes = seconds / 60
        guard minutes >= 60 else { return "\(minutes)m" }
        return minutes >= 2_880
            ? "\(minutes / 1_440)d \(minutes / 60 % 24)h" : "\(minutes / 60)h \(minutes % 60)m"
    }

    private static func rounded(_ count: Double) -> String {
        guard count.isFinite, abs(count) < 1e9 else { return "unknown" }
        let tenths = Int64((count * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(abs(tenths % 10))"
    }
}

extension Page.Reason {
    /// Why this page comes now, as one says it.
    package var words: String {
        switch self {
        case .first: "first page"
        case .timeout: "not acked in time"
        case .unack: "ack withdrawn"
        case .ackExpired: "ack ran out"
        case .snoozeOver: "snooze is over"
        case .unmasked: "silence is over"
        case .reopen: "back again"
        case .severity: "severity rose"
        case .growth: "it grows"
        case .undelivered: "page undelivered"
        case .flapRepage: "flapping"
        case .backstop: "nobody answered"
        case .manual: "escalated by hand"
        case .resolved: "resolved"
        case .acknowledged: "acknowledged"
        case .reminder: "ack runs out soon"
        case .changed: "changed"
        case .informed: "for information"
        }
    }
}
