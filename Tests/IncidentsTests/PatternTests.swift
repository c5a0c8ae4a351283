import Foundation
import Incidents
import Testing

@Suite("Patterns and matchers") struct PatternTests {
    /// The toolchain's own regular expressions are the oracle for what we support.
    @Test func `a pattern accepts what the toolchain's regular expression accepts`() throws {
        let patterns = [
            "nvlink|ib.*", "a+b?c*", "(ab|cd)+", "[a-c]{2,3}x?", "[^a-c]+", "a{2}", "a{1,}b",
            "\\d+-\\w*", "x\\.y", "(a|)b", "(?:ab)?c", "", "[a\\-z]+", "é.ü", "(a*)*b",
        ]
        let subjects = [
            "", "nvlink", "ib-errors", "my-nvlink", "abc", "aabc", "ac", "abab", "abcd", "cd", "aa",
            "aaa", "ab", "abx", "xyz", "12-ab_3", "12-", "x.y", "xzy", "b", "c", "]a", "a-z", "éäü",
            "aaaaab", "a\nb", "aab",
        ]
        for text in patterns {
            let ours = try Pattern(text)
            let theirs = try Regex(text).dotMatchesNewlines()
            for subject in subjects {
                #expect(
                    ours.matches(subject) == (subject.wholeMatch(of: theirs) != nil),
                    "'\(text)' on '\(subject)'")
            }
        }
    }

    @Test func `a bracket that comes first in brackets is a plain sign`() throws {
        #expect(try Pattern("[]a]+").matches("a]]"))
        #expect(try !Pattern("[^]a]+").matches("b]"))
    }

    @Test func `a pattern that explodes elsewhere takes linear time here`() throws {
        let hostile = try Pattern("(a+)+b|(a|a)*c|(a|aa)+d")
        #expect(!hostile.matches(String(repeating: "a", count: 2_000)))
    }

    struct Case: Sendable { let pattern, reason: String }

    @Test(arguments: [
        Case(pattern: "(a", reason: "has a '(' without a ')'"),
        Case(pattern: "a)", reason: "has a ')' without a '('"),
        Case(pattern: "*a", reason: "has a '*' with nothing before it"),
        Case(pattern: "[a", reason: "has a '[' without a ']'"),
        Case(pattern: "[z-a]", reason: "has the range 'z-a' backwards"),
        Case(pattern: "a{3,2}", reason: "has a '{' that is not {n}, {m,} or {m,n} up to 256"),
        Case(pattern: "a{999}", reason: "has a '{' that is not {n}, {m,} or {m,n} up to 256"),
        Case(pattern: "a\\", reason: "ends in a backslash"),
        Case(pattern: "(?=a)", reason: "uses '(?', of which only '(?:' is supported"),
        Case(
            pattern: "^a$",
            reason: "has a '^'; a pattern always matches the whole text, leave it out"),
        Case(pattern: "\\1", reason: "has '\\1', which is not supported"),
        Case(pattern: "(((a{256}){256}){256}){256}", reason: "is too large"),
        Case(pattern: "(((){256}){256}){256}", reason: "is too large"),
    ])
    func `what is malformed is refused with a reason`(_ example: Case) {
        #expect(throws: Pattern.Malformed(reason: example.reason)) { try Pattern(example.pattern) }
    }

    @Test func `random text never traps the reader of patterns or matchers`() {
        var state: UInt64 = 42
        let signs = Array("ab()[]{}|*+?\\.-^$,0123=~!<>\"severity symptom")
        for _ in 0..<20_000 {
            var text = ""
            for _ in 0..<12 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                text.append(signs[Int(state >> 33) % signs.count])
            }
            if let pattern = try? Pattern(text) { _ = pattern.matches("ab0") }
            _ = try? Matcher(text)
        }
    }

    @Test func `a matcher survives JSON as the text that it is`() throws {
        let matcher = try Matcher("symptom=~\"nvlink|ib.*\"")
        let data = try JSONEncoder().encode([matcher])
        #expect(String(decoding: data, as: UTF8.self) == #"["symptom=~\"nvlink|ib.*\""]"#)
        #expect(try JSONDecoder().decode([Matcher].self, from: data) == [matcher])
        #expect(throws: Matcher.Malformed.self) { try Matcher("severity<=5") }
        #expect(throws: Matcher.Malformed.self) { try Matcher("symptom<=a") }
    }
}
