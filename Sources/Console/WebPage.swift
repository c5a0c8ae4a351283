import Escalation
import Fleet
import HTTP

/// The web page: open incidents, readable on a phone at 3 a.m., without a script.
extension Console {
    func page() -> Response {
        let view = view()
        let open = Console.inOrder(view.cases.filter { $0.episode.phase == .open })
        let counts = StatusDocument.Counts(view.cases)
        let rows = open.prefix(Console.limitMax).map { WebPage.row(IncidentDocument($0), view.at) }
        let headline =
            open.isEmpty
            ? "No open incident"
            : "\(open.count) open incident\(open.count == 1 ? "" : "s"), "
                + "\(counts.unacked) without an owner, \(Plain.money(counts.usdPerHour)) per hour"
        let warnings = warnings(view)
        // Silence means something only while somebody listens.
        let calm =
            warnings.isEmpty
            ? "Nothing fires. \(view.deviceCount) devices are watched."
            : "Nothing is known to fire, and not everything is watched."
        let table =
            open.isEmpty
            ? "<p class=quiet>\(calm)</p>"
            : """
            <table class=list><thead><tr><th>Severity<th>What<th>Where<th>Since<th class=n>$/h<th>Who
            </thead><tbody>\(rows.joined(separator: "\n"))</tbody></table>
            """
        let hidden = open.count - rows.count
        let more = hidden > 0 ? "<p>\(hidden) more are in the API.</p>" : ""
        return WebPage.response(
            title: headline, refresh: true,
            body: "<h1>\(Plain.html(headline))</h1>\(warnings)\(table)\(more)"
                + WebPage.footer(view))
    }

    func page(of id: String) throws(Refusal) -> Response {
        let incident = try whole(id)
        let view = view()
        return WebPage.response(
            title: "\(incident.id) \(incident.title)", refresh: false,
            body: "<p><a href=\"/\">all open incidents</a></p>"
                + WebPage.detail(incident, view.at) + WebPage.footer(view))
    }

    private func warnings(_ view: ConsoleView) -> String {
        var reasons = view.notReady
        let seconds = (view.at - view.engineAliveAt).seconds
        if seconds > Console.engineAliveSeconds {
            reasons.append("the engine has stopped: what is below may be old")
        }
        guard !reasons.isEmpty else { return "" }
        return
            "<p class=warn>Not ready: \(Plain.html(reasons.joined(separator: "; "), max: 1_000))</p>"
    }
}

private enum WebPage {
    /// No script, no picture, nothing from elsewhere: what a label smuggles in cannot run.
    private static let policy = "default-src 'none'; style-src 'unsafe-inline'"

    private static let style = """
        :root{color-scheme:light dark}
        body{font:16px/1.45 system-ui,sans-serif;max-width:72rem;margin:1.5rem auto;padding:0 1rem}
        h1{font-size:1.3rem} h2{font-size:1.05rem;margin-top:1.6rem}
        table{border-collapse:collapse;width:100%} .scroll{overflow-x:auto}
        th,td{text-align:left;vertical-align:top;padding:.45rem .6rem;border-bottom:1px solid #8884}
        th{font-size:.8rem;font-weight:600;opacity:.75} td.n,th.n{text-align:right;white-space:nowrap}
        td.s{white-space:nowrap} a{color:inherit} small{opacity:.75} dt{font-weight:600}
        dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1.2rem} dd{margin:0}
        td,dd,li{overflow-wrap:anywhere} .quiet{opacity:.75}
        .sev{display:inline-block;white-space:nowrap;padding:.05rem .5rem;border-radius:.6rem;font-size:.85rem;
        color:#fff;background:#57606a} .critical{background:#b3131c} .high{background:#9a4a00}
        .medium{background:#745c00} .warn{padding:.6rem .8rem;border-left:.3rem solid #b3131c;
        background:#b3131c1a} .act{padding:.6rem .8rem;border-left:.3rem solid #1a7f37;
        background:#1a7f371a} footer{margin-top:2rem;font-size:.8rem;opacity:.75}
        @media(max-width:46rem){.list thead{display:none}
        .list tbody,.list tr,.list td{display:block;border:0;padding:.1rem 0;text-align:left}
        .list tr{border-bottom:1px solid #8886;padding:.7rem 0}
        .list td[data-name]::before{content:attr(data-name) " ";font-size:.8rem;opacity:.75}}
        """

    static func response(title: String, refresh: Bool, body: String) -> Response {
        let html = """
            <!doctype html><html lang=en><head><meta charset=utf-8>
            <meta name=viewport content="width=device-width,initial-scale=1">
            <meta http-equiv=Content-Security-Policy content="\(policy)">
            \(refresh ? "<meta http-equiv=refresh content=30>" : "")
            <title>\(Plain.html(title, max: 120)) · Tocsin</title><style>\(style)</style></head>
            <body>\(body)</body></html>

            """
        return Response(contentType: "text/html; charset=utf-8", body: Array(html.utf8))
    }

    static func row(_ incident: IncidentDocument, _ now: Instant) -> String {
        let devices =
            incident.deviceCount == 1 ? "" : " <small>\(incident.deviceCount) devices</small>"
        return """
            <tr><td>\(severity(incident))
            <td><a href="/incidents/\(link(incident.id))">\(Plain.html(incident.title, max: 160))</a>
            \(isPlain(incident) ? "" : "<br><small>\(Plain.html(incident.summary, max: 240))</small>")
            <br><small>\(Plain.html(incident.id))</small>
            <td data-name=on>\(Plain.html("\(incident.blame.kind) \(incident.blame.name)", max: 120))\(devices)
            <td class=s data-name=since><time datetime="\(incident.since.instant.rfc3339)">\
            \(Plain.age(incident.since.instant, at: now))</time>
            <td class=n data-name="$/h">\(Plain.money(incident.cost.usdPerHour))
            <td data-name=who>\(Plain.html(incident.escalation.who(), max: 120))
            """
    }

    static func detail(_ incident: IncidentDocument, _ now: Instant) -> String {
        var html = "<h1>\(severity(incident)) \(Plain.html(incident.title))</h1>"
        if !isPlain(incident) { html += "<p>\(Plain.html(incident.summary, max: 1_000))</p>" }
        if !incident.runbook.isEmpty {
            html += "<p class=act><b>First:</b> \(Plain.html(incident.runbook, max: 1_000))</p>"
        }
        html += "<dl><dt>Incident<dd>\(Plain.html(incident.id))"
        for (name, value) in IncidentText.facts(incident, now) {
            html += "<dt>\(Plain.html(name))<dd>\(Plain.html(value, max: 1_000))"
        }
        html += "</dl>"
        guard let history = incident.history else { return html }
        html += "<h2>Evidence</h2><ul>"
        for finding in history.findings {
            html +=
                "<li>\(Plain.html(finding.summary)) <small>\(Plain.html(finding.rule)), since "
                + "\(finding.since.instant.rfc3339)</small>"
            let evidence = finding.evidence.map(IncidentText.words).joined(separator: "; ")
            if !evidence.isEmpty {
                html += "<br><small>\(Plain.html(evidence, max: 2_000))</small>"
            }
        }
        html += "</ul><h2>Timeline</h2><div class=scroll><table>"
        for row in history.timeline {
            html +=
                "<tr><td class=s>\(row.at.instant.rfc3339)<td>\(Plain.html(row.type))"
                + "<td>\(Plain.html(row.actor))<td>\(Plain.html(row.detail, max: 600))"
        }
        html += "</table></div><h2>Sent</h2><div class=scroll><table>"
        for sent in history.deliveries {
            html +=
                "<tr><td class=s>\(sent.at.instant.rfc3339)<td>\(Plain.html(sent.destination))"
                + "<td>\(Plain.html(sent.kind)), \(Plain.html(sent.reason))"
                + "<td>\(Plain.html(sent.recipients.joined(separator: ", ")))"
                + "<td>\(Plain.html(IncidentText.outcome(sent)))"
        }
        return html + "</table></div>"
    }

    static func footer(_ view: ConsoleView) -> String {
        let lag = StatusDocument(view, notReady: []).lag
        return """
            <footer>Tocsin \(Plain.html(view.version)) on \(Plain.html(view.instance)), up for \
            \(Plain.age(view.startedAt, at: view.at)); \(view.deviceCount) devices, \
            \(view.partitions.count) partitions, \(lag) records behind; as of \
            \(Timestamp(view.at).instant.rfc3339)</footer>
            """
    }

    /// Whether the title says all that the summary does.
    private static func isPlain(_ incident: IncidentDocument) -> Bool {
        incident.summary == incident.title
    }

    private static func severity(_ incident: IncidentDocument) -> String {
        "<span class=\"sev \(Plain.html(incident.severity))\">\(Plain.html(incident.severity))</span>"
    }

    /// Ids are ours, and still: only what needs no escape in a path.
    private static func link(_ id: String) -> String {
        String(
            id.unicodeScalars.filter {
                $0 == "-" || ($0.isASCII && $0.properties.isAlphabetic)
                    || ("0"..."9").contains($0)
            }.map(Character.init))
    }
}
