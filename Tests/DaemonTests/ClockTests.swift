import Escalation
import Fleet
import Rules
import Testing

@testable import Daemon

@Suite struct ClockTests {
    @Test func `a clock that was set back goes on a tenth slower and says so once`() {
        let hands = Hands()
        let clock = hands.clock
        let start = clock.now()
        hands.pass(.seconds(10))
        #expect(clock.now() == start + .seconds(10))
        hands.set(back: .seconds(3_600))
        #expect(clock.now() == start + .seconds(10))
        hands.pass(.seconds(100))
        #expect(clock.now() == start + .seconds(100))
        #expect(clock.takeSetBack() == .seconds(3_600))
        #expect(clock.takeSetBack() == nil)
        #expect(clock.ahead == .seconds(3_590))
        // The hour is made up for after ten.
        hands.pass(.seconds(35_900))
        #expect(clock.now() == start + .seconds(10 + 36_000 - 3_600))
        #expect(clock.ahead == .zero)
        hands.pass(.seconds(1))
        #expect(clock.now() == start + .seconds(11 + 36_000 - 3_600))
        #expect(clock.takeSetBack() == nil)
    }

    @Test func `many short readings lose nothing of the slow time`() {
        let hands = Hands()
        let clock = hands.clock
        let start = clock.now()
        hands.set(back: .seconds(60))
        for _ in 0..<1_000 {
            hands.pass(.milliseconds(3))
            _ = clock.now()
        }
        #expect(clock.now() == start + .milliseconds(2_700))
    }

    @Test func `a step of a moment is absorbed without a word`() {
        let hands = Hands()
        let clock = hands.clock
        hands.set(back: .seconds(2))
        _ = clock.now()
        #expect(clock.takeSetBack() == nil)
        hands.pass(.seconds(60))
        _ = clock.now()
        hands.set(back: .milliseconds(2_001))
        _ = clock.now()
        #expect(clock.takeSetBack() == .milliseconds(2_001))
    }

    @Test func `the time of the record goes on where the clock was set back between two runs`() {
        let hands = Hands()
        let clock = hands.clock
        let last = clock.now() + .seconds(600)
        clock.resume(from: last)
        hands.pass(.seconds(10))
        #expect(clock.now() == last + .seconds(9))
        #expect(clock.takeSetBack() == .seconds(600))
        let later = hands.clock
        later.resume(from: later.now() - .seconds(5))
        #expect(later.takeSetBack() == nil)
    }

    @Test func `an escalation goes on after the clock was set back by an hour`() throws {
        let bench = try Bench()
        bench.fire("a")
        #expect(bench.cases.first?.episode.tier == .one)
        bench.hands.set(back: .seconds(3_600))
        bench.turn()
        bench.hands.pass(.seconds(400))
        bench.turn()
        #expect(bench.cases.first?.episode.tier == .two)
    }
}

@Suite struct MailboxTests {
    @Test func `a full box refuses and an emptied one takes again`() {
        let box = Mailbox<Int>(bound: 2)
        #expect(box.offer(1) && box.offer(2) && !box.offer(3))
        #expect(box.take(waiting: 0) == [1, 2])
        #expect(box.take(waiting: 0).isEmpty)
        #expect(box.offer(3) && box.take(waiting: 0) == [3])
    }

    @Test func `what is urgent overtakes, has its own bound, and can be taken alone`() {
        let box = Mailbox<Int>(bound: 1, urgentBound: 2)
        #expect(box.offer(1) && !box.offer(2))
        #expect(box.offer(3, urgent: true) && box.offer(4, urgent: true))
        #expect(!box.offer(5, urgent: true))
        #expect(box.take(waiting: 0, urgentOnly: true) == [3, 4])
        // What is not wanted wakes nobody for long, and stays.
        #expect(box.take(waiting: 1, urgentOnly: true).isEmpty)
        #expect(box.count == 1)
        #expect(box.offer(6, urgent: true))
        #expect(box.take(waiting: 0) == [6, 1])
    }

    @Test func `no wake-up is lost between two threads`() {
        let box = Mailbox<Int>(bound: 8)
        let sender = Worker("test") {
            for number in 0..<20_000 {
                while !box.offer(number, urgent: number % 3 == 0) { continue }
            }
        }
        var sum = 0
        var count = 0
        while count < 20_000 {
            let taken = box.take(waiting: 10_000)
            if taken.isEmpty { break }
            count += taken.count
            sum += taken.reduce(0, +)
        }
        #expect(count == 20_000 && sum == 199_990_000)
        #expect(sender.join(within: .seconds(10)))
    }
}

@Suite struct InputWatchTests {
    private let start = Instant(milliseconds: 1_795_248_000_000)

    private func watch(flowed: Set<String> = [], firing: [Finding] = []) -> InputWatch {
        let last = start - .seconds(60)
        return InputWatch(
            silenceAfter: .seconds(300),
            heard: Dictionary(uniqueKeysWithValues: flowed.map { ($0, last) }), firing: firing,
            at: start)
    }

    @Test func `when a topic was last heard of survives, and a topic given up is left alone`() {
        var before = watch()
        before.watch(["t", "never"], at: start)
        before.heard("t", at: start)
        let kept = InputWatch.heard(InputWatch.counters(before.heard))
        #expect(kept == ["t": start])
        for (pause, isMissed) in [(86_399, true), (86_400, false)] {
            let restart = start + .seconds(pause)
            var after = InputWatch(
                silenceAfter: .seconds(300), heard: kept, firing: [], at: restart)
            after.watch(["t", "never"], at: restart)
            #expect(after.judge(at: restart + .seconds(299)).isEmpty)
            #expect(after.judge(at: restart + .seconds(300)).isEmpty != isMissed)
        }
    }

    @Test func `a topic that flowed and stops is told of once, and again when it flows`() {
        var watch = watch()
        watch.watch(["t"], at: start)
        watch.heard("t", at: start + .seconds(10))
        #expect(watch.judge(at: start + .seconds(309)).isEmpty)
        let told = watch.judge(at: start + .seconds(310))
        #expect(told.map(\.edge) == [.fired])
        #expect(told.first?.key.description == "tel-input-silent on pipeline t")
        #expect(told.first?.severity == .critical && told.first?.tier == .three)
        #expect(told.first?.since == start + .seconds(10))
        #expect(watch.silent == 1)
        #expect(watch.judge(at: start + .seconds(900)).isEmpty)
        watch.heard("t", at: start + .seconds(901))
        #expect(watch.judge(at: start + .seconds(901)).map(\.edge) == [.cleared])
        #expect(watch.judge(at: start + .seconds(902)).isEmpty)
        #expect(watch.judge(at: start + .seconds(1_201)).map(\.edge) == [.fired])
    }

    @Test func `a topic that never flowed, or is not ours, may be silent`() {
        var watch = watch(flowed: ["theirs"])
        watch.watch(["new"], at: start)
        #expect(watch.judge(at: start + .seconds(9_999)).isEmpty)
        watch.watch(["new", "theirs"], at: start + .seconds(10_000))
        #expect(watch.judge(at: start + .seconds(10_299)).isEmpty)
        #expect(watch.judge(at: start + .seconds(10_300)).map(\.key.subject.name) == ["theirs"])
    }

    @Test func `time in which we did not want records does not count`() {
        var watch = watch(flowed: ["t"])
        watch.watch(["t"], at: start)
        watch.excuse(at: start + .seconds(290))
        #expect(watch.judge(at: start + .seconds(589)).isEmpty)
        #expect(watch.judge(at: start + .seconds(590)).count == 1)
    }

    @Test func `a silence that a restart falls into ends with a record and not with the restart`() {
        var before = watch(flowed: ["t"])
        before.watch(["t"], at: start)
        let told = before.judge(at: start + .seconds(300))
        var after = watch(flowed: ["t"], firing: told)
        after.watch(["t"], at: start + .seconds(400))
        #expect(after.judge(at: start + .seconds(2_000)).isEmpty)
        after.heard("t", at: start + .seconds(2_001))
        #expect(after.judge(at: start + .seconds(2_001)).map(\.edge) == [.cleared])
    }

    @Test func `a silent topic that another member takes over is theirs to tell of`() {
        var watch = watch(flowed: ["t"])
        watch.watch(["t"], at: start)
        #expect(watch.judge(at: start + .seconds(300)).count == 1)
        watch.watch([], at: start + .seconds(301))
        let told = watch.judge(at: start + .seconds(301))
        #expect(told.map(\.edge) == [.cleared])
        #expect(told.first?.summary.contains("another member") == true)
    }
}
