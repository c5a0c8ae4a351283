package import Fleet

/// What each code of a family of events means to us: the XID table, for one.
package struct EventPolicy: Sendable {
    package struct Entry: Sendable {
        package var meaning = ""
        package var severity = Severity.medium
        package var tier = Tier.three
        package var symptom = ""
        package var action = ""
        package var cost = CostClass.none
        /// Tells of another event: silent beside one, and reported only where it stays alone.
        package var follows = false
        /// A word in the text of the event that makes it worse.
        package var worse: [(word: String, severity: Severity)] = []
    }

    package let name: String
    package var entries: [Int32: Entry] = [:]
    package var unknown = Entry()
    /// Codes from the cause to its consequences; what is not named comes after.
    package var roots: [Int32] = []
    /// The same code on the same device within this time is one event; milliseconds.
    package var dedup: Int64 = 300_000
    /// Events on one host within this time have one cause; milliseconds.
    package var cascade: Int64 = 60_000

    package subscript(code: Int32) -> Entry { entries[code] ?? unknown }

    /// Smaller is nearer to the cause.
    func rank(of code: Int32) -> Int {
        if let place = roots.firstIndex(of: code) { return place }
        return roots.count + self[code].severity.rawValue + (self[code].follows ? 100 : 0)
    }
}
