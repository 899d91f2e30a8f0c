"""Delivery of published files: from the database to where each merchant's people and programs look for them.

    folder     into a folder, with a manifest and a copy named `latest`
    mail       as a report with the file attached
    sftp       to a server; sftp_address: which
    manifest   what is told of a file beside it

`Deliverer` claims what is due and tries it; what a target cannot take now goes later. Every way is safe to be cut off:
what was delivered and not marked is delivered again, the same octets under the same name.
"""

import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import structlog

from ion.config import Settings
from ion.delivery.folder import deliver_to_folder, withdraw_from_folder
from ion.delivery.mail import deliver_by_mail
from ion.delivery.manifest import DeliveryRefusedError, manifest_of
from ion.errors import IonError, SettingError
from ion.notify.outbox import GIVE_UP, LEAST_ATTEMPTS, retry_delay
from ion.store import OWN_FOLDER, ClaimLostError, Delivery, DeliveryState, ErasedMeanwhileError, Store

__all__ = ["Delivered", "Deliverer", "DeliveryRefusedError", "manifest_of"]

log = structlog.get_logger("ion.delivery")

# Longer than an upload may take; whoever dies while delivering holds the delivery for so long.
LEASE_SECONDS = 600.0
POLL_SECONDS = 5.0
STOP_SECONDS = 5.0  # for the delivery that is under way when the program stops
_ERASED = "the file held an order that was erased since; nothing of it is delivered"


@dataclass(frozen=True)
class Delivered:
    """What became of a delivery that was tried: `state`, and why, or where the file is now."""

    delivery: Delivery
    state: DeliveryState
    detail: str


class Deliverer:
    """Delivers, once by `run_once`, or in a thread of its own from `start` to `stop`."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._bell = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def notify(self) -> None:
        """Look for deliveries now. From any thread."""
        with self._bell:
            self._bell.notify_all()

    def stop(self) -> None:
        """Returns when the delivery under way has ended, or some seconds later: then it is made again when its lease
        ends. What waits stays queued. Does nothing where not started."""
        self._stopping = True
        self.notify()
        if self._thread.ident is not None:
            self._thread.join(STOP_SECONDS)

    def run_once(self) -> list[Delivered]:
        """Deliver all that is due now and that nobody else is at. Raises StoreError."""
        tried: list[Delivered] = []
        while not self._stopping and (claimed := self._store.claim_deliveries(1, LEASE_SECONDS)):
            tried += [self._try(delivery) for delivery in claimed]
        return tried

    def _run(self) -> None:
        while not self._stopping:
            try:
                self.run_once()
            except Exception as error:  # whatever it is, what comes later is delivered
                cause = str(error) if isinstance(error, IonError) else type(error).__name__
                log.error("nothing can be delivered", cause=cause)  # noqa: TRY400  # no traceback: values
            with self._bell:
                if not self._stopping:
                    self._bell.wait(POLL_SECONDS)

    def _try(self, delivery: Delivery) -> Delivered:
        state, detail = DeliveryState.DONE, ""
        try:
            detail = self._deliver(delivery)
        except (DeliveryRefusedError, ErasedMeanwhileError) as error:
            state, detail = DeliveryState.FAILED, str(error)
        except ClaimLostError:  # it took longer than its lease: whoever has it now tells what becomes of it
            log.warning("delivery was taken over", delivery=delivery.id)
            return Delivered(delivery, DeliveryState.QUEUED, "another process is at it")
        except (IonError, OSError) as error:
            state, detail = DeliveryState.RETRY, str(error)
        except Exception as error:  # a bug of ours that this file brings out: the others go nevertheless
            state, detail = DeliveryState.RETRY, f"delivering it raised {type(error).__name__} here"
        age = datetime.now(UTC) - delivery.batch.published_at
        if state is DeliveryState.RETRY and delivery.attempts >= LEAST_ATTEMPTS and age > GIVE_UP:
            state, detail = DeliveryState.FAILED, f"given up after {GIVE_UP.days} days: {detail}"
        if state is not DeliveryState.DONE:
            self._mark_undelivered(delivery, state, detail)
        told = log.info if state is DeliveryState.DONE else log.warning
        told("delivery tried", delivery=delivery.id, to=delivery.target.kind, state=state.value)
        return Delivered(delivery, state, detail)

    def _mark_undelivered(self, delivery: Delivery, state: DeliveryState, detail: str) -> None:
        token = str(delivery.claim_token)
        with suppress(ClaimLostError):
            if state is DeliveryState.FAILED:
                self._store.mark_delivery_failed(delivery.id, token, detail)
            else:
                self._store.mark_delivery_retry(delivery.id, token, detail, retry_delay(delivery.attempts))

    def _deliver(self, delivery: Delivery) -> str:
        """Deliver and mark it; where the file is now. Raises what `_try` takes for a refusal or for a delay."""
        batch = delivery.batch
        octets = self._store.batch_octets(batch.id)
        if octets is None:
            if delivery.target.kind == "folder":  # whoever died at it may have left a copy
                withdraw_from_folder(self._folder(delivery), delivery)
            raise DeliveryRefusedError(_ERASED)
        if sha256(octets).hexdigest() != batch.sha256:
            raise DeliveryRefusedError(f"the octets of file {batch.id} are not those published; `ion check` tells more")
        if delivery.target.kind == "mail":
            return deliver_by_mail(self._store, self._settings, delivery, octets)
        if delivery.target.kind == "sftp":
            try:
                from ion.delivery.sftp import deliver_by_sftp
            except ImportError as error:
                raise SettingError("SFTP needs more to be spoken: pip install 'ion-orders[sftp]'") from error
            detail = deliver_by_sftp(self._settings, delivery, octets)
        else:
            detail = deliver_to_folder(self._store, self._folder(delivery), delivery, octets)
        self._store.mark_delivered(delivery.id, str(delivery.claim_token), detail)
        return detail

    def _folder(self, delivery: Delivery) -> Path:
        """The folder of a delivery, absolute. The installation's own is made; another one may be a mount that is not
        there now. Raises OSError."""
        if delivery.target.address != OWN_FOLDER:
            return Path(delivery.target.address)
        folder = self._settings.exports.resolve() / delivery.batch.merchant
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder
