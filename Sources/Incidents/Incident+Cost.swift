package import Fleet
import Rules

/// The cost model (reference, accelerators 2.5): accelerators lost now, and what they are worth.
extension Incident {
    /// Accelerator-hours lost up to `time`, in closed form since the last change.
    package func acceleratorHoursLost(at time: Instant) -> Double {
        acceleratorHoursLost + acceleratorsLost * hours(until: time)
    }

    package func costTotal(at time: Instant) -> Money {
        costTotal + costPerHour * hours(until: time)
    }

    private func hours(until time: Instant) -> Double {
        max(0, (time - costedUntil).seconds / 3_600)
    }

    /// Adds up what was lost at the rate of until now; only a change of the rate calls for it.
    mutating func settle(until time: Instant) {
        guard time > costedUntil else { return }
        acceleratorHoursLost = acceleratorHoursLost(at: time)
        costTotal = costTotal(at: time)
        costedUntil = time
    }

    /// From here on it costs nothing.
    mutating func free() {
        acceleratorsLost = 0
        costPerHour = .zero
        costLowPerHour = .zero
        costHighPerHour = .zero
        opportunityPerHour = .zero
    }

    /// Prices the findings that fire; a device that several of them name is lost once.
    mutating func price(by book: PriceBook) {
        free()
        var lost: [String: Share] = [:]
        var better: [String: Share] = [:]
        var bases: Set<String> = []
        for key in findings.keys.sorted() {
            guard let finding = findings[key] else { continue }
            let price = book.price(of: finding.labels[.model])
            let waiting = waitingFor[key].flatMap { self.waiting[$0] } ?? []
            guard let fraction = finding.cost.fraction(finding.lostFraction) else { continue }
            let isOpportunity = finding.cost == .opportunity
            let affected =
                finding.cost.stopsTheJob ? finding.devices + waiting : finding.devices
            for device in affected {
                let share = Share(fraction: fraction, price: price)
                if isOpportunity {
                    better[device] = share.larger(of: better[device])
                } else {
                    lost[device] = share.larger(of: lost[device])
                }
            }
            if !affected.isEmpty {
                bases.insert(
                    "\(finding.cost.rawValue) at $\(price.expected)/h (\(price.name)"
                        + "\(price.isAssumed ? ", assumed" : "")), prices \(book.version)")
            }
        }
        costBasis = bases.sorted().joined(separator: "; ")
        opportunityPerHour = Share.sum(better.values, \.expected)
        guard explainedBy.isEmpty else { return }
        acceleratorsLost = lost.values.map(\.fraction).sorted().reduce(0, +)
        costPerHour = Share.sum(lost.values, \.expected)
        costLowPerHour = Share.sum(lost.values, \.low)
        costHighPerHour = Share.sum(lost.values, \.high)
    }
}

/// The part of one accelerator's time that is lost.
private struct Share {
    let fraction: Double
    let price: PriceBook.Price

    func larger(of other: Share?) -> Share {
        guard let other, other.fraction >= fraction else { return self }
        return other
    }

    /// In micro-dollars per accelerator, so that the sum does not depend on the order.
    static func sum(
        _ shares: some Sequence<Share>, _ dollars: KeyPath<PriceBook.Price, Double>
    ) -> Money {
        shares.reduce(Money.zero) {
            $0 + Money(dollars: $1.fraction * $1.price[keyPath: dollars])
        }
    }
}

extension CostClass {
    /// The share of each affected accelerator's time that is lost; nil where nothing is.
    ///
    /// `stated` is what the rule measured; 0 where it measured nothing.
    fileprivate func fraction(_ stated: Double) -> Double? {
        let measured = stated.isFinite ? min(max(stated, 0), 1) : 0
        return switch self {
        case .none, .prevent: nil
        case .hard, .hang: 1
        case .idle: measured > 0 ? measured : 1
        case .straggler, .throttle, .opportunity: measured > 0 ? measured : nil
        }
    }

    /// Whether the others of a synchronous job wait as well.
    fileprivate var stopsTheJob: Bool {
        switch self {
        case .hard, .hang, .straggler, .throttle: true
        case .none, .idle, .opportunity, .prevent: false
        }
    }
}
