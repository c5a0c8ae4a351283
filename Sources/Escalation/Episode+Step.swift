package import Fleet

extension Episode {
    /// What can happen to an episode.
    package enum Event: Sendable, Hashable {
        case fired(Severity)
        case cleared
        /// It got worse while it fired.
        case worsened(Severity)
        /// Many more devices suffer than when somebody was last told.
        case grown
        /// What a page would say is different now.
        case changed
        case acknowledged(by: String)
        case unacknowledged
        case snoozed(by: String, for: Duration)
        case resolved(by: String)
        case escalated(to: Tier)
        case active(by: String)
        case masked(Mask)
        case unmasked(Mask)
        /// No channel took the page of this sequence number.
        case undelivered(Int)
        case delivered(Int)
        case parentEnded
        case timer(Timer)
    }

    package enum Audience: Sendable, Hashable {
        /// Those who are on call now in the tier.
        case tier
        /// The holder alone.
        case holder(String)
        /// The tier, and somebody who had it before.
        case tierAnd(String)
    }

    /// What is to be done about it.
    package enum Effect: Sendable, Hashable {
        case page(Page.Reason, Tier, round: Int, sequence: Int, Audience)
        /// The tier beyond is told without being called.
        case inform(Tier)
        case skipped(Tier)
        case held, suppressed, opened, recovering, refired
        case resolved(by: String)
        case reopened, closed
        case acknowledged(by: String)
        case reminded(String)
        case ackExpired(String)
        case flapping, flapHeld
        case undelivered(Tier)
        case update
        case recheck
    }

    /// The transition function (reference, escalation 3.3).
    ///
    /// Deterministic: time is `instant`, and who is on call is asked of `staffed` only.
    ///
    /// - Parameters:
    ///   - event: what happened.
    ///   - instant: when; never earlier than the step before.
    ///   - staffed: whether a tier has anybody to page now.
    /// - Returns: what is to be done, in order.
    package mutating func step(
        _ event: Event, at instant: Instant, staffed: (Tier) -> Bool
    ) -> [Effect] {
        var turn = Turn(at: instant, staffed: Set(Tier.allCases.filter(staffed)))
        updatedAt = max(updatedAt, instant)
        switch event {
        case .fired(let severity): fire(severity, &turn)
        case .cleared: clear(&turn)
        case .worsened(let severity): worsen(severity, &turn)
        case .grown: callBack(.growth, &turn)
        case .changed: change(&turn)
        case .acknowledged(let name): acknowledge(by: name, &turn)
        case .unacknowledged: unacknowledge(&turn)
        case .snoozed(let name, let length): snooze(by: name, for: length, &turn)
        case .resolved(let name): resolve(by: name, &turn)
        case .escalated(let tier): escalate(to: tier, &turn)
        case .active(let name): stayActive(name, &turn)
        case .masked(let mask): add(mask, &turn)
        case .unmasked(let mask): remove(mask, &turn)
        case .undelivered(let number): giveUp(on: number, &turn)
        case .delivered(let number): deliver(number)
        case .parentEnded:
            if recheckDeadline == nil { recheckDeadline = instant + plan.timings.recheck[severity] }
        case .timer(let timer): expire(timer, &turn)
        }
        return turn.effects
    }

    /// One step under way.
    fileprivate struct Turn {
        let at: Instant
        let staffed: Set<Tier>
        var effects: [Effect] = []
    }
}

extension Episode {
    // Signal.

    private mutating func fire(_ severity: Severity, _ turn: inout Turn) {
        signal = .firing
        switch phase {
        case .held:
            self.severity = min(self.severity, severity)
            guard waitDeadline == nil else { return }
            waitDeadline = turn.at + plan.timings.groupWait[self.severity]
            turn.effects.append(.held)
        case .open:
            if holdDeadline != nil { turn.effects.append(.refired) }
            holdDeadline = nil
            thaw(at: turn.at)
            resume(at: turn.at)
            worsen(severity, &turn)
        case .resolved:
            self.severity = severity
            turn.effects.append(.reopened)
            open(because: .reopen, &turn)
        case .closed: break
        }
    }

    private mutating func clear(_ turn: inout Turn) {
        signal = .clear
        switch phase {
        case .held:
            phase = .closed
            waitDeadline = nil
            turn.effects.append(.suppressed)
        case .open:
            guard holdDeadline == nil else { return }
            let timings = plan.timings
            holdDeadline =
                turn.at + (isFlapping ? timings.flapHold : timings.resolveHold)[severity]
            turn.effects.append(.recovering)
            let left = timings.freezeCap[severity].milliseconds - freezeUsed
            guard left > 0, levelDeadline != nil, response == .unacked, masks.isEmpty else {
                return
            }
            pause(at: turn.at)
            freezeSince = turn.at
            // Its own timer: a budget that is only looked at on the next edge is overrun.
            freezeDeadline = turn.at + .milliseconds(left)
        case .resolved, .closed: break
        }
    }

    private mutating func worsen(_ severity: Severity, _ turn: inout Turn) {
        guard severity < self.severity else { return }
        self.severity = severity
        guard phase == .open else {
            if let wait = waitDeadline {
                waitDeadline = min(wait, turn.at + plan.timings.groupWait[severity])
            }
            return
        }
        guard severity.isPage else { return change(&turn) }
        guard isRunning else {
            callBack(.severity, &turn)
            if !masks.isEmpty { remaining = 0 }
            return
        }
        if tier == nil { tier = startTier }
        enter(because: .severity, .tier, &turn)
    }

    /// Asks whoever has it to look again; the others are called if nothing comes of it.
    private mutating func callBack(_ reason: Page.Reason, _ turn: inout Turn) {
        guard phase == .open, severity.isPage, masks.isEmpty, let holder = response.holder else {
            return change(&turn)
        }
        let deadline = turn.at + plan.timings.secondLook[severity]
        switch response {
        case .acked:
            ackDeadline = min(ackDeadline ?? deadline, deadline)
            ackWarned = true
        case .snoozed: snoozeDeadline = min(snoozeDeadline ?? deadline, deadline)
        case .unacked: break
        }
        pendingReason = reason
        sequence += 1
        turn.effects.append(
            .page(reason, tier ?? .one, round: round, sequence: sequence, .holder(holder)))
    }

    private mutating func change(_ turn: inout Turn) {
        guard phase == .open, masks.isEmpty, !paged.isEmpty, updateDeadline == nil else { return }
        let earliest = (lastUpdated ?? .distantPast) + plan.timings.updateInterval[severity]
        updateDeadline = max(turn.at, earliest)
    }

    // Opening, climbing, ending.

    private mutating func open(because reason: Page.Reason, _ turn: inout Turn) {
        let now = turn.at
        let timings = plan.timings
        phase = .open
        generation += 1
        round = 0
        tier = startTier
        response = .unacked
        freezeUsed = 0
        freezeSince = nil
        freezeDeadline = nil
        ackDeadline = nil
        ackWarned = false
        pendingReason = nil
        snoozeDeadline = nil
        reopenDeadline = nil
        holdDeadline = nil
        levelDeadline = nil
        remaining = 0
        paged = []
        opens = opens.filter { $0 > now - timings.flapWindow[severity] }.suffix(63) + [now]
        if opens.count >= timings.flapCount, !isFlapping {
            isFlapping = true
            repageAt = now
            turn.effects.append(.flapping)
        }
        turn.effects.append(.opened)
        guard isRunning else {
            // Nobody is called for the queue: it waits without a clock.
            if !severity.isPage { tier = nil }
            return
        }
        if isFlapping {
            guard let slot = repageAt, slot <= now else {
                levelDeadline = repageAt
                remaining = nil
                tier = nil
                turn.effects.append(.flapHeld)
                return
            }
            repageAt = now + timings.flapRepage[severity]
        }
        let isSticky = reason == .reopen && !lastAcker.isEmpty
        enter(because: reason, isSticky ? .tierAnd(lastAcker) : .tier, &turn)
        guard plan.informsLeads, severity == .critical, tier == .one else { return }
        turn.effects.append(.inform(.two))
    }

    /// Pages the current tier; tiers with nobody on call are passed at once, without waiting.
    private mutating func enter(
        because reason: Page.Reason, _ audience: Audience, _ turn: inout Turn
    ) {
        while let tier, tier != .backstop, !turn.staffed.contains(tier) {
            turn.effects.append(.skipped(tier))
            advance()
        }
        let tier = tier ?? .one
        self.tier = tier
        sequence += 1
        lastPaged = turn.at
        isDelivered = false
        isUndelivered = false
        pendingReason = nil
        turn.effects.append(.page(reason, tier, round: round, sequence: sequence, audience))
        levelDeadline = turn.at + plan.timeout(tier, severity)
        deliveryDeadline = turn.at + plan.timings.deliveryDeadline[severity]
        remaining = nil
    }

    /// The next tier; after the last comes the next round, after the last round the backstop.
    private mutating func advance() {
        switch tier ?? .one {
        case .one: tier = .two
        case .two: tier = .three
        case .three where round + 1 < plan.rounds:
            round += 1
            tier = .one
        case .three, .backstop: tier = .backstop
        }
    }

    private mutating func resolve(by name: String, _ turn: inout Turn) {
        guard phase == .open, signal == .clear else { return }
        phase = .resolved
        response = .unacked
        levelDeadline = nil
        remaining = nil
        holdDeadline = nil
        ackDeadline = nil
        ackWarned = false
        snoozeDeadline = nil
        freezeSince = nil
        freezeDeadline = nil
        deliveryDeadline = nil
        updateDeadline = nil
        if isFlapping, name.isEmpty {
            // The long hold has passed in peace.
            isFlapping = false
            repageAt = nil
            opens = []
        }
        reopenDeadline = turn.at + plan.timings.reopenWindow[severity]
        turn.effects.append(.resolved(by: name))
    }

    // Response.

    private mutating func acknowledge(by name: String, _ turn: inout Turn) {
        guard phase == .open else { return }
        thaw(at: turn.at)
        pause(at: turn.at)
        response = .acked(by: name)
        lastAcker = name
        ackDeadline = turn.at + plan.timings.ackTTL[severity]
        ackWarned = false
        pendingReason = nil
        snoozeDeadline = nil
        turn.effects.append(.acknowledged(by: name))
    }

    private mutating func snooze(by name: String, for length: Duration, _ turn: inout Turn) {
        guard phase == .open else { return }
        thaw(at: turn.at)
        pause(at: turn.at)
        response = .snoozed(by: name)
        snoozeDeadline = turn.at + length
        ackDeadline = nil
        pendingReason = nil
        turn.effects.append(.acknowledged(by: name))
    }

    private mutating func unacknowledge(_ turn: inout Turn) {
        guard phase == .open, response != .unacked else { return }
        release(because: .unack, .tier, &turn)
    }

    /// Nobody has it any more: the current tier is called again, the higher ones already know.
    private mutating func release(
        because reason: Page.Reason, _ audience: Audience, _ turn: inout Turn
    ) {
        response = .unacked
        ackDeadline = nil
        ackWarned = false
        snoozeDeadline = nil
        guard isRunning else {
            remaining = 0
            return
        }
        if tier == nil { tier = startTier }
        enter(because: reason, audience, &turn)
    }

    private mutating func escalate(to tier: Tier, _ turn: inout Turn) {
        guard phase == .open, severity.isPage, masks.isEmpty else { return }
        response = .unacked
        ackDeadline = nil
        ackWarned = false
        snoozeDeadline = nil
        thaw(at: turn.at)
        let from = self.tier ?? .one
        self.tier = tier
        enter(because: .manual, .tier, &turn)
        for passed in Tier.allCases where passed > from && passed < tier {
            turn.effects.append(.inform(passed))
        }
    }

    private mutating func stayActive(_ name: String, _ turn: inout Turn) {
        guard phase == .open, response == .acked(by: name) else { return }
        ackDeadline = turn.at + plan.timings.ackTTL[severity]
        ackWarned = false
        pendingReason = nil
    }

    // Masks.

    private mutating func add(_ mask: Mask, _ turn: inout Turn) {
        guard !masks.contains(mask) else { return }
        masks = (masks + [mask]).sorted()
        thaw(at: turn.at)
        pause(at: turn.at)
    }

    private mutating func remove(_ mask: Mask, _ turn: inout Turn) {
        guard masks.contains(mask) else { return }
        masks.removeAll { $0 == mask }
        guard masks.isEmpty, isRunning, levelDeadline == nil else { return }
        guard let left = remaining, left > 0 else {
            if tier == nil { tier = startTier }
            return enter(because: .unmasked, .tier, &turn)
        }
        resume(at: turn.at)
        change(&turn)
    }

    // Delivery.

    private mutating func giveUp(on number: Int, _ turn: inout Turn) {
        guard number == sequence, isRunning, let tier, tier != .backstop,
            let deadline = levelDeadline
        else { return }
        deliveryDeadline = nil
        isUndelivered = true
        levelDeadline = min(deadline, turn.at + plan.timings.undeliveredSkip[severity])
        turn.effects.append(.undelivered(tier))
    }

    private mutating func deliver(_ number: Int) {
        guard number == sequence else { return }
        isDelivered = true
        deliveryDeadline = nil
    }

    // Clock.

    private mutating func pause(at now: Instant) {
        deliveryDeadline = nil
        guard let deadline = levelDeadline else { return }
        remaining = max(0, (deadline - now).milliseconds)
        levelDeadline = nil
    }

    private mutating func resume(at now: Instant) {
        guard isRunning, levelDeadline == nil else { return }
        levelDeadline = now + .milliseconds(remaining ?? 0)
        remaining = nil
        if !isDelivered, outstanding.contains(where: { $0.sequence == sequence }) {
            deliveryDeadline = now + plan.timings.deliveryDeadline[severity]
        }
    }

    private mutating func thaw(at now: Instant) {
        if let since = freezeSince { freezeUsed += (now - since).milliseconds }
        freezeSince = nil
        freezeDeadline = nil
    }

    // Timers.

    private mutating func expire(_ timer: Timer, _ turn: inout Turn) {
        switch timer {
        case .wait:
            waitDeadline = nil
            if phase == .held { open(because: .first, &turn) }
        case .level: expireLevel(&turn)
        case .freeze:
            thaw(at: turn.at)
            resume(at: turn.at)
        case .hold:
            holdDeadline = nil
            resolve(by: "", &turn)
        case .ack: expireAck(&turn)
        case .snooze:
            snoozeDeadline = nil
            release(because: pendingReason ?? .snoozeOver, .tier, &turn)
        case .delivery:
            deliveryDeadline = nil
            giveUp(on: sequence, &turn)
        case .reopen:
            reopenDeadline = nil
            phase = .closed
            turn.effects.append(.closed)
        case .update:
            updateDeadline = nil
            lastUpdated = turn.at
            turn.effects.append(.update)
        case .recheck:
            recheckDeadline = nil
            turn.effects.append(.recheck)
        }
    }

    private mutating func expireLevel(_ turn: inout Turn) {
        levelDeadline = nil
        guard tier != nil else {
            tier = startTier
            repageAt = turn.at + plan.timings.flapRepage[severity]
            return enter(because: .flapRepage, .tier, &turn)
        }
        // After an outage of our own all levels are overdue; people still get their minute each.
        // A page that reached nobody grants no minute.
        let earliest = (lastPaged ?? .distantPast) + plan.timings.minLevel[severity]
        guard isUndelivered || turn.at >= earliest else {
            levelDeadline = earliest
            return
        }
        let wasUndelivered = isUndelivered
        advance()
        let reason: Page.Reason =
            wasUndelivered ? .undelivered : tier == .backstop ? .backstop : .timeout
        enter(because: reason, .tier, &turn)
    }

    private mutating func expireAck(_ turn: inout Turn) {
        guard case .acked(let holder) = response else {
            ackDeadline = nil
            return
        }
        guard ackWarned else {
            ackWarned = true
            ackDeadline = turn.at + plan.timings.ackGrace[severity]
            turn.effects.append(.reminded(holder))
            return
        }
        turn.effects.append(.ackExpired(holder))
        release(because: pendingReason ?? .ackExpired, .tierAnd(holder), &turn)
    }
}
