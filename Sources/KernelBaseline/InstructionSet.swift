import CLanes

/// The instruction sets that the kernel is built for, narrowest first.
package enum InstructionSet: String, CaseIterable, Comparable, Sendable {
    /// What every processor of the architecture has.
    case baseline
    /// x86-64-v3: AVX2, most machines since 2013.
    case v3
    /// x86-64-v4: AVX-512.
    case v4

    /// The widest that this processor and its operating system run.
    package static let best: InstructionSet =
        switch lanes_isa() {
        case 4: .v4
        case 3: .v3
        default: .baseline
        }

    package static func < (left: InstructionSet, right: InstructionSet) -> Bool {
        left.order < right.order
    }

    private var order: Int {
        switch self {
        case .baseline: 1
        case .v3: 3
        case .v4: 4
        }
    }
}
