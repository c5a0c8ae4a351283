import Foundation

/// Reads what must not stand in a settings file.
///
/// A name without a slash is a credential of the unit (`LoadCredential=`, under
/// `$CREDENTIALS_DIRECTORY`); anything else is a path.
package enum Secrets {
    private static let bytesMax = 64 << 10

    /// The bytes of the secret `name`, without a final line break.
    ///
    /// - Throws: what was tried and how to mend it; never a byte of the secret.
    package static func read(_ name: String) throws(StartFailure) -> [UInt8] {
        let path: String
        if name.contains("/") {
            path = name
        } else if let directory = ProcessInfo.processInfo.environment["CREDENTIALS_DIRECTORY"] {
            path = "\(directory)/\(name)"
        } else {
            throw StartFailure(
                .configuration,
                "secret '\(name)': there is no $CREDENTIALS_DIRECTORY; add LoadCredential=\(name):"
                    + "/path/to/file to the unit, or write a path")
        }
        let attributes: [FileAttributeKey: Any]
        var bytes: [UInt8]
        do {
            attributes = try FileManager.default.attributesOfItem(atPath: path)
            bytes = Array(try Data(contentsOf: URL(filePath: path)))
        } catch {
            throw StartFailure(
                .configuration, "secret '\(name)': cannot read \(path): \(reason(error))")
        }
        let mode = (attributes[.posixPermissions] as? NSNumber)?.intValue ?? 0
        guard mode & 0o007 == 0 else {
            throw StartFailure(
                .configuration,
                "secret '\(name)': \(path) is open to everybody (mode "
                    + String(mode, radix: 8) + "); run: chmod o= \(path)")
        }
        guard bytes.count <= bytesMax else {
            throw StartFailure(.configuration, "secret '\(name)': \(path) is larger than 64 KiB")
        }
        while bytes.last == 10 || bytes.last == 13 { bytes.removeLast() }
        guard !bytes.isEmpty else {
            throw StartFailure(.configuration, "secret '\(name)': \(path) is empty")
        }
        return bytes
    }
}
