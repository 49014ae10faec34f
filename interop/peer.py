"""What the scripts have in common that are driven line by line: JSON in and out, and the configuration."""

import json
import logging
import sys
import threading

from oslo_config import cfg

# Lines of several threads.
_lock = threading.Lock()


def say(**line):
    """Writes a line. Values that JSON does not have, such as NaN, go as text: see written."""
    with _lock:
        print(json.dumps(line, allow_nan=False), flush=True)


def written(value):
    """A value as the JSON text that Python makes of it, with its keys in order."""
    return json.dumps(value, sort_keys=True)


def read(text):
    """The value of such a text."""
    return json.loads(text)


def asked():
    """The lines of standard input, until that ends."""
    for line in sys.stdin:
        yield json.loads(line)


def configuration():
    """The global configuration object: oslo.messaging 18.3.1 registers options of its tracing with no other."""
    logging.basicConfig(level=logging.WARNING)
    cfg.CONF([], default_config_files=[], default_config_dirs=[])
    return cfg.CONF
