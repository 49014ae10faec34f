"""ceilometer-agent-notification: its configuration, its process, and the events that it stores in a file."""

import json
import pathlib

from processes import Service, script

# An orderly end waits for what is under way; ceilometer itself gives up after 60 s.
_STOP = 70
#: Priorities whose notifications become events.
STORED_PRIORITIES = ("INFO", "ERROR")

_CONFIGURATION = """\
[DEFAULT]
log_file = {folder}/ceilometer.log
debug = {debug}
pipeline_cfg_file = {folder}/pipeline.yaml
event_pipeline_cfg_file = {folder}/event_pipeline.yaml
[oslo_messaging_notifications]
transport_url = {transport_url}
[oslo_messaging_kafka]
{kafka_options}
[notification]
{notification_options}
"""

_PIPELINE = """\
sources:
    - name: source
      {kind}:
          - "*"
      sinks:
          - sink
sinks:
    - name: sink
      publishers:
          - file://{file}?json
"""


class Ceilometer:
    """One agent with its files in ``folder``. It listens to its own default exchanges unless told otherwise."""

    def __init__(self, folder, transport_url, kafka_options, exchanges=(), debug=False):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.logs = [self.folder / "ceilometer.log", self.folder / "ceilometer-output.log"]
        self._events = self.folder / "events.jsonl"
        self._file = self.folder / "ceilometer.conf"
        self._kafka_options = kafka_options
        self._debug = debug
        self.configure(transport_url, exchanges)
        for kind, name, file in (("meters", "pipeline", "samples"), ("events", "event_pipeline", "events")):
            text = _PIPELINE.format(kind=kind, file=self.folder / f"{file}.jsonl")
            (self.folder / f"{name}.yaml").write_text(text)
        self._service = None

    def configure(self, transport_url, exchanges):
        """Writes its configuration. It counts from the next start on."""
        self._file.write_text(_CONFIGURATION.format(
            folder=self.folder, transport_url=transport_url, debug=self._debug,
            kafka_options="\n".join(f"{name} = {value}" for name, value in self._kafka_options.items()),
            notification_options="\n".join(f"notification_control_exchanges = {name}" for name in exchanges)))

    def start(self):
        command = [*script("ceilometer", "ceilometer-agent-notification"), "--config-file", self._file]
        self._service = Service("ceilometer-agent-notification", command, self.logs[1])

    def is_running(self):
        return self._service is not None and self._service.is_running()

    def stop(self):
        """Ends it in order. Returns how many seconds that took."""
        return self._service.stop(_STOP)

    def kill(self):
        if self._service is not None:
            self._service.kill()

    def stored(self):
        """The message ids of the events in its file, in their order; one that was stored twice is there twice."""
        if not self._events.exists():
            return []
        # The last line may still be in the writing.
        lines = self._events.read_text().split("\n")[:-1]
        return [json.loads(line)["message_id"] for line in lines]
