import Fleet
import Foundation

/// Why a scenario cannot go on, in words.
struct Trouble: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// The clock on the wall, which is the daemon's too.
func wallClock() -> Instant {
    Instant(milliseconds: Int64(Date().timeIntervalSince1970 * 1_000))
}

/// Asks every 30 ms until there is an answer, and gives up after `seconds`.
///
/// What a refusal to answer throws counts as no answer: a daemon that starts has no API yet.
@discardableResult func eventually<T>(
    _ what: String, within seconds: Double, _ answer: () throws -> T?
) throws -> T {
    let end = ContinuousClock.now + .seconds(seconds)
    var last = ""
    while true {
        do {
            if let found = try answer() { return found }
            last = ""
        } catch let fatal as Fatal {
            throw Trouble("\(what): \(fatal.reason)")
        } catch {
            last = "; the last attempt: \(error)"
        }
        guard ContinuousClock.now < end else {
            throw Trouble("not within \(Int(seconds)) s: \(what)\(last)")
        }
        Thread.sleep(forTimeInterval: 0.03)
    }
}

/// No waiting will mend it: the process that is asked has ended.
struct Fatal: Error {
    let reason: String
}
