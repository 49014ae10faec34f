"""Programs of their own: written to a file, run with the tests' Python, and ended at a limit."""

import pathlib
import subprocess
import sys
import textwrap
import time

_HERE = pathlib.Path(__file__).parent

_HEAD = f"""
import sys, os, time, threading, logging, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, {str(_HERE)!r})
"""


class Program:
    """One that runs; its output is text."""

    def __init__(self, folder, source, *arguments, head=""):
        path = folder / f"program{time.monotonic_ns()}.py"
        path.write_text(head + _HEAD + textwrap.dedent(source))
        self.process = subprocess.Popen(
            [sys.executable, "-P", path, *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self, limit=60):
        """Waits for its end; gives what it wrote and its exit code."""
        try:
            out, _ = self.process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, _ = self.process.communicate()
            raise AssertionError(f"still running after {limit} s:\n{out}") from None
        return out, self.process.returncode


def run(folder, source, *arguments, limit=60, head=""):
    """Runs one to its end, which must be a success; gives what it wrote."""
    out, code = Program(folder, source, *arguments, head=head).end(limit)
    assert code == 0, f"exit code {code}:\n{out}"
    return out


#: Before everything else: what a service under eventlet does.
EVENTLET = """
import warnings
warnings.simplefilter("ignore")
import eventlet
eventlet.monkey_patch()
"""
