"""Errors that the RPC server of these scripts raises, in a module that its client may be told to rebuild."""


class OwnError(Exception):
    """Rebuilt by a client that allows this module."""


class PickyError(Exception):
    """No client can rebuild it: it takes an argument that the wire does not carry."""

    def __init__(self, message, *, needed):
        super().__init__(message)
        self.needed = needed
