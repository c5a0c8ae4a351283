import Fleet
import Foundation
import Testing

@Suite struct JSONWriterTests {
    @Test func `members stand in order with commas between`() {
        let json = JSONWriter.object { writer in
            writer.member("a", "x")
            writer.member("b", 1)
            writer.member("c", true)
            writer.object("d") { _ in }
            writer.array("e") { writer in
                writer.integer(Int64.min)
                writer.object { $0.member("f", ["g", "h"]) }
                writer.null()
                writer.array { _ in }
            }
            writer.name("raw")
            writer.raw(Array("[1]".utf8))
        }
        #expect(
            String(decoding: json, as: UTF8.self)
                == #"{"a":"x","b":1,"c":true,"d":{},"e":[-9223372036854775808,"#
                + #"{"f":["g","h"]},null,[]],"raw":[1]}"#)
    }

    @Test func `a string cannot leave its quotes`() {
        var writer = JSONWriter()
        writer.string("\" \\ \n\r\t\u{0}\u{1f}\u{7f}\u{85}\u{2028} é 🔔 </script>")
        #expect(
            writer.text
                == #""\" \\ \n\r\t\u0000\u001f\u007f\u0085\u2028 é 🔔 </script>""#)
    }

    @Test(arguments: [
        (0, "0"), (-0.0, "0"), (5, "5"), (-1.5, "-1.5"), (0.1, "0.1"), (1e300, "1e+300"),
        (.nan, "null"), (.infinity, "null"), (9_007_199_254_740_991, "9007199254740991"),
    ])
    func `a number is one that JSON can spell`(_ value: Double, _ text: String) {
        var writer = JSONWriter()
        writer.number(value)
        #expect(writer.text == text)
    }

    private struct Read: Decodable {
        let text: String
        let number: Double?
    }

    @Test func `another reader reads back what was written`() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var state = seed
        func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
        for _ in 0..<500 {
            var value = String.UnicodeScalarView()
            for _ in 0..<next() % 40 {
                let range: UInt64 = next() % 2 == 0 ? 0x100 : 0x11_0000
                value.append(Unicode.Scalar(UInt32(next() % range)) ?? "\u{fffd}")
            }
            let text = String(value)
            let number = Double(bitPattern: next() << 32 | next())
            let json = JSONWriter.object { writer in
                writer.member("text", text)
                writer.member("number", number)
            }
            let read = try JSONDecoder().decode(Read.self, from: Data(json))
            #expect(
                read.text.unicodeScalars.elementsEqual(text.unicodeScalars), "seed \(seed)")
            #expect(read.number == (number.isFinite ? number : nil), "seed \(seed)")
        }
    }
}
