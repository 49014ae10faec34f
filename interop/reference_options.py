#!/usr/bin/env python3
"""What the installed oslo.messaging says of its options, and oslo-config-generator of ours.

Reads a table of options as one line of JSON, as reference_config.py does, with "help". Prints a line:
{"installed": the options of the reference in the same form, but for those of other drivers, "sample":
the sample file that oslo-config-generator makes of the table}.
"""

import io
import json
import sys
import types

from oslo_config import cfg, generator
from oslo_messaging import opts
from oslo_messaging.notify import _impl_routing
from reference_config import option

KINDS = {
    cfg.StrOpt: "string",
    cfg.IntOpt: "integer",
    cfg.FloatOpt: "float",
    cfg.BoolOpt: "boolean",
    cfg.ListOpt: "list",
    cfg.MultiStrOpt: "multi",
}
GROUPS = ("DEFAULT", "oslo_messaging_notifications", "oslo_messaging_kafka", "oslo_messaging_rabbit")


def described(group, opt):
    choices = getattr(opt.type, "choices", None)
    return {
        "group": group,
        "name": opt.name,
        "kind": KINDS[type(opt)],
        "default": opt.default,
        "secret": opt.secret,
        "deprecated": [[old.group or group, old.name] for old in opt.deprecated_opts],
        "choices": list(choices) if choices else None,
        "min": getattr(opt.type, "min", None),
        "max": getattr(opt.type, "max", None),
    }


def installed():
    found = [(group or "DEFAULT", each) for group, listed in opts.list_opts() for each in listed]
    # The reference registers it with the driver only.
    found.append(("oslo_messaging_notifications", _impl_routing.router_config))
    return [described(group, opt) for group, opt in found if group in GROUPS]


def sample(table):
    groups = {}
    for each in table:
        groups.setdefault(each["group"], []).append(option(each))
    out = io.StringIO()
    conf = types.SimpleNamespace(wrap_width=70, minimal=False, summarize=False)
    formatter = generator._OptFormatter(conf, out)
    for number, group in enumerate(sorted(groups, key=lambda group: (group != "DEFAULT", group))):
        if number:
            out.write("\n\n")
        data = {"object": None, "namespaces": [("oslo.messaging", groups[group])]}
        generator._output_opts(formatter, group, data)
    return out.getvalue()


print(json.dumps({"installed": installed(), "sample": sample(json.loads(sys.stdin.readline()))}))
