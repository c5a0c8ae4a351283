import Fleet
import Testing

@Suite("Money") struct MoneyTests {
    @Test(
        arguments: [
            (0, "$0.00"), (4_999, "$0.00"), (5_000, "$0.01"), (55_040_000, "$55.04"),
            (999_994_999, "$999.99"), (999_995_000, "$1,000"), (1_234_000_000, "$1,234"),
            (1_234_567_890_000, "$1,234,567"), (-55_040_000, "-$55.04"), (-4_999, "$0.00"),
        ] as [(Int64, String)])
    func `an amount reads as people write it`(_ microdollars: Int64, _ text: String) {
        #expect(Money(microdollars: microdollars).description == text)
    }

    @Test func `amounts at the ends of the scale stay there`() {
        let most = Money(microdollars: .max)
        let least = Money(microdollars: .min)
        #expect(most + Money(microdollars: 1) == most)
        #expect(least + Money(microdollars: -1) == least)
        #expect(most * 2 == most)
        #expect(least * 2 == least)
        #expect(most.description == "$9,223,372,036,854")
        #expect(least.description == "-$9,223,372,036,854")
    }

    @Test func `dollars round to the nearest millionth and nonsense is nothing`() {
        #expect(Money(dollars: 6.88).microdollars == 6_880_000)
        #expect(Money(dollars: 0.000_000_4).microdollars == 0)
        #expect(Money(dollars: 0.000_000_6).microdollars == 1)
        #expect(Money(dollars: -0.000_000_6).microdollars == -1)
        #expect(Money(dollars: .nan) == .zero)
        #expect(Money(dollars: .infinity) == Money(microdollars: .max))
        #expect((Money(dollars: 6.88) * 737).description == "$5,070")
    }
}
