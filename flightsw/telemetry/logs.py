"""Logs of all libraries: one JSON object a line, without secrets."""

from __future__ import annotations

import json
import logging
import sys
import threading
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from flightsw.telemetry.redaction import plain

_OURS: Final = "flightsw"


def configure_logs(level: str, stream: TextIO) -> None:
    """Send the logs of the whole process to a stream; ``level`` is debug, info, warning, error.

    The level is for loggers named ``flightsw`` or ``flightsw.*``
    (``structlog.get_logger("flightsw.service")``); libraries are heard from ``warning`` on.
    Python's warnings and the ends of threads by an exception are logged too.
    """
    chosen = logging.getLevelName(level.upper())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _as_json_line],
            foreign_pre_chain=_described(),
        )
    )
    root = logging.getLogger()
    for former in root.handlers[:]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(max(chosen, logging.WARNING))
    logging.getLogger(_OURS).setLevel(chosen)
    logging.captureWarnings(True)
    threading.excepthook = _log_end_of_thread
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_described(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def log_for_people() -> None:
    """Send structlog's lines from INFO on to stderr: stdout is for the command's output."""
    structlog.reset_defaults()  # whatever was configured before
    structlog.configure(
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )


def _described() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _add_thread,
        structlog.processors.format_exc_info,  # the stack alone: local variables may be secret
    ]


def _add_thread(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    event_dict["thread"] = threading.current_thread().name
    return event_dict


def _as_json_line(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> str:
    ordered = {"time": None, "level": None, "event": None, **event_dict}
    return json.dumps(plain(ordered), ensure_ascii=False)


def _log_end_of_thread(args: threading.ExceptHookArgs) -> None:
    thread = args.thread.name if args.thread else "unknown"
    logging.getLogger(_OURS).critical(
        "the thread %s ended by an exception", thread, exc_info=args.exc_value
    )
