import Fleet
import Kafka
import Telemetry

extension Settings {
    /// These settings as a settings file, every key written out; loading it gives the same settings.
    ///
    /// Secrets stand in files and are only named; a value that should have been in one is hidden.
    package var printed: String {
        var lines = [
            "cluster: \(quoted(cluster))",
            instance.isEmpty
                ? "# instance: \(quoted(instanceName)), the name of this host"
                : "instance: \(quoted(instance))",
            "state: \(quoted(stateDirectory))", "rules: \(quoted(rulesDirectory))",
            "stale_after: \(staleAfter.short)", "retention: \(retention.short)",
        ]
        lines += kafka.printed
        lines += [
            "telemetry:", "  devices_max: \(telemetry.devicesMax)",
            "  message_bytes_max: \(telemetry.messageBytesMax)",
            "  future_skew: \(telemetry.futureSkew.short)",
            "  silence_after: \(telemetry.silenceAfter.short)",
        ]
        let host = api.address.contains(":") ? "[\(api.address)]" : api.address
        lines += ["api:", "  listen: \(quoted("\(host):\(api.port)"))"]
        lines.append(destinations.isEmpty ? "destinations: []" : "destinations:")
        for destination in destinations { lines += destination.printed }
        lines += [
            "log:", "  format: \(log.format.rawValue)", "  level: \(log.level.rawValue)",
        ]
        return lines.joined(separator: "\n")
    }
}

extension Settings.Kafka {
    fileprivate var printed: [String] {
        var lines = [
            "kafka:", "  bootstrap: [\(bootstrap.map(quoted).joined(separator: ", "))]",
            "  group: \(quoted(group))", "  patience: \(patience.short)",
            "  start_at: \(startAt.rawValue)", "  topics:",
        ]
        for topic in topics {
            lines.append(
                "    - {name: \(quoted(topic.name)), format: \(topic.format.rawValue)}")
        }
        lines += [
            "  dead_letters: \(quoted(deadLetters))", "  alerts: \(quoted(alerts))",
        ]
        let shown = properties.map { key, value in
            (key: key, value: KafkaConfiguration.isSecret(key) ? "***" : value)
        }
        lines += mapping("properties", shown)
        lines += mapping("secret_files", secretFiles.map { (key: $0.key, value: $0.value) })
        return lines
    }

    private func mapping(_ name: String, _ pairs: [(key: String, value: String)]) -> [String] {
        guard !pairs.isEmpty else { return ["  \(name): {}"] }
        return ["  \(name):"]
            + pairs.sorted { $0.key < $1.key }.map { "    \(quoted($0.key)): \(quoted($0.value))" }
    }
}

extension Settings.Destination {
    fileprivate var printed: [String] {
        var lines = ["  - name: \(quoted(name))", "    kind: \(kind.rawValue)"]
        guard kind != .stdout else { return lines }
        lines.append("    url: [\(urls.map(quoted).joined(separator: ", "))]")
        lines.append("    timeout: \(timeout.short)")
        if !tokenFile.isEmpty { lines.append("    token_file: \(quoted(tokenFile))") }
        if !secretFile.isEmpty { lines.append("    secret_file: \(quoted(secretFile))") }
        return lines
    }
}

/// A YAML scalar that is this text, whatever is in it; bare where nothing in it means something.
private func quoted(_ text: String) -> String {
    let isPlain = text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "."),
            UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
    guard text.isEmpty || !isPlain || text.first == "-" else { return text }
    var quoted = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"", "\\": quoted += "\\\(scalar)"
        case _
        where scalar.value < 0x20 || (0x7f...0xa0).contains(scalar.value)
            || scalar.value == 0x2028 || scalar.value == 0x2029 || scalar.value == 0xfeff:
            let digits = String(scalar.value, radix: 16)
            quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: quoted.unicodeScalars.append(scalar)
        }
    }
    return quoted + "\""
}

extension Daemon {
    /// The settings in force, as a person checks them.
    package var printedSettings: String {
        var inForce = settings
        inForce.stateDirectory = directory.path
        return inForce.printed
    }
}
