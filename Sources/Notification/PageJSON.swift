package import Escalation
import Fleet

/// A page as programs read it: the one object that webhooks and events carry.
///
/// Amounts are in the unit that ends their name; times are RFC 3339.
package struct PageJSON: Sendable {
    private let page: Page
    private let instance: Instance
    private let mayRepeat: Bool
    private let delivery: String

    package init(_ delivery: Delivery, from instance: Instance) {
        page = delivery.page
        mayRepeat = delivery.mayRepeat
        self.delivery = delivery.id
        self.instance = instance
    }

    /// The body of a generic webhook: `{"version":1,"delivery":…,"page":{…}}`.
    package func webhookBody(bytesMax: Int) -> [UInt8] {
        fitted(bytesMax) { limits in
            JSONWriter.object { writer in
                writer.member("version", 1)
                writer.member("delivery", delivery)
                writer.member("mayRepeat", mayRepeat)
                writer.member("source", instance.source)
                writer.object("page") { members(&$0, limits) }
            }
        }
    }

    /// A CloudEvents 1.0 event in structured mode, at most 60 KiB.
    ///
    /// Intermediaries must forward 64 KiB and may drop more; the rest is for headers of theirs.
    /// - Returns: type `io.tocsin.page.<kind>.v1`, the delivery's id, the incident as subject.
    package func cloudEvent(sequence: UInt64? = nil, bytesMax: Int = 61_440) -> [UInt8] {
        fitted(bytesMax) { limits in
            JSONWriter.object { writer in
                writer.member("specversion", "1.0")
                writer.member("id", delivery)
                writer.member("source", instance.source)
                writer.member("type", "io.tocsin.page.\(page.kind.rawValue).v1")
                writer.member("subject", page.incident)
                writer.member("time", page.at.rfc3339)
                writer.member("datacontenttype", "application/json")
                writer.member("partitionkey", page.incident)
                writer.member("severitytext", page.brief.severity.name)
                if let sequence {
                    let digits = String(sequence)
                    writer.member(
                        "sequence", String(repeating: "0", count: 20 - digits.count) + digits)
                }
                writer.object("data") { writer in
                    members(&writer, limits)
                    writer.member("mayRepeat", mayRepeat)
                }
            }
        }
    }

    /// How much of what may be long is written.
    private struct Limits {
        var devices: Int
        var text: Int
    }

    /// Keeps as many devices as fit; only where none fits are texts cut as well.
    private func fitted(_ bytesMax: Int, _ write: (Limits) -> [UInt8]) -> [UInt8] {
        var limits = Limits(devices: page.brief.devices.count, text: 8_192)
        var whole = write(limits)
        guard whole.count > bytesMax else { return whole }
        limits.devices = 0
        whole = write(limits)
        while whole.count > bytesMax, limits.text > 16 {
            limits.text /= 2
            whole = write(limits)
        }
        var low = 0
        var high = page.brief.devices.count
        while low < high {
            let middle = low + (high - low + 1) / 2
            limits.devices = middle
            let tried = write(limits)
            if tried.count <= bytesMax {
                low = middle
                whole = tried
            } else {
                high = middle - 1
            }
        }
        return whole
    }

    private func members(_ writer: inout JSONWriter, _ limits: Limits) {
        let brief = page.brief
        var wasCut = limits.devices < brief.devices.count
        func cut(_ text: String) -> String {
            guard text.utf8.count > limits.text else { return text }
            wasCut = true
            return String(text.unicodeScalars.prefix(limits.text / 4)) + "…"
        }
        writer.member("id", page.id)
        writer.member("kind", page.kind.rawValue)
        writer.member("reason", page.reason.rawValue)
        writer.member("incident", page.incident)
        writer.member("generation", page.generation)
        writer.member("round", page.round)
        writer.member("tier", page.tier.rawValue)
        writer.member("severity", brief.severity.rawValue)
        writer.member("at", page.at.rfc3339)
        writer.member("since", brief.since.rfc3339)
        writer.member("headline", cut(PageText(page, from: instance).headline))
        writer.member("title", cut(brief.title))
        writer.member("summary", cut(brief.summary))
        writer.member("symptom", cut(brief.symptom))
        writer.object("blame") { writer in
            writer.member("kind", brief.blame.kind.rawValue)
            writer.member("name", cut(brief.blame.name))
        }
        writer.object("labels") { writer in
            for (key, value) in brief.labels.pairs { writer.member(key.name, cut(value)) }
        }
        writer.member("rules", brief.rules.prefix(50).map(cut))
        writer.member("evidence", brief.evidence.prefix(10).map(cut))
        writer.member("notes", brief.notes.prefix(10).map(cut))
        writer.member("recipients", page.recipients.prefix(50).map { cut($0.name) })
        writer.member("acceleratorsLost", brief.acceleratorsLost)
        writer.member("costPerHourDollars", brief.costPerHour.dollars)
        writer.member("costTotalDollars", brief.costTotal.dollars)
        writer.member("runbook", cut(brief.runbook))
        writer.member("acknowledgedBy", cut(brief.acknowledgedBy))
        writer.member("isStale", brief.isStale)
        writer.member("url", instance.link(to: page.incident))
        writer.member("deviceCount", max(brief.deviceCount, brief.devices.count))
        writer.member("devices", brief.devices.prefix(limits.devices).map(cut))
        if wasCut { writer.member("truncated", true) }
    }
}
