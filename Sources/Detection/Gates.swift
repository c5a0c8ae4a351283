/// What a device is doing, as far as rules ask before they judge it.
///
/// Public, so that it is inlined.
public struct Gates: OptionSet, Sendable, Hashable {
    /// One bit for each gate that is open.
    public let rawValue: UInt16

    /// The gates of some bits.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// A job or a service has it.
    package static let allocated = Gates(rawValue: 1)
    /// The fast mean of util.busy is above one half.
    package static let active = Gates(rawValue: 2)
    /// Allocated and active.
    package static let running = Gates(rawValue: 4)
    /// `running` has not changed for five minutes.
    package static let settled = Gates(rawValue: 8)
    /// Known for ten minutes: what it never sent by now it does not send.
    package static let warm = Gates(rawValue: 16)
    package static let train = Gates(rawValue: 32)
    package static let infer = Gates(rawValue: 64)
    package static let dev = Gates(rawValue: 128)
    /// Was running at some time in the last hour.
    package static let recentlyRan = Gates(rawValue: 256)

    /// As written in rules.
    package static let named: [(name: String, gate: Gates)] = [
        ("allocated", .allocated), ("active", .active), ("running", .running),
        ("settled", .settled), ("warm", .warm), ("train", .train), ("infer", .infer),
        ("dev", .dev), ("recently_ran", .recentlyRan),
    ]
}
