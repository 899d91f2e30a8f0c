"""A deadline for a conversation with a server, however slowly it drips.

A socket's own timeout starts anew with every octet that comes. Here a timer shuts the socket down, which ends whatever
waits for it.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def deadline(seconds: float, end: Callable[[], None]) -> Iterator[None]:
    """Call `end`, from another thread, unless the block ends within `seconds`."""
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def shut_down(sock: socket.socket) -> None:
    """End both directions, so that who reads sees the end of the stream. Does nothing where the socket is closed."""
    with suppress(OSError):
        # The plain method: an SSLSocket's own one takes its TLS state away from under a thread that reads.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
