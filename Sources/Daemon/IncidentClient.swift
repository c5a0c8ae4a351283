import Console
import Escalation
import Fleet
import Foundation
import HTTP
import Ledger
import Observability

/// Where a running daemon keeps its state, as a command on the same host finds it.
private func stateDirectory(state: String?, settings: String?) throws(StartFailure) -> String {
    if let state { return state }
    let standard = "/etc/tocsin/settings.yaml"
    let file = settings ?? standard
    guard settings != nil || FileManager.default.fileExists(atPath: file) else {
        return Settings().stateDirectory
    }
    return try Settings.read(file).stateDirectory
}

/// Speaks to the API of the daemon on this host, for the command line.
package struct IncidentClient {
    private let url: String
    private let token: String
    private let now: Instant

    /// - Throws: why no daemon can be spoken to, and what to do.
    package init(state: String?, settings: String?) throws(StartFailure) {
        let directory = try stateDirectory(state: state, settings: settings)
        struct Announcement: Decodable { var url: String }
        guard let data = try? Data(contentsOf: URL(filePath: "\(directory)/api.json")),
            let announcement = try? JSONDecoder().decode(Announcement.self, from: data)
        else {
            throw StartFailure(
                .unavailable,
                "no daemon has announced itself in \(directory)/api.json: is it running, and is "
                    + "this its state directory? Name another with --state DIR")
        }
        url = announcement.url
        let file = "\(directory)/api.token"
        token =
            (try? String(contentsOf: URL(filePath: file), encoding: .utf8))?
            .trimmingCharacters(in: .whitespacesAndNewlines) ?? ""
        now = Log.wallClock()
    }

    package func list(all: Bool, json: Bool) throws -> String {
        let body = try get("/api/v1/incidents?phase=\(all ? "all" : "open")&limit=200")
        guard !json else { return String(decoding: body, as: UTF8.self) }
        let list = try APIJSON.decode(IncidentList.self, body)
        guard !list.incidents.isEmpty else { return "no open incidents" }
        return IncidentText.table(list.incidents, at: now)
    }

    package func show(_ incident: String, json: Bool) throws -> String {
        let body = try get("/api/v1/incidents/\(escaped(incident))")
        guard !json else { return String(decoding: body, as: UTF8.self) }
        return IncidentText.detail(try APIJSON.decode(IncidentDocument.self, body), at: now)
    }

    /// How many records of `topic` are read and stored, from offset 0 on.
    package func consumed(_ topic: String) throws -> Int64 {
        let status = try APIJSON.decode(StatusDocument.self, try get("/api/v1/status"))
        return status.partitions.filter { $0.topic == topic }.reduce(0) { $0 + $1.nextOffset }
    }

    /// Asks for a change; answers the engine's sentence.
    package func act(
        _ action: String, on incident: String, _ members: [String: String]
    ) throws -> String {
        try change(
            .post, "/api/v1/incidents/\(escaped(incident))/\(action)",
            Array(try JSONEncoder().encode(members)))
    }

    private func change(
        _ method: Method, _ path: String, _ body: [UInt8]
    ) throws -> String {
        guard !token.isEmpty else {
            throw StartFailure(
                .unavailable,
                "the API token cannot be read: you need the rights of the daemon's group, or sudo")
        }
        let answer = try send(method, path, body: body)
        struct Done: Decodable { var done: String }
        return (try? APIJSON.decode(Done.self, answer).done) ?? "done"
    }

    package func silences(json: Bool) throws -> String {
        let body = try get("/api/v1/silences")
        guard !json else { return String(decoding: body, as: UTF8.self) }
        return IncidentText.silences(try APIJSON.decode(SilenceList.self, body).silences, at: now)
    }

    /// What is asked for when a silence is made.
    package struct NewSilence: Encodable {
        /// All of them must hold.
        package var matchers: [String]
        package var duration: String
        package var reason: String
        package var by: String

        package init(matchers: [String], duration: String, reason: String, by: String) {
            self.matchers = matchers
            self.duration = duration
            self.reason = reason
            self.by = by
        }
    }

    package func add(_ silence: NewSilence) throws -> String {
        try change(.post, "/api/v1/silences", Array(try JSONEncoder().encode(silence)))
    }

    package func expire(silence: String, by person: String) throws -> String {
        try change(
            .delete, "/api/v1/silences/\(escaped(silence))",
            Array(try JSONEncoder().encode(["by": person])))
    }

    package func approve(silence: String, by person: String) throws -> String {
        try change(
            .post, "/api/v1/silences/\(escaped(silence))/approve",
            Array(try JSONEncoder().encode(["by": person])))
    }

    private func get(_ path: String) throws(StartFailure) -> [UInt8] {
        try send(.get, path, body: [])
    }

    private func send(
        _ method: Method, _ path: String, body: [UInt8]
    ) throws(StartFailure) -> [UInt8] {
        let answer: Answer
        do throws(TransferError) {
            answer = try Client().send(
                method, url + path,
                headers: ["Authorization: Bearer \(token)", "Content-Type: application/json"],
                body: body, timeoutMilliseconds: 10_000, answerBytesMax: 16 << 20)
        } catch {
            throw StartFailure(
                .unavailable, "the daemon at \(url) does not answer: \(error.description)")
        }
        guard (200...299).contains(answer.status) else {
            struct Failure: Decodable { var error: String }
            let said = try? JSONDecoder().decode(Failure.self, from: Data(answer.body))
            throw StartFailure(
                .unavailable, said?.error ?? "the daemon answered \(answer.status)")
        }
        return answer.body
    }

    private func escaped(_ text: String) -> String {
        text.addingPercentEncoding(withAllowedCharacters: .alphanumerics.union(["-"])) ?? ""
    }
}

/// Reads the audit trail out of the ledger, whether the daemon runs or not.
package struct AuditReader {
    private let reader: LedgerReader

    package init(state: String?, settings: String?) throws(StartFailure) {
        let directory = try stateDirectory(state: state, settings: settings)
        do throws(LedgerError) {
            reader = try LedgerReader(directory: directory)
        } catch {
            throw StartFailure(error)
        }
    }

    /// Oldest first, as a log is read.
    package func lines(limit: Int) throws(StartFailure) -> [String] {
        do throws(LedgerError) {
            return try reader.audit(limit: limit).reversed().map { row in
                let entry = row.entry
                return [
                    String(row.seq), entry.at.rfc3339, entry.actor, entry.via, entry.type,
                    entry.incident, entry.detail,
                ].filter { !$0.isEmpty }.joined(separator: "  ")
            }
        } catch {
            throw StartFailure(error)
        }
    }

    /// Whether every row still hashes to what it was chained to.
    package func verify() throws(StartFailure) -> (isIntact: Bool, sentence: String) {
        do throws(LedgerError) {
            switch try reader.verifyAudit() {
            case .intact(let head, _):
                return (
                    true, "the audit trail is whole: \(head.seq) rows, head \(head.hexadecimal)"
                )
            case .broken(let seq, _, _):
                return (
                    false,
                    "the audit trail is broken at row \(seq): it, or a row before it, was changed"
                )
            }
        } catch {
            throw StartFailure(error)
        }
    }
}
