"""Records what CPython's re.match says, for the unit tests of src/notify/pattern.

    python3.11 re_match.py > re_match.json

The result has the version, the pairs as [pattern, text, matches] and the refused patterns as
[pattern, position or null, message]. Recorded with 3.11 on purpose: 3.13 and 3.14 differ in a
few of these (group references by "+1", \\B in an empty text, \\z, flag t).
"""

import json
import platform
import re
import warnings

PAIRS = {
    "as filters are written": [
        (r"^compute.*", ["compute.host1", "xcompute", "compute", "Compute.host1", "compute\nx"]),
        (r"compute", ["compute.host1", "a compute"]),
        (r"^compute\.instance\..*", ["compute.instance.create.end", "compute_instance.x"]),
        (r"^compute\.instance\.(create|delete)\.(start|end)$",
         ["compute.instance.create.end", "compute.instance.create.error",
          "compute.instance.delete.start\n"]),
        (r"^5f643cfc-664b-4c69-8000-ce2ed7b08216$",
         ["5f643cfc-664b-4c69-8000-ce2ed7b08216", "5f643cfc-664b-4c69-8000-ce2ed7b0821"]),
        (r"(?i)^ACTIVE$", ["active", "Active\n", "inactive"]),
        (r".*\.(?!error$)[a-z]+$", ["compute.end", "compute.error"]),
        (r"", ["", "x"]),
        (r"private|public", ["public", "my private"]),
        (r"a|", ["", "b"]),
    ],
    "end of the text": [
        (r"^active$", ["active", "active\n", "active\n\n", "active\r\n", "active "]),
        (r"active\Z", ["active", "active\n"]),
        (r"active$\n", ["active\n", "active"]),
        (r"active$\n\Z", ["active\n"]),
        (r"$", ["", "\n", "\n\n", "a"]),
        (r"\n$", ["\n", "\n\n", "\n\n\n"]),
        (r"a$|b", ["a\n", "b\n", "ab"]),
        (r"(a$)?\n", ["a\n", "\n"]),
        (r"(?m)a$\nb$", ["a\nb", "a\nb\n", "a\nbc"]),
        (r"(?m)a\n^b", ["a\nb", "a\n"]),
        (r"(?m)a\n^", ["a\n", "a"]),
        (r"a\n^", ["a\n"]),
        (r"(?m)a\Z", ["a\nb", "a"]),
        (r"a.$", ["a\n", "ab", "ab\n"]),
        (r"(?s)a.$", ["a\n", "a\n\n", "ab\n"]),
        (r"a\r$", ["a\r\n", "a\r"]),
        (r"a.b", ["a\nb", "a\rb", "a\u2028b", "a\x85b"]),
        (r"(?s:a.)b", ["a\nb"]),
        (r"(?-s:.)a", ["\na", "ba"]),
    ],
    "word characters": [
        (r"\w+$", ["abc_1", "\u00e9t\u00e9", "e\u0301", "\u00bd", "\u00b2", "\u0663", "\u2167",
                   "a\u203fb", "a\u200db", "\u4e00", "-"]),
        (r"\W", ["\u0301", "\u203f", "\u00e9", "_", "-"]),
        (r"\d+$", ["12", "\u0663\u0664", "\u00b2", "\u00bd"]),
        (r"\D", ["\u00b2", "\u0663"]),
        (r"\s+$", [" \t\n\r\f\v", "\x1c\x1d\x1e\x1f", "\x85\u00a0", "\u2028\u3000", "\u200b",
                   "\u180e"]),
        (r"\S", ["\x1c", "\u200b", "\u00a0"]),
        (r"[\s\w]+$", ["a\x1cb", "a\u0301"]),
        (r"[^\s\w]", ["\x1f", "\u0301"]),
        (r"(?a)\w", ["a", "\u00e9"]),
        (r"(?a)\d", ["1", "\u0663"]),
        (r"(?a)\s", [" ", "\x1c", "\u00a0"]),
        (r"(?a)\S", ["\x1c"]),
        (r"(?a)\W", ["\u00e9"]),
        (r"(?a:\w)\w", ["a\u00e9", "\u00e9a"]),
        (r"(?a)(?u:\w)\w", ["\u00e9a", "a\u00e9"]),
    ],
    "word boundaries": [
        (r"ab\b", ["ab", "abc", "ab-", "ab\u00e9", "ab\u0301", "ab\u00bd", "ab\u203f"]),
        (r"ab\B", ["abc", "ab", "ab\u0301", "ab\u00bd"]),
        (r"\b", ["", "a", "-", "\u00e9"]),
        (r"\B", ["", "a", "-", "\u0301"]),
        (r"(?a)a\b", ["a\u00e9", "ab"]),
        (r"(?a)a\B", ["a\u00e9", "ab"]),
        (r"\bfoo\b.*\bbar\b", ["foo bar", "foobar", "foo x bar\n"]),
        (r"(?:\b)*a", ["a"]),
    ],
    "quantifiers": [
        (r"a{,2}$", ["", "aa", "aaa"]),
        (r"a{,}$", ["", "aaa"]),
        (r"a{2,}$", ["a", "aa"]),
        (r"a{2}$", ["aa", "a{2}"]),
        (r"a{2}?$", ["aa", "a"]),
        (r"a{}$", ["a{}"]),
        (r"a{$", ["a{"]),
        (r"a{,$", ["a{,"]),
        (r"a{1$", ["a{1"]),
        (r"a{1,2$", ["a{1,2"]),
        (r"a{ 1}$", ["a{ 1}", "a"]),
        (r"a{x}$", ["a{x}"]),
        (r"a{1}{$", ["a{"]),
        (r"{}$", ["{}"]),
        (r"}$", ["}"]),
        (r"]$", ["]"]),
        (r"a??b", ["b", "ab"]),
        (r"(?:a*)*$", ["", "aaa"]),
        (r"(?:a|b*)*c", ["abbac", "abba"]),
        (r"(?:)*a", ["a"]),
        (r"()*a", ["a"]),
        (r"(?=a)*a", ["a", "b"]),
        (r"(?:(?=a)){2}a", ["a", "b"]),
        (r"(?:^)*a", ["a"]),
        (r"(?:a?){3}b", ["aaab", "aaaab"]),
    ],
    "possessive and atomic": [
        (r"a*+a", ["aaa"]),
        (r"a++b", ["aab"]),
        (r"a?+a", ["a", "aa"]),
        (r"a{1,2}+a", ["aa", "aaa"]),
        (r"(?>a*)a", ["aaa"]),
        (r"(?>a|ab)c", ["abc", "ac"]),
        (r"(?:ab?c?)*+c", ["abcc", "abab"]),
        (r"(\S+){2}+", ["_c"]),
        (r"(?>(?:ab)+)$", ["abab", "aba"]),
    ],
    "look-around": [
        (r"(?=a)a", ["a", "b"]),
        (r"(?!a).", ["a", "b"]),
        (r"a(?<=a)b", ["ab"]),
        (r"ab(?<!ab)", ["ab"]),
        (r"(?<!a)b", ["b"]),
        (r"a(?<=\w)", ["a"]),
        (r"\u00e9(?<=\u00e9)x", ["\u00e9x"]),
        (r"..(?<=a|b)", ["xa", "xb", "xc"]),
        (r"..(?<=ab|cd)", ["ab", "cd", "ad"]),
        (r"(a)(?<=\1)b", ["ab"]),
        (r"(?<=^)a", ["a"]),
        (r"a(?=$)", ["a\n", "a\nb"]),
        (r"(?=(a+))a*b\1", ["aaab", "aabaa"]),
        (r"(?!.*error)compute", ["compute.end", "compute.error"]),
    ],
    "references and conditionals": [
        (r"(a)\1", ["aa", "ab"]),
        (r"(a)(?:\1)0", ["aa0"]),
        (r"(?P<n>a|b)(?P=n)$", ["aa", "bb", "ab"]),
        ("(?P<\u00e9>a)(?P=\u00e9)", ["aa"]),
        (r"(a)?\1b", ["b", "aab"]),
        (r"(a|b)*\1", ["abb", "aba"]),
        (r"(?i)(a)\1", ["aA", "ab"]),
        (r"(?i)(s)\1", ["sS"]),
        (r"(<)?a(?(1)>|$)", ["<a>", "a", "<a", "a>", "a\n"]),
        (r"(?P<q>')?a(?(q)')$", ["'a'", "a", "'a"]),
        (r"(?(1)a|b)(c)?", ["b", "a"]),
        (r"(?:(?(1)b|a)(x)?)+$", ["ax", "axb", "axa"]),
        (r"(?(+1)a|b)()", ["b", "a"]),
        (r"(?( 1 )a|b)()", ["b", "a"]),
        (r"(a)(?(1))b", ["ab"]),
        (r"(?(1))a()", ["a"]),
    ],
    "classes": [
        (r"[[]", ["[", "a"]),
        (r"[[]]", ["[]", "["]),
        (r"[]a]", ["]", "a"]),
        (r"[^]a]", ["]", "b"]),
        (r"[a-]", ["-", "a", "b"]),
        (r"[-a]", ["-"]),
        (r"[a\-z]", ["-", "b"]),
        (r"[+--]", [",", "-", "."]),
        (r"[a&&b]", ["&", "a", "b"]),
        (r"[!--b]", ["-", "b", "a"]),
        (r"[a~~b]", ["~", "a", "b"]),
        (r"[a||b]", ["|", "b"]),
        (r"[\w&&\d]", ["a", "&"]),
        (r"[[a]", ["[", "a"]),
        (r"[a[b]c]", ["ac]", "[c]", "b", "c"]),
        (r"[[:alpha:]]", [":]", "a", "b"]),
        (r"[\b]", ["\x08", "b"]),
        (r"[\101]", ["A"]),
        (r"[\0]", ["\0"]),
        (r"[\377]", ["\xff"]),
        (r"[\x41-\x43]", ["B", "D"]),
        (r"[\n]", ["\n"]),
        (r"[^\n]", ["\n", "\r"]),
        (r"[^a]", ["\n", "a"]),
        (r"[$^.]", ["$", "^", ".", "a"]),
        (r"[\]]", ["]"]),
        (r"[\\]", ["\\"]),
        (r"[\s\S]", ["\n"]),
        (r"[^\s\S]", ["a"]),
        (r"[\ud800-\udfff]", ["a"]),
        (r"[^\ud800]", ["a"]),
        (r"[\U0001f600-\U0001f64f]", ["\U0001f603", "a"]),
        (r"[#]", ["#"]),
        (r"(?x)[ #]", [" ", "#"]),
    ],
    "escapes": [
        (r"\101", ["A"]),
        (r"\0", ["\0"]),
        (r"\08", ["\0" + "8"]),
        (r"\012", ["\n"]),
        (r"\0101", ["\b1"]),
        (r"\377", ["\xff"]),
        (r"\x41", ["A"]),
        (r"\u00e9", ["\u00e9"]),
        (r"\U0001F600", ["\U0001f600"]),
        (r"\a\f\n\r\t\v", ["\a\f\n\r\t\v"]),
        (r"\ud83d", ["x"]),
        (r"\.\-\/\:\@\ \#\&\~\"\'\%\,\;\=\!\<\>\`\_", [".-/:@ #&~\"'%,;=!<>`_"]),
        (r"\\", ["\\"]),
        ("\\\u00e9", ["\u00e9"]),
        (r"\A\Aa", ["a"]),
        ("\\\n", ["\n"]),
        ("#", ["#"]),
        ("a b", ["a b", "ab"]),
    ],
    "flags": [
        (r"(?i)abc", ["ABC", "abd"]),
        (r"(?i)k", ["\u212a", "K"]),
        (r"(?i)s", ["\u017f", "S"]),
        (r"(?i)i", ["I", "\u0130", "\u0131"]),
        (r"(?i)\u0130", ["i", "\u0131"]),
        (r"(?i)[i]", ["\u0131"]),
        (r"(?i)[^i]", ["\u0131", "I"]),
        (r"(?i)\u03c3", ["\u03a3", "\u03c2"]),
        (r"(?i)\u00df", ["\u1e9e", "ss"]),
        (r"(?i)\u00b5", ["\u03bc", "\u039c"]),
        (r"(?i)[a-z]", ["K", "\u212a", "\u0131"]),
        (r"(?i)[A-Z]", ["a", "\u017f"]),
        (r"(?i)\ufb05", ["\ufb06"]),
        (r"(?ai)k", ["K", "\u212a"]),
        (r"(?ai)\u00e9", ["\u00e9", "\u00c9"]),
        (r"(?i:a)b", ["Ab", "AB"]),
        (r"(?i)a(?-i:b)", ["Ab", "AB"]),
        (r"(?i)(?-i:b)|A", ["B", "a"]),
        (r"(?im-s:a)$", ["A"]),
        (r"(?u)\w", ["\u00e9"]),
        (r"(?t)a", ["a"]),
        (r"(?#note)(?i)a", ["A"]),
        (r"(?i)(?m)A$", ["a\nb"]),
        (r"(?x) a b # trailing comment", ["ab", "a b"]),
        ("(?x) a # one\n b # two\n", ["ab"]),
        ("(?x) a # \\\n b\n c", ["ac", "abc"]),
        (r"(?x) a\ b [ ] c", ["a b c"]),
        (r"(?x)a {2}", ["aa"]),
        (r"(?x)a * b", ["aab"]),
        (r"(?x: a ) b", ["a b", "ab"]),
        (r"(?x) (?-x: a)", [" a", "a"]),
        (r"(?x) (?i) a", ["A"]),
        (r"a(?#note)b", ["ab"]),
        (r"a(?#note)*b", ["aab"]),
    ],
}

REFUSED = [
    # quantifiers
    r"a**", r"a+*", r"a?*", r"a{1}{2}", r"a{1}*", r"a*{2}", r"a*?*", r"a++*", r"a*??", r"(?x)a* *",
    r"*", r"+a", r"?", r"{1}", r"(*a)", r"a|*", r"^*", r"$*", r"\b+", r"\A?", r"\Z{2}", r"(?i)*",
    r"a{2,1}", r"a{4294967295}", r"a{1,99999999999}", r"(?t)a*",
    # what other dialects have
    r"(?<n>a)", r"\p{L}", r"\P{L}", r"\z", r"\R", r"\G", r"\K", r"\h", r"\X", r"\Q", r"\E", r"\e",
    r"\cA", r"\g<1>", r"\k<n>", r"[\z]", r"[\B]", r"[\A]", r"[\p{L}]", r"(?|a)", r"(?R)", r"(?&n)",
    r"(?P>n)", r"(?'n'a)", r"(?~a)", r"(?C)",
    # escapes
    "a\\", "[\\", r"\x4", r"\u12", r"\U0001f60", r"\U00110000", r"\400", r"[\400]", r"[\8]", r"\N",
    r"\N{}", r"\N{a",
    # classes
    r"[", r"[]", r"[^]", r"[a", r"[a-", r"[z-a]", r"[\d-z]", r"[a-\d]", r"[a--]", r"[b--a]",
    # groups
    r"(", r")", r"(a", r"a)", r"(?", r"(?:", r"(?P", r"(?P<", r"(?P<n", r"(?P<>a)", r"(?P<1>a)",
    r"(?P<a b>c)", r"(?P<n>a)(?P<n>b)", r"(?P=", r"(?P=n)", r"(?P=)", r"(?Px)", r"(?#", r"(?<",
    r"(?<a", r"(?", r"(?=a", r"(?<=a",
    # references and conditionals
    r"\1", r"(a)\2", r"(a\1)", r"(?P<n>a(?P=n))", r"\8", r"\99", r"(?(1)a)", r"(?(0)a)", r"(?(n)a)",
    r"(?(-1)a)", r"(?()a)", r"(?(", r"(a)(?(1", r"(a)(?(1)b|c|d)", r"(a)(?(1)b",
    r"(?(2147483647)a)", r"(?(a b)c)",
    # look-behind
    r"(?<=a*)b", r"(?<!a+)b", r"(?<=a|bc)", r"(?<=a?)", r"(a*)(?<=\1)", r"(?<=(a)\1)",
    r"(?<=(a)(?(1)b|c))", r"((?<=\1)a)", r"(?<=a{1,2})",
    # flags
    r"a(?i)b", r"(?i", r"(?i:", r"(?-", r"(?-i", r"(?-)", r"(?-i)", r"(?-:a)", r"(?z)", r"(?iz)",
    r"(?i-z:a)", r"(?L)a", r"(?L:a)", r"(?au:a)", r"(?au)a", r"(?a)(?u)a", r"(?-a:b)", r"(?i-i:a)",
    r"(?t:a)", r"(?-t:a)", r"a|(?i)b", r"(?:(?i)a)", r"(?i:(?m)a)", r"(?i_)", r"(?i-_:a)",
]


def main():
    warnings.simplefilter("ignore")
    pairs = [
        [pattern, text, re.match(pattern, text) is not None]
        for patterns in PAIRS.values()
        for pattern, texts in patterns
        for text in texts
    ]
    refused = []
    for pattern in REFUSED:
        try:
            re.compile(pattern)
        except re.error as error:
            refused.append([pattern, error.pos, error.msg])
        except (OverflowError, ValueError) as error:
            refused.append([pattern, None, str(error)])
        else:
            raise SystemExit(f"{pattern!r} is not refused")
    print('{"python": %s,' % json.dumps(platform.python_version()))
    for name, rows, end in (("pairs", pairs, "],"), ("refused", refused, "]}")):
        print(f'"{name}": [')
        print(",\n".join(json.dumps(row) for row in rows))
        print(end)


if __name__ == "__main__":
    main()
