import HTTP
import Synchronization

/// The one connection of a channel, which its thread and a caller may share.
final class Poster: Sendable {
    private let settings: DestinationSettings
    private let cancellation = Cancellation()
    private let client: Mutex<Client>

    init(_ settings: DestinationSettings, from instance: Instance) {
        self.settings = settings
        client = Mutex(Client(settings.clientSettings(instance, cancellation)))
    }

    func cancel() { cancellation.cancel() }

    /// Posts with the headers of the settings behind `headers`.
    func post(_ body: [UInt8], to url: String, headers: [String]) -> Result<Answer, TransferError> {
        // A receiver that does not know `100 Continue` would make us wait a second.
        let headers = headers + ["Expect:"] + settings.headers
        return client.withLock { client in
            do throws(TransferError) {
                return .success(
                    try client.post(
                        url, headers: headers, body: body,
                        timeoutMilliseconds: settings.timeoutMilliseconds))
            } catch {
                return .failure(error)
            }
        }
    }
}

extension Attempt {
    init(_ result: Result<Answer, TransferError>) {
        switch result {
        case .success(let answer): self.init(answer)
        case .failure(let error): self.init(error)
        }
    }
}
