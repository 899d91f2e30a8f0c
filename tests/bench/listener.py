"""The listener with its store and nothing behind it: `python -m tests.bench.listener PORT`, settings from ION_*."""

import signal
import sys
import threading

from ion.config import load_settings
from ion.inbox import Listener
from ion.logs import set_up_logs
from ion.store import open_store


def main() -> None:
    settings = load_settings()
    set_up_logs(settings.log_level)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    store = open_store(settings.store_url, mail_domain=settings.mail_domain)
    listener = Listener(store, port=int(sys.argv[1]))
    listener.start()
    stop.wait()
    listener.stop()
    store.close()


if __name__ == "__main__":
    main()
