"""An outbox that empties a store: `python -m tests.bench.outbox FOLDER PORT CONNECTIONS` prints the seconds it took."""

import sys
import time
from pathlib import Path

from ion.config import load_settings
from ion.logs import set_up_logs
from ion.notify.outbox import Outbox
from ion.store import open_store


def main() -> None:
    folder, port, connections = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    set_up_logs("warning")
    settings = load_settings({"data_dir": folder, "relay_port": port})
    store = open_store(settings.store_url)
    outbox = Outbox(store, settings, connections=connections)
    began = time.monotonic()
    outbox.start()
    while store.waiting_outgoing():
        time.sleep(0.05)
    seconds = time.monotonic() - began
    outbox.stop()
    store.close()
    print(seconds)


if __name__ == "__main__":
    main()
