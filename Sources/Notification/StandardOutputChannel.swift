package import Escalation
package import Fleet
import Foundation

/// Writes each page as text, for a first try, a terminal or a pipe of the operator's own.
package final class StandardOutputChannel: Channel {
    private let instance: Instance
    private let write: @Sendable ([UInt8]) -> Bool

    /// `write` takes one whole message and says whether it went out.
    package init(
        from instance: Instance,
        write: @escaping @Sendable ([UInt8]) -> Bool = StandardOutputChannel.writeOut
    ) {
        self.instance = instance
        self.write = write
    }

    package func send(_ delivery: Delivery, at now: Instant) -> Attempt {
        let text = PageText(delivery.page, from: instance, mayRepeat: delivery.mayRepeat).full
        guard write(Array("\(text)\n".utf8)) else {
            return .retry(after: nil, code: 0, reason: "standard output is closed or full")
        }
        return .delivered(code: 0)
    }

    package static let writeOut: @Sendable ([UInt8]) -> Bool = { bytes in
        do {
            try FileHandle.standardOutput.write(contentsOf: Data(bytes))
            return true
        } catch {
            return false
        }
    }
}
