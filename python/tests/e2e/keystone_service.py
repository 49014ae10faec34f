"""keystone: its configuration, its commands, calls of its API, and the notifications that its log has."""

import dataclasses
import json
import pathlib
import re
import shutil
import sys

from ceilometer_service import STORED_PRIORITIES
from processes import run, script

_COMMAND = 180
_PASSWORD = "a-secret-for-tests"
_CALLS = pathlib.Path(__file__).with_name("keystone_calls.py")
# The notification driver `log` writes to this logger, with the event type at its end.
_LOGGED = re.compile(r" oslo\.messaging\.notification\.\S+ .*?(\{.*\})$")

_CONFIGURATION = """\
[DEFAULT]
log_file = {folder}/keystone.log
notification_format = {notification_format}
# Nothing is left out: by default keystone tells of no authentication.
notification_opt_out = nothing
[database]
connection = sqlite:///{folder}/keystone.sqlite
[cache]
enabled = true
backend = oslo_cache.dict
[identity]
password_hash_rounds = 4
[fernet_tokens]
key_repository = {folder}/fernet-keys
[credential]
key_repository = {folder}/credential-keys
[oslo_messaging_notifications]
driver = log
driver = messagingv2
transport_url = {transport_url}
"""


@dataclasses.dataclass(frozen=True)
class Logged:
    """A notification that keystone emitted, by its own log."""

    message_id: str
    event_type: str
    priority: str

    @property
    def is_stored(self):
        """Whether ceilometer makes an event of it."""
        return self.priority in STORED_PRIORITIES


class Keystone:
    """A keystone with a database of its own, in ``folder``."""

    def __init__(self, folder, transport_url, notification_format):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.logs = [self.folder / "keystone.log", self.folder / "keystone-output.log"]
        self._format = notification_format
        self._file = self.folder / "keystone.conf"
        self.configure(transport_url)

    def configure(self, transport_url):
        """Writes its configuration. What is started from then on uses this URL."""
        self._file.write_text(_CONFIGURATION.format(
            folder=self.folder, transport_url=transport_url, notification_format=self._format))

    def make_database(self):
        """Tables and keys: what takes long, and emits nothing."""
        self._manage("db_sync")
        for keys in ("fernet_setup", "credential_setup"):
            self._manage(keys, "--keystone-user", str(self.folder.stat().st_uid),
                         "--keystone-group", str(self.folder.stat().st_gid))

    def take_database(self, other):
        """Tables and keys of another that has been used for nothing else."""
        shutil.copy(other.folder / "keystone.sqlite", self.folder)
        for keys in ("fernet-keys", "credential-keys"):
            shutil.copytree(other.folder / keys, self.folder / keys)

    def bootstrap(self):
        self._manage("bootstrap", "--bootstrap-password", _PASSWORD, "--bootstrap-region-id", "RegionOne",
                     "--bootstrap-public-url", "http://127.0.0.1:5000/v3")

    def call_api(self, rounds):
        """Makes things, changes and deletes them, so many times, in one process."""
        run("keystone's API", [sys.executable, _CALLS, "--password", _PASSWORD, "--rounds", str(rounds)],
            self.logs[1], _COMMAND, {"OS_KEYSTONE_CONFIG_FILES": str(self._file)})

    def logged(self):
        """All notifications in its log."""
        if not self.logs[0].exists():
            return []
        found = map(_LOGGED.search, self.logs[0].read_text().splitlines())
        bodies = (json.loads(match.group(1)) for match in found if match)
        return [Logged(body["message_id"], body["event_type"], body["priority"]) for body in bodies]

    def _manage(self, *arguments):
        command = [*script("keystone", "keystone-manage"), "--config-file", self._file, *arguments]
        run(f"keystone-manage {arguments[0]}", command, self.logs[1], _COMMAND)
