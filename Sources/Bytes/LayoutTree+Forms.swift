import CLanes

extension LayoutTree {
    /// How the numbers of one step were written lately.
    ///
    /// One that is as expected takes less than one that must be measured, and one that is not takes more
    /// than both: the processor went on as if it were.
    struct Forms: Sendable {
        /// Rises with each number of another form than is expected.
        var misses: Int32 = 0
        /// The message in which it rose last.
        var clock: UInt32 = 0
        /// The message that gave another form, and how often that was in a short time.
        var turned: UInt32?
        var turns = 0

        /// At one miss in seven and more a guess costs more than it saves.
        private static let missCost: Int32 = 6
        /// So many that chance alone does not lead here from one miss in nine.
        private static let missesMax: Int32 = 240
        /// A form that does not last for so many messages is none.
        private static let turnMin: UInt32 = 256

        /// Notes a number that did not fit in message `clock`; whether there were so many in a short time
        /// that another form should be expected.
        mutating func miss(at clock: UInt32) -> Bool {
            // Each message that went by without a miss takes one off.
            let since = Int32(clamping: clock &- self.clock)
            misses = max(misses &- since, 0) &+ Self.missCost
            self.clock = clock
            guard misses >= Self.missesMax else { return false }
            misses = 0
            let isSoon = turned.map { clock &- $0 < Self.turnMin } ?? false
            turns = isSoon ? turns + 1 : 0
            turned = clock
            return true
        }
    }

    /// A fork that has yet to show that it is of use.
    struct Trial: Sendable {
        /// Where it is.
        var index: Int
        /// The message before which it is judged.
        var end: UInt32
        /// What was added for it.
        var steps: Range<Int>
    }

    /// Forms that are tried before a number is left without any.
    private static let turnsMax = 6
    /// Numbers behind a fork that must be written in other ways on either side.
    private static let forkMin = 4
    /// So many messages that each number had time to show its form.
    private static let trialLength: UInt32 = 4_096

    /// Notes a number that did not fit.
    ///
    /// Many in a short time give another form. Where none lasts there may be two kinds of messages: a
    /// device that is idle writes 0 where a busy one writes 0.973145, and so in every number behind. These
    /// go on apart then, each with its own forms. Where that is of no use, no form is expected.
    mutating func missed(_ text: Span<UInt8>, _ width: Int, _ index: Int) {
        defer { steps[index].settle(at: index) }
        // The first of all is as good as any.
        if steps[index].kind == Step.question { steps[index].expect(text, width) }
        guard steps[index].expectsForm, notes[index].forms.miss(at: clock) else { return }
        let turns = notes[index].forms.turns
        if turns == 0 {
            steps[index].expect(text, width)
        } else if !notes[index].isFork {
            // One fork at a time is tried.
            guard trial == nil || notes[index].isBehindFork else { return }
            if !fork(index, text, width) { steps[index].expectAny() }
        } else if turns >= Self.turnsMax {
            join(index)
            steps[index].expectAny()
        } else if turns.isMultiple(of: 2) {
            steps[index].expect(text, width)
        } else {
            let other = Int(steps[index].sibling) / Step.size
            steps[other].expect(text, width)
            steps[other].settle(at: other)
        }
    }

    /// Lets messages whose number has the form of this one go on apart, unless they do so elsewhere on
    /// their path.
    private mutating func fork(_ index: Int, _ text: Span<UInt8>, _ width: Int) -> Bool {
        var other = steps[index]
        other.expect(text, width)
        guard other.expectsForm, !notes[index].isBehindFork else { return false }
        let below = below(index)
        guard below.count(where: { steps[$0].slot == Slot.value.rawValue }) >= Self.forkMin,
            !below.contains(where: { notes[$0].isFork }),
            copies + 1 + below.count <= steps.count - copies
        else { return false }
        for step in below {
            // What they expect stems from both.
            if steps[step].slot == Slot.value.rawValue { steps[step].forget() }
            notes[step].forms = Forms()
            notes[step].isBehindFork = true
        }
        // In the same order, in which a step stands in front of what may follow it.
        let made = steps.count
        let copyOf = Dictionary(
            uniqueKeysWithValues: below.enumerated().map { ($1, made + 1 + $0) })
        func moved(_ next: Int32) -> Int32 {
            guard next >= 0, let copy = copyOf[Int(next) / Step.size] else { return next }
            return Int32(copy * Step.size)
        }
        func moved(_ step: Step) -> Step {
            var step = step
            if step.slot != Slot.end.rawValue { step.child = moved(step.child) }
            step.sibling = moved(step.sibling)
            return step
        }
        steps.append(moved(other))
        notes.append(notes[index])
        notes[made].isBehindFork = true
        for step in below {
            steps.append(moved(steps[step]))
            notes.append(notes[step])
        }
        copies += 1 + below.count
        steps[made].settle(at: made)
        steps[index].sibling = Int32(made * Step.size)
        notes[index].isFork = true
        trial = Trial(index: index, end: clock &+ Self.trialLength, steps: made..<steps.count)
        return true
    }

    /// Lets messages go on apart no longer where most numbers are written in the same way on either side.
    @inline(never)
    mutating func endTrial() {
        guard let trial, notes[trial.index].isFork else { return self.trial = nil }
        self.trial = nil
        let index = trial.index
        let sides = zip(below(index), below(Int(steps[index].sibling) / Step.size))
        guard sides.count(where: { !steps[$0].expectsSameForm(as: steps[$1]) }) < Self.forkMin
        else { return }
        join(index)
        steps[index].expectAny()
        guard trial.steps.upperBound == steps.count else { return }
        steps.removeSubrange(trial.steps)
        notes.removeSubrange(trial.steps)
        copies -= trial.steps.count
    }

    /// Lets all messages go on together again.
    private mutating func join(_ index: Int) {
        let other = Int(steps[index].sibling) / Step.size
        steps[index].sibling = steps[other].sibling
        notes[index].isFork = false
        for step in below(index) { notes[step].isBehindFork = false }
    }

    /// All steps that may follow, each in front of those behind it.
    private func below(_ index: Int) -> [Int] {
        var below: [Int] = []
        var pending = [steps[index].child]
        while let next = pending.popLast() {
            guard next >= 0 else { continue }
            let step = steps[Int(next) / Step.size]
            below.append(Int(next) / Step.size)
            pending.append(step.sibling)
            if step.slot != Slot.end.rawValue { pending.append(step.child) }
        }
        return below
    }
}
