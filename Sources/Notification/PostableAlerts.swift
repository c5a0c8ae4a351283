package import Escalation
package import Fleet

/// Pages as Alertmanager's API v2 takes them: an array of postableAlert.
///
/// The labels are the identity of an alert there, so they hold only what does not change in the life
/// of an incident; whatever changes is an annotation. Where the severity rises, a second alert takes
/// over and the first runs out after four minutes.
package enum PostableAlerts {
    /// What Alertmanager's own tools take in one request (reference, wire formats 4.1).
    package static let batchMax = 64
    /// A firing alert lives for four rounds of being sent again, one a minute.
    package static let life = Duration.seconds(240)

    package static func json(
        _ pages: some Sequence<Page>, from instance: Instance, at now: Instant
    )
        -> [UInt8]
    {
        var writer = JSONWriter()
        writer.array { writer in
            for page in pages { append(page, instance, now, &writer) }
        }
        return writer.bytes
    }

    private static func append(
        _ page: Page, _ instance: Instance, _ now: Instant, _ writer: inout JSONWriter
    ) {
        let brief = page.brief
        let ends = page.kind == .resolved ? min(page.at, now) : now + life
        writer.object { writer in
            writer.object("labels") { writer in
                // An empty value is no label to Alertmanager; the identity would then be another.
                for (name, value) in labels(page, instance) where !value.isEmpty {
                    writer.member(name, plain(value, max: 300))
                }
            }
            writer.object("annotations") { writer in
                for (name, value) in annotations(page, instance) where !value.isEmpty {
                    writer.member(name, value)
                }
            }
            // endsAt before startsAt is refused, with the whole alert.
            writer.member("startsAt", min(brief.since, ends).rfc3339)
            writer.member("endsAt", ends.rfc3339)
            let link = instance.link(to: page.incident)
            if !link.isEmpty { writer.member("generatorURL", link) }
        }
    }

    private static func labels(_ page: Page, _ instance: Instance) -> KeyValuePairs<String, String>
    {
        [
            "alertname": alertName(page.brief.symptom),
            "blame": page.brief.blame.name,
            "blame_kind": page.brief.blame.kind.rawValue,
            "cluster": instance.cluster,
            "incident": page.incident,
            "severity": page.brief.severity.name,
            "source": "tocsin",
            "symptom": page.brief.symptom,
        ]
    }

    private static func annotations(
        _ page: Page, _ instance: Instance
    ) -> KeyValuePairs<String, String> {
        let brief = page.brief
        return [
            "summary": PageText(page, from: instance).headline,
            "description": plain(brief.summary, max: 2_000),
            "runbook": plain(brief.runbook, max: 1_000),
            "tier": page.tier.name,
            "reason": page.reason.words,
            "cost_per_hour": brief.costPerHour.description,
            "cost_total": brief.costTotal.description,
            "device_count": String(max(brief.deviceCount, brief.devices.count)),
            "devices": brief.devices.prefix(20).map { plain($0, max: 100) }.joined(separator: ", "),
            "acknowledged_by": plain(brief.acknowledgedBy, max: 100),
        ]
    }

    /// `off-bus` becomes `TocsinOffBus`, as alert names are written there.
    private static func alertName(_ symptom: String) -> String {
        let words = symptom.unicodeScalars.split {
            !($0.isASCII && $0.properties.isAlphabetic) && !("0"..."9" ~= $0)
        }
        return "Tocsin"
            + words.map {
                $0.prefix(1).map { String($0).uppercased() }.joined()
                    + String(String.UnicodeScalarView($0.dropFirst()))
            }.joined()
    }
}
