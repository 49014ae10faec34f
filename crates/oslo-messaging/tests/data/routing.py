"""Records what the reference's routing driver decides, for src/notify/routing and its patterns.

    $(interop/venv.sh) routing.py > routing.json

`pairs` are [pattern, text, matches] of CPython's fnmatch.fnmatch; `routes` are [file, event type,
priority, drivers] with the file as YAML and the drivers sorted. Random ones have a fixed seed.
"""

import fnmatch
import json
import platform
import random

from oslo_messaging.notify import _impl_routing
import yaml

PAIRS = [
    (pattern, text)
    for pattern, texts in {
        "compute.instance.*": ["compute.instance.create.end", "compute.instance", "xcompute.instance.a"],
        "*.exists": ["compute.instance.exists", "exists", ".exists", "a.exists\n"],
        "*": ["", "a", "a/b", ".hidden", "a\nb"],
        "": ["", "a"],
        "?": ["", "a", "ab", "/", "\n", "\u00e9", "\U0001f600"],
        "a?c*": ["abc", "abcd", "ac"],
        "COMPUTE.*": ["compute.x", "COMPUTE.x"],
        "[abc]": ["a", "c", "d", "", "ab"],
        "[!abc]": ["a", "d", "", "!", "\n"],
        "[a-c]x": ["bx", "dx", "-x"],
        "[!a-c]": ["b", "d", "-"],
        "[]]": ["]", "a"],
        "[!]]": ["]", "a"],
        "[]-a]": ["]", "^", "a", "b"],
        "[a": ["[a", "a"],
        "[": ["[", ""],
        "[]": ["[]", ""],
        "[!]": ["[!]", "!"],
        "[a-]": ["a", "-", "b"],
        "[-a]": ["-", "a", "b"],
        "[a-b-c]": ["a", "b", "-", "c"],
        "[z-a]": ["z", "a", "-", "m"],
        "[!z-a]": ["z", "", "ab"],
        "[z-ab-d]": ["b", "c", "z", "a", "-"],
        "[^a]": ["^", "a", "b"],
        "[a^]": ["^", "a", "b"],
        "[\\]": ["\\", "]"],
        "[\\w]": ["\\", "w", "a"],
        "a\\*": ["a\\b", "a*"],
        "[[]": ["[", "a"],
        "[&&a||b~~c]": ["&", "|", "~", "a"],
        "[--a]": ["-", "0", "a", "b"],
        "[a--b]": ["b", "a", "-"],
        "**a**": ["a", "xax", "x"],
        "*a*b*c": ["abc", "xaxbxc", "acb", "aabbcc"],
        "a.b": ["a.b", "axb"],
        "(a|b)+$": ["(a|b)+$", "a"],
        "*.*.end": ["compute.instance.end", "a.end", "a.b.c.end"],
        "[!!]": ["!", "a"],
        "[a!]": ["a", "!", "b"],
        "[\u00e0-\u00ef]": ["\u00e9", "e"],
    }.items()
    for text in texts
]

FILES = [
    "{}",
    "",
    "billing:\n  messagingv2:\n    accepted_events: ['compute.instance.*', 'volume.*']\n"
    "  log:\n    accepted_priorities: ['error']\n",
    "a:\n  log: {}\nb:\n  log:\n    accepted_events: ['x']\n  noop: {}\n",
    "a:\n  log:\n    accepted_events: []\n  noop:\n    accepted_priorities: []\n",
    "a:\n  log:\n    accepted_events: ['*.start']\n    accepted_priorities: ['INFO', 'Err*']\n"
    "  test:\n    accepted_priorities: ['*']\nb:\n  messaging:\n    accepted_priorities: [warn]\n",
    "a: &all\n  log: {accepted_events: ['c*', 'v*.end']}\nb: *all\n",
]

EVENTS = ["compute.instance.create.start", "compute.instance.exists", "volume.create.end", "x", ""]


def driver_of(text):
    driver = _impl_routing.RoutingDriver(None, None, None)
    driver.routing_groups = yaml.safe_load(text) or {}
    return driver


def main():
    numbers = random.Random(7)
    pairs = list(PAIRS)
    for _ in range(500):
        pattern = "".join(numbers.choice("*?[]!-abc^\\") for _ in range(numbers.randint(1, 8)))
        # CPython makes a negation of what follows an empty range and starts with "!": left out.
        for _ in range(3):
            pairs.append((pattern, "".join(numbers.choice("abc-]!") for _ in range(numbers.randint(0, 4)))))
    routes = []
    for file in FILES:
        driver = driver_of(file)
        for event in EVENTS:
            for priority in ("debug", "info", "warn", "error", "sample"):
                names = set()
                for group in driver.routing_groups.values():
                    names.update(driver._get_drivers_for_message(group, event, priority))
                routes.append([file, event, priority, sorted(names)])
    print(f'{{"python": "{platform.python_version()}",\n"pairs": [')
    print(",\n".join(json.dumps([p, t, fnmatch.fnmatch(t, p)]) for p, t in pairs))
    print('],\n"routes": [')
    print(",\n".join(map(json.dumps, routes)))
    print("]}")


main()
