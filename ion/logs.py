"""Logs: one JSON line per event on stderr. Never a mail's body, an address or an order's content."""

import io
import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog


class _Lossy(io.TextIOBase):
    """A stream on which a line that cannot be written is let go.

    Where logs share a full disk with the database, or their reader or the stream has gone, a failed line must neither
    turn a temporary refusal into a permanent one nor end the worker.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def set_up_logs(level: str) -> None:
    """Log events of `level` (`debug`, `info`, `warning`, `error`) and above to stderr."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        # Each line in one piece with its end, so that whatever else writes to stderr comes between lines.
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Lossy(sys.stderr))),
        cache_logger_on_first_use=False,
    )
