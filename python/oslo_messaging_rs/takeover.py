"""``kafka://`` served by this driver, without a word of configuration changed.

The reference's entry point ``kafka`` names a class in a module. Here stands the import of that module: it is loaded as
it is, and the name of the class then gives this driver. So no private part of stevedore is touched, and two packages
never claim one name. Nothing but the standard library is imported here, for this runs as Python starts.
"""

import importlib.abc
import importlib.machinery
import os
import sys

#: The environment variable that says which driver serves ``kafka://``: ``python`` (as if unset) or ``rust``.
VARIABLE = "OSLO_MESSAGING_KAFKA_DRIVER"

_MODULE = "oslo_messaging._drivers.impl_kafka"
_CLASS = "KafkaDriver"


def by_environment():
    """Installs the takeover if the variable says ``rust``.

    :raises ValueError: for a word that it does not know
    """
    word = os.environ.get(VARIABLE, "")
    if word == "rust":
        install()
    elif word not in ("", "python"):
        raise ValueError(f"{VARIABLE}={word!r}: expected python or rust; python is taken")


def install():
    """From here on ``kafka://`` loads this driver. Nothing happens the second time."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    if _MODULE in sys.modules:
        _take_over(sys.modules[_MODULE])


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path, target=None):
        if fullname != _MODULE:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader):
        self._loader = loader

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        try:
            self._loader.exec_module(module)
        except ModuleNotFoundError as error:
            # The reference's driver needs it, this one does not.
            if error.name != "confluent_kafka":
                raise
        _take_over(module)

    def __getattr__(self, name):
        return getattr(self._loader, name)


def _take_over(module):
    # Looked up when it is asked for: this driver's own module imports that one.
    vars(module).pop(_CLASS, None)
    module.__getattr__ = _attribute


def _attribute(name):
    if name != _CLASS:
        raise AttributeError(f"module {_MODULE!r} has no attribute {name!r}")
    from oslo_messaging_rs.driver import KafkaDriver
    return KafkaDriver
