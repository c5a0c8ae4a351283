import KernelBaseline
import RollingStatistics
import Testing

@Suite("Instruction sets") struct InstructionSetTests {
    /// A weak function in a wide object may be the copy that the linker keeps for the whole program:
    /// an old processor would stop at its first AVX instruction, far from any kernel.
    @Test(arguments: ["KernelV3", "KernelV4"])
    func `a wide kernel's object holds no code that others could be given`(_ module: String) {
        let objects = ObjectFile.all(of: module)
        if objects.isEmpty { print("no object of \(module) in .build; nothing was checked") }
        for object in objects {
            let weak = object.functions().weak
            #expect(weak.isEmpty, "\(object.path) holds \(weak)")
        }
        // The reader must see what is there, or its silence means nothing.
        let kernels = objects.filter { object in
            object.functions().own.contains { $0.contains("updateLanes") }
        }
        #expect(objects.isEmpty || !kernels.isEmpty, "no object of \(module) was understood")
    }

    @Test func `an instruction set that is missing is replaced by the best`() {
        let blocks = LaneBlocks(capacity: 1, instructionSet: .v4)
        let used = blocks.instructionSet
        #expect(used == InstructionSet.best)
        let baseline = LaneBlocks(capacity: 1, instructionSet: .baseline).instructionSet
        #expect(baseline == .baseline)
        #expect(InstructionSet.baseline < .v3 && InstructionSet.v3 < .v4)
    }
}
