package import Fleet
import RollingStatistics

/// What is usual for one series at this hour of the week, and how far its last mean lay from it.
///
/// Means of a few minutes are held against a profile of 168 hours (or the 24 of a day), drawn as
/// a line between the middles of its bins. It speaks of an hour that it saw twice, so in the third
/// week, and then learns a little each week. 2 KB.
package struct Season: Sendable {
    private var profile: SeasonalProfile
    private let kind: SeasonKind
    private var gathered: IntervalMean
    /// The last mean was of a holiday.
    package private(set) var isHoliday = false
    /// The last complete mean.
    package private(set) var mean: Float?
    /// What was usual then; nil for an hour that is not known yet.
    package private(set) var usual: Float?
    /// Deviations of the mean above what is usual.
    package private(set) var z: Float?

    /// - Parameters:
    ///   - every: milliseconds that one mean stands for; at most the hour of a bin.
    ///   - kind: which hours are told apart.
    ///   - floor: the deviation below which nothing counts as unusual.
    package init(every: Int64, _ kind: SeasonKind, floor: Float) {
        self.kind = kind
        var settings = SeasonalProfile.Settings()
        settings.bins = kind == .week ? 168 : kind == .day ? 24 : 48
        if kind == .workday { settings.ring = 24 }
        settings.floor = floor
        profile = SeasonalProfile(settings)
        gathered = IntervalMean(every: min(max(every, 1_000), settings.binMilliseconds))
    }

    /// When a value last came, milliseconds.
    package var fedAt: Int64 { gathered.fedAt }

    /// Adds a value; the first one of a new interval closes the one before it.
    ///
    /// An interval with one value that is not to be learned from is scored and not learned. Hours
    /// are those of `calendar`, or of UTC.
    package mutating func feed(
        _ value: Float, at milliseconds: Int64, learns: Bool = true, calendar: SiteCalendar? = nil
    ) {
        guard let closed = gathered.feed(value, at: milliseconds, learns: learns) else { return }
        if let mean = closed.mean { close(mean, closed, calendar) }
        // After a gap the last mean is one of long ago.
        if !closed.isFollowed { (mean, usual, z) = (nil, nil, nil) }
    }

    private mutating func close(
        _ exact: Double, _ closed: IntervalMean.Closed, _ calendar: SiteCalendar?
    ) {
        let value = Float(exact)
        let instant = closed.start &+ gathered.every / 2
        let calendar = calendar ?? .universal
        let (middle, isHoliday) =
            kind == .workday ? calendar.workdays(instant) : calendar.hourly(instant)
        self.isHoliday = isHoliday
        mean = value
        usual = profile.baseline(at: middle)?.mean
        z = profile.score(value, at: middle)
        guard closed.learns else { return }
        _ = profile.update(Season.learned(value, usual: usual, z: z), at: middle)
    }

    /// The last complete mean, held against its hour; nil where either is not known.
    package var reading: SeasonReading? {
        guard let mean, let usual, let z else { return nil }
        return SeasonReading(mean: mean, usual: usual, z: z, isHoliday: isHoliday)
    }

    /// What is learned of a mean.
    static func learned(_ value: Float, usual: Float?, z: Float?) -> Float {
        guard let usual, let z, abs(z) > learnedMax else { return value }
        return usual + (value - usual) * (learnedMax / abs(z))
    }

    /// What lies further off is learned as if it lay here, in deviations.
    ///
    /// The next hour is drawn towards the one before it: learned whole, a fault of 13:00 would
    /// widen what passes for usual at 14:00 by three times, and hide its own second hour. So it
    /// widens it by a third at most, and a new level of six deviations is usual in some weeks.
    private static let learnedMax: Float = 2.5
}

/// Which hours a season tells apart.
package enum SeasonKind: Sendable {
    /// 168 of a week.
    case week
    /// 24 of a day.
    case day
    /// 24 of a working day, and 24 of a day of rest.
    case workday
}

/// One mean, held against its hour.
package struct SeasonReading: Equatable, Sendable {
    package let mean: Float
    package let usual: Float
    /// Deviations above what is usual.
    package let z: Float
    package let isHoliday: Bool
}
