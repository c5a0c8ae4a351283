package import Fleet

/// Who is on call, and when: layers in order of priority, and exceptions to them.
package struct Schedule: Sendable {
    package let name: String
    package var layers: [Rotation]
    package var overrides: [Override]

    /// A stretch of time in which somebody else is on call, or nobody.
    package struct Override: Sendable {
        package let from: Instant
        package let until: Instant
        package let people: [String]
    }

    /// Names of those on call at `time`; empty is a gap.
    package func onCall(at time: Instant) -> [String] {
        // The override written last wins: people append.
        if let override = overrides.last(where: { $0.from <= time && time < $0.until }) {
            return override.people
        }
        for layer in layers {
            if let person = layer.onCall(at: time) { return [person] }
        }
        return []
    }
}

/// People who take turns, handing over at a time on the wall.
///
/// Shift `i` is half-open, from handoff `i` to handoff `i + 1`: its end is the next handoff and
/// never start plus duration, so that a change of the clock leaves neither a gap nor an overlap.
package struct Rotation: Sendable {
    package enum Every: Sendable, Equatable {
        case day
        /// 0 is Monday.
        case week(on: Int)
    }

    package let zone: Zone
    package let every: Every
    package let secondOfDay: Int
    package let since: CivilDate
    package let people: [String]
    /// Seconds of the local day in which the layer holds; may run over midnight.
    package let hours: Range<Int>?
    private let anchor: Int
    private var daysBetween: Int { every == .day ? 1 : 7 }

    package init(
        zone: Zone, every: Every, secondOfDay: Int, since: CivilDate, people: [String],
        hours: Range<Int>? = nil
    ) {
        self.zone = zone
        self.every = every
        self.secondOfDay = secondOfDay
        self.since = since
        self.people = people
        self.hours = hours
        // Handoff 0 is the last one on or before `since`: there is no gap at the start.
        switch every {
        case .day: anchor = since.daysSinceEpoch
        case .week(let day): anchor = since.daysSinceEpoch - (since.weekday - day + 7) % 7
        }
    }

    /// The instant of handoff `index`; index 0 is the first.
    package func handoff(_ index: Int) -> Instant {
        let date = CivilDate(daysSinceEpoch: anchor + index * daysBetween)
        return zone.instant(WallTime(date: date, secondOfDay: secondOfDay))
    }

    /// The number of handoffs until `time`, less one; nil before the first.
    package func shift(at time: Instant) -> Int? {
        let days = zone.local(time).date.daysSinceEpoch - anchor
        var index = days / daysBetween - (days < 0 ? 1 : 0)
        // The wall clock's date is within a day of the right shift; walk the rest.
        while handoff(index) > time { index -= 1 }
        while handoff(index + 1) <= time { index += 1 }
        return index < 0 ? nil : index
    }

    package func onCall(at time: Instant) -> String? {
        guard !people.isEmpty, covers(time), let shift = shift(at: time) else { return nil }
        return people[shift % people.count]
    }

    private func covers(_ time: Instant) -> Bool {
        guard let hours else { return true }
        let second = zone.local(time).secondOfDay
        return hours.contains(second) || hours.contains(second + 86_400)
    }
}
