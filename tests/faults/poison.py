"""How long a message whose reading comes to no end holds up the mail that comes after it.

`ion serve` with its default time for one message; only the reading does what a message says (`tests.readers`). Mail
comes in all the while; the figure is the longest time from a 250 until that message was read.

    python -m tests.faults.poison [hang burn] --readers 1 2 [--seconds 22]
"""

import argparse
import json
import smtplib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from ion.store.tables import Message
from tests.faults.mails import OrderMails
from tests.faults.serving import Installation, wait_until_read

KINDS = ("hang", "burn")
MOST_SECONDS = 10.0
EVERY_SECONDS = 0.2
# Run as `__main__`, so that no child imports more than the program's own do.
POISONABLE = """
import runpy, sys
from functools import partial
import ion.serve
from tests.readers import read_oddly
ion.serve.Worker = partial(ion.serve.Worker, read=read_oddly)
sys.argv[0] = "ion"
runpy.run_module("ion", run_name="__main__", alter_sys=True)
"""


def delay(folder: Path, kind: str, readers: int, seconds: float) -> dict[str, Any]:
    """A poisonous mail, then one good mail after another for `seconds`; the figures."""
    folder.mkdir(parents=True)
    installation = Installation(folder / "data", settings={"ION_READERS": str(readers)})
    address = installation.address()
    mails = OrderMails(installation.data_dir, f"{kind}-")
    serving = installation.serve(launcher=("-c", POISONABLE)).wait_until_serving()
    store = installation.open()
    arrived: dict[str, float] = {}
    took: dict[str, float] = {}
    try:
        with smtplib.SMTP("127.0.0.1", installation.port, "client.example", timeout=60) as client:
            client.sendmail("a@b.example", [address], mails.new_order().raw)
            wait_until_read(store, 60)
            client.sendmail("a@b.example", [address], f"{kind} \r\n")
            until = time.monotonic() + seconds
            while time.monotonic() < until or len(took) < len(arrived):
                assert time.monotonic() < until + 60, "mail is not read any more"
                if time.monotonic() < until:
                    mail = mails.new_order()
                    client.sendmail("a@b.example", [address], mail.raw)
                    arrived[mail.sha256] = time.monotonic()
                time.sleep(EVERY_SECONDS)
                with store.reading() as connection:
                    query = sa.select(col(Message.sha256)).where(col(Message.state) == "read")
                    for sha256 in connection.execute(query).scalars():
                        if sha256 in arrived and sha256 not in took:
                            took[sha256] = time.monotonic() - arrived[sha256]
        quarantined = store.counts()["quarantined"]
    finally:
        store.close()
        serving.kill(whole_group=True)
    return {
        "kind": kind,
        "readers": readers,
        "mails": len(took),
        "longest_delay_seconds": round(max(took.values()), 2),
        "too_late": sum(one > MOST_SECONDS for one in took.values()),
        "not_quarantined": 1 - quarantined,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="what a poisonous mail holds up")
    parser.add_argument("kinds", nargs="*", default=KINDS)
    parser.add_argument("--readers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=22)
    given = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="ion-poison-") as folder:
        for kind in given.kinds:
            for readers in given.readers:
                figures = delay(Path(folder) / f"{kind}-{readers}", kind, readers, given.seconds)
                print(json.dumps(figures), flush=True)
                bad += figures["too_late"] + figures["not_quarantined"]
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
