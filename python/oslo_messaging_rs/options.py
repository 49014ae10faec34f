"""The options of ``[oslo_messaging_kafka]``: the reference's own objects, and ours beside them."""

from oslo_config import cfg
from oslo_messaging._drivers import common
from oslo_messaging._drivers.kafka_driver import kafka_options

from oslo_messaging_rs import _native

GROUP = "oslo_messaging_kafka"


def _option(described):
    name, kind, default = described["name"], described["kind"], described["default"]
    every = {"help": described["help"], "secret": described["secret"]}
    limits = {"min": described.get("min"), "max": described.get("max")}
    if kind == "integer":
        return cfg.IntOpt(name, default=int(default), **limits, **every)
    if kind == "float":
        return cfg.FloatOpt(name, default=float(default), **limits, **every)
    if kind == "boolean":
        return cfg.BoolOpt(name, default=default == "true", **every)
    if kind == "list":
        return cfg.ListOpt(name, default=default.split(","), **every)
    if kind == "dict":
        return cfg.DictOpt(name, default={}, **every)
    return cfg.StrOpt(name, default=default, choices=described.get("choices"), **every)


#: What the reference does not have, made from the library's table.
OPTIONS = [_option(described) for described in _native.options(GROUP)]


def _group():
    # One for each configuration: it keeps what is set.
    return cfg.OptGroup(name=GROUP, title="Kafka driver options")


def list_opts():
    """For ``oslo-config-generator --namespace oslo.messaging.rkafka``."""
    return [(_group(), OPTIONS)]


def register(conf, url):
    """Registers both, and gives a view of `conf` in which the query of `url` wins."""
    conf.register_group(_group())
    conf.register_opts(kafka_options.KAFKA_OPTS, group=GROUP)
    conf.register_opts(OPTIONS, group=GROUP)
    return common.ConfigOptsProxy(conf, url, GROUP)


def settings(conf):
    """What is set, as ``(group, name, text)``; defaults are the library's own."""
    unset = (cfg.Locations.opt_default,)
    found = []
    for option in [*kafka_options.KAFKA_OPTS, *OPTIONS]:
        location = conf.get_location(option.dest, GROUP)
        if location is None or location.location in unset:
            continue
        value = conf[GROUP][option.dest]
        if value is not None:
            found.append((GROUP, option.name, _text(value)))
    return found


def _text(value):
    """A value as it would stand in a file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ",".join(f"{key}:{value}" for key, value in value.items())
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    return str(value)
