"""The services' processes: found, started, waited for within a limit, and stopped."""

import importlib.metadata
import os
import pathlib
import signal
import subprocess
import sys
import time


class ServiceFailed(AssertionError):
    """A process ended as it should not have, or not in time. The text has the end of its log."""


def script(distribution, name):
    """The command of an installed distribution's script, run by this Python."""
    files = importlib.metadata.distribution(distribution).files
    path = next(file.locate() for file in files if file.name == name)
    return [sys.executable, os.fspath(path.resolve())]


def tail(*logs, lines=25):
    """The ends of these files, with their names."""
    parts = []
    for log in map(pathlib.Path, logs):
        text = log.read_text(errors="replace") if log.exists() else ""
        parts.append(f"--- {log.name}\n" + "\n".join(line[:400] for line in text.splitlines()[-lines:]))
    return "\n".join(parts)


class Service:
    """A process with a log of its output. It dies with the one that started it."""

    def __init__(self, name, command, log, environment=None):
        self.name = name
        self.log = pathlib.Path(log)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *map(os.fspath, command)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})}, start_new_session=True)

    def is_running(self):
        return self._process.poll() is None

    def wait(self, limit):
        """Waits for its end, which must be a good one."""
        try:
            status = self._process.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServiceFailed(f"{self.name} did not end within {limit} s\n{tail(self.log)}") from None
        if status:
            raise ServiceFailed(f"{self.name} ended with {status}\n{tail(self.log)}")

    def stop(self, limit):
        """Asks it to end as an operator does. Returns how many seconds that took."""
        if not self.is_running():
            raise ServiceFailed(f"{self.name} ended by itself: {self._process.returncode}\n{tail(self.log)}")
        begun = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        self.wait(limit)
        return time.monotonic() - begun

    def kill(self):
        """Ends it and all that it started, whatever state it is in."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()


def run(name, command, log, limit, environment=None):
    """Runs a command to its end."""
    service = Service(name, command, log, environment)
    try:
        service.wait(limit)
    finally:
        service.kill()
