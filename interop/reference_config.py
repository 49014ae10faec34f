#!/usr/bin/env python3
"""Reads configurations with the real oslo.config, one for each line of standard input.

The first line is a list of options: {"group", "name", "kind", "default", "secret", "deprecated",
"choices", "min", "max", "help"}. Each further one is a case: {"arguments", "project", "program", "environment",
"services"}, where services are options that are registered where something sets them. The answer to a
case is a line: {"error": KIND} when it cannot be loaded, or {"values": [...]} with, for each option in
its order, {"error": KIND} or {"value", "from"}.
"""

import json
import logging
import os
import sys

from oslo_config import cfg

logging.disable(logging.CRITICAL)

FROM = {
    cfg.Locations.opt_default: "default",
    cfg.Locations.environment: "environment",
    cfg.Locations.user: "file",
}


def option(described):
    kind = described["kind"]
    limits = {"min": described["min"], "max": described["max"]}
    every = {
        "default": described["default"],
        "secret": described["secret"],
        "help": described["help"],
        "deprecated_opts": [cfg.DeprecatedOpt(name, group) for group, name in described["deprecated"]],
    }
    name = described["name"]
    match kind:
        case "string":
            return cfg.StrOpt(name, choices=described["choices"], **every)
        case "integer":
            return cfg.IntOpt(name, **limits, **every)
        case "float":
            return cfg.FloatOpt(name, **limits, **every)
        case "boolean":
            return cfg.BoolOpt(name, **every)
        case "port":
            return cfg.PortOpt(name, **every)
        case "host":
            return cfg.HostAddressOpt(name, **every)
        case "list":
            return cfg.ListOpt(name, **every)
        case "multi":
            return cfg.MultiStrOpt(name, **every)
        case "dict":
            return cfg.DictOpt(name, **every)
    raise ValueError(kind)


def group_or_none(name):
    return None if name == "DEFAULT" else name


def written(value):
    """A value without a doubt about its type."""
    if isinstance(value, dict):
        return {"dict": [[key, value] for key, value in value.items()]}
    if isinstance(value, list):
        return {"list": value}
    if isinstance(value, (bool, int, float)):
        return {type(value).__name__: repr(value)}
    return {"str": value or ""}


def kind_of(error):
    # What refers to something else is replaced first: the errors of that are no errors of values.
    if isinstance(error, (cfg.NoSuchOptError, cfg.NoSuchGroupError, cfg.TemplateSubstitutionError)):
        return "reference"
    if isinstance(error, RecursionError):
        return "reference"
    if isinstance(error, (cfg.ConfigFileParseError, UnicodeDecodeError)):
        return "syntax"
    if isinstance(error, (cfg.ConfigFilesNotFoundError, cfg.ConfigDirNotFoundError)):
        return "missing"
    if isinstance(error, ValueError):
        return "value"
    return repr(error)


def is_given(conf, group, name):
    if f"OS_{group}__{name}".upper() in os.environ:
        return True
    try:
        conf._namespace._get_value([(group, name)])
    except KeyError:
        return False
    return True


def value(conf, group, name):
    try:
        found, location = conf._do_get(name, conf._get_group(group) if group else None)
    except Exception as error:
        return {"error": kind_of(error)}
    return {"value": written(found), "from": FROM[location.location] if location else "default"}


def answer(options, case, environment):
    os.environ.clear()
    os.environ.update(environment)
    os.environ.update(case["environment"])
    conf = cfg.ConfigOpts()
    for group, opt in options:
        conf.register_opt(opt, group=group)
    try:
        conf(case["arguments"], project=case["project"], prog=case["program"])
    except Exception as error:
        return {"error": kind_of(error)}
    for group, name in case["services"]:
        if is_given(conf, group, name):
            conf.register_opt(cfg.StrOpt(name), group=group_or_none(group))
    return {"values": [value(conf, group, opt.dest) for group, opt in options]}


def main():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    described = json.loads(sys.stdin.readline())
    options = [(group_or_none(each["group"]), option(each)) for each in described]
    for line in sys.stdin:
        print(json.dumps(answer(options, json.loads(line), environment)), flush=True)


if __name__ == "__main__":
    main()
