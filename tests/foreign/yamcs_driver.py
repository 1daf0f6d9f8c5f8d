"""Drives a Yamcs through yamcs-client, in the interpreter that has it: lines of JSON in, and out.

``{"watch": [names]}`` starts to collect these parameters; ``{"issue": name, "args": {...},
"run_at": seconds}`` sends a telecommand and waits for its end; ``{"report": true}`` gives what was
collected, packet by packet; ``{"events": true}`` the events; ``{"links": true}`` the link's counts.
"""

from __future__ import annotations

import base64
import json
import sys
from datetime import datetime, timezone
from typing import Any

from yamcs.client import YamcsClient

_END_S = 120.0


class _Driver:
    def __init__(self, address: str) -> None:
        self.client = YamcsClient(address)
        self.processor = self.client.get_processor("flightsw", "realtime")
        self.commands = self.processor.create_command_connection()
        self.packets: list[dict[str, Any]] = []

    def watch(self, names: list[str]) -> Any:
        def take(data: Any) -> None:
            self.packets.append(
                {p.name.rpartition("/")[2]: _plain(p.eng_value) for p in data.parameters}
            )

        self.subscription = self.processor.create_parameter_subscription(
            [f"/flightsw/{name}" for name in names], on_data=take, send_from_cache=False
        )
        return len(names)

    def issue(self, name: str, args: dict[str, Any], run_at: float | None) -> Any:
        extra = {}
        if run_at is not None:
            moment = datetime.fromtimestamp(run_at, timezone.utc).replace(tzinfo=None)
            extra = {"pus11ScheduleAt": f"{moment.isoformat()}Z"}
        command = self.commands.issue(f"/flightsw/{name}", args=args, extra=extra)
        raised = ""
        try:
            command.await_complete(timeout=_END_S)
        except Exception as error:  # noqa: BLE001 - reported
            raised = repr(error)
        found = {key: [one.status, one.message] for key, one in command.acknowledgments.items()}
        complete = command.acknowledgments.get("Verifier_Complete")
        time = complete.time.timestamp() if complete is not None and complete.time else None
        return {"stages": found, "error": command.error, "completed_at": time, "raised": raised}

    def events(self) -> Any:
        archive = self.client.get_archive("flightsw")
        return [
            {"type": one.event_type, "severity": one.severity, "message": one.message}
            for one in archive.list_events()
        ]

    def alarms(self) -> Any:
        return [one.name for one in self.processor.list_alarms()]


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": base64.b64encode(bytes(value)).decode()}
    return value


def main() -> None:
    """Serve until the input ends."""
    driver = _Driver(sys.argv[1])
    for line in sys.stdin:
        request = json.loads(line)
        if "watch" in request:
            answer = driver.watch(request["watch"])
        elif "issue" in request:
            answer = driver.issue(request["issue"], request.get("args", {}), request.get("run_at"))
        elif "events" in request:
            answer = driver.events()
        elif "alarms" in request:
            answer = driver.alarms()
        else:
            answer = driver.packets
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
