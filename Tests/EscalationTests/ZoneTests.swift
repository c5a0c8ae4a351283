import Escalation
import Fleet
import Foundation
import TestSupport
import Testing

@Suite("Zones and rotations") struct ZoneTests {
    private func zone(_ name: String) throws -> Zone {
        try Zone(name: name, bytes: try #require(zoneBytes(name), "no tzdata for \(name)"))
    }

    private func wall(_ text: String) throws -> WallTime {
        let naive = try #require(Instant(rfc3339: "\(text)Z".utf8))
        return Zone.utc.local(naive)
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let zone, local, utc, why: String
        var testDescription: String { "\(why): \(local) \(zone)" }

        static let all: [Case] = [
            Case(
                zone: "Europe/Berlin", local: "2026-03-29T02:30:00", utc: "2026-03-29T01:00:00Z",
                why: "a time that never comes is the first instant after the gap"),
            Case(
                zone: "Europe/Berlin", local: "2026-10-25T02:30:00", utc: "2026-10-25T00:30:00Z",
                why: "a time that comes twice is its first"),
            Case(
                zone: "Europe/Berlin", local: "2026-10-25T03:00:00", utc: "2026-10-25T02:00:00Z",
                why: "just after the repeated hour"),
            Case(
                zone: "America/New_York", local: "2026-07-01T09:00:00", utc: "2026-07-01T13:00:00Z",
                why: "summer time"),
            Case(
                zone: "Australia/Lord_Howe", local: "2026-10-04T02:15:00",
                utc: "2026-10-03T15:30:00Z", why: "a gap of half an hour"),
            Case(
                zone: "Asia/Kathmandu", local: "2026-01-01T00:00:00", utc: "2025-12-31T18:15:00Z",
                why: "an offset of a quarter"),
            Case(
                zone: "Europe/Dublin", local: "2026-01-15T09:00:00", utc: "2026-01-15T09:00:00Z",
                why: "negative summer time, in winter"),
            Case(
                zone: "Europe/Berlin", local: "2099-07-01T12:00:00", utc: "2099-07-01T10:00:00Z",
                why: "beyond the table, by the footer"),
            Case(
                zone: "Pacific/Apia", local: "2011-12-30T12:00:00", utc: "2011-12-30T10:00:00Z",
                why: "a whole day that never came"),
        ]
    }

    @Test(arguments: Case.all)
    func `a wall clock names one instant`(_ example: Case) throws {
        let found = try zone(example.zone).instant(try wall(example.local))
        #expect(found.rfc3339 == example.utc)
    }

    /// Every zone of the database, over three years: each shift ends where the next begins, lasts
    /// about a week, and starts at its wall-clock time unless that time does not exist.
    @Test func `no zone has a gap or an overlap between shifts`() throws {
        let root = "/usr/share/zoneinfo"
        let walk = FileManager.default.enumerator(atPath: root)
        var zones = 0
        var moved = 0
        while let name = walk?.nextObject() as? String {
            guard name.contains("/"), !name.hasPrefix("posix"), !name.hasPrefix("right"),
                let bytes = zoneBytes(name), bytes.starts(with: Array("TZif".utf8))
            else { continue }
            let zone = try Zone(name: name, bytes: bytes)
            zones += 1
            for minute in [9 * 60 + 30, 2 * 60 + 30] {
                let rotation = Rotation(
                    zone: zone, every: .week(on: 6), secondOfDay: minute * 60,
                    since: CivilDate(year: 2026, month: 1, day: 4), people: ["a", "b", "c"])
                moved += check(rotation, minute, name)
            }
        }
        print("\(zones) zones, \(moved) handoffs moved out of a gap")
        if zones == 0 { print("no tzdata here; nothing was checked") }
        #expect(zones == 0 || (zones > 300 && moved > 0))
    }

    /// Returns how many handoffs fell into a gap of the clock.
    private func check(_ rotation: Rotation, _ minute: Int, _ name: String) -> Int {
        var moved = 0
        for index in 0..<156 {
            let start = rotation.handoff(index)
            let local = rotation.zone.local(start)
            if local.secondOfDay != minute * 60 || local.date.weekday != 6 { moved += 1 }
            // The edges are where gaps and overlaps would be.
            let before = rotation.shift(at: start - .milliseconds(1))
            let at = rotation.shift(at: start)
            guard before == (index == 0 ? nil : index - 1), at == index else {
                Issue.record("\(name) shift \(index): \(before ?? -1) then \(at ?? -1)")
                return moved
            }
        }
        return moved
    }

    @Test func `our offsets agree with those of the toolchain's calendar`() throws {
        for name in ["Europe/Berlin", "America/Los_Angeles", "Asia/Tokyo", "America/Sao_Paulo"] {
            let ours = try zone(name)
            let theirs = try #require(TimeZone(identifier: name))
            for day in stride(from: 0, to: 365 * 60, by: 3) {
                let second = day * 86_400 + 4_711
                let instant = Instant(milliseconds: Int64(second) * 1_000)
                let want = theirs.secondsFromGMT(
                    for: Date(timeIntervalSince1970: Double(second)))
                #expect(ours.offset(at: instant) == want, "\(name) \(instant.rfc3339)")
            }
        }
    }

    @Test func `a damaged file is refused at every length and never traps`() throws {
        let bytes = try #require(zoneBytes("Europe/Berlin"))
        for length in 0..<bytes.count - 40 {
            #expect(throws: Zone.Unreadable.self) {
                try Zone(name: "x", bytes: Array(bytes.prefix(length)))
            }
        }
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<2_000 {
            var broken = bytes
            for _ in 0..<3 {
                broken[generator.pick(0..<broken.count)] = UInt8(generator.pick(0..<256))
            }
            guard let zone = try? Zone(name: "x", bytes: broken) else { continue }
            _ = zone.instant(zone.local(Stage.start))
        }
    }

    @Test func `the person changes at the handoff, to the millisecond`() throws {
        let rotation = Rotation(
            zone: try zone("Europe/Berlin"), every: .week(on: 0), secondOfDay: 9 * 3_600 + 1_800,
            since: CivilDate(year: 2026, month: 1, day: 5), people: ["ana", "bo", "chi"])
        // Monday 2026-03-30 09:30 is the first handoff in summer time: 07:30 UTC.
        let handoff = try #require(Instant(rfc3339: "2026-03-30T07:30:00Z".utf8))
        #expect(rotation.onCall(at: handoff - .milliseconds(1)) == "chi")
        #expect(rotation.onCall(at: handoff) == "ana")
        let before = try #require(Instant(rfc3339: "2026-01-05T08:29:59Z".utf8))
        #expect(rotation.onCall(at: before) == nil, "before the first shift")
    }

    @Test func `layers follow the sun and exceptions come first`() throws {
        let text = Stage.policyText.replacingOccurrences(
            of: """
                  hub: {zone: UTC, handoff: "00:00", since: 2026-01-01, people: [chi]}
                """,
            with: """
                  hub:
                    layers:
                      - {zone: Asia/Singapore, handoff: "Mon 09:00", since: 2026-01-05,
                         hours: "08:00-16:00", people: [chi]}
                      - {zone: UTC, handoff: "Mon 09:00", since: 2026-01-05,
                         hours: "20:00-04:00", people: [mia]}
                      - {zone: UTC, handoff: "Mon 09:00", since: 2026-01-05, people: [bo]}
                    overrides:
                      - {from: "2026-11-21T12:00", until: "2026-11-21T13:00", people: [ana]}
                """)
        let hub = try #require(try loadPolicy(text).schedules["hub"])
        func who(_ time: String) throws -> [String] {
            hub.onCall(at: try #require(Instant(rfc3339: "2026-11-21T\(time)Z".utf8)))
        }
        #expect(try who("00:00:00") == ["chi"], "08:00 in Singapore")
        #expect(try who("07:59:59") == ["chi"])
        #expect(try who("08:00:00") == ["bo"])
        #expect(try who("23:59:59") == ["mia"], "hours over midnight")
        #expect(try who("03:59:59") == ["chi"], "both layers cover it; the first wins")
        // Times of an exception are those of the first layer's zone: 12:00 there is 04:00 here.
        #expect(try who("04:30:00") == ["ana"])
        #expect(try who("05:00:00") == ["chi"])
    }
}
