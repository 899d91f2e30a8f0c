"""Every error the project raises on purpose, and what each one means to the caller.

    IonError                     one sentence for a person: what is wrong, where, what would mend it
    ├── PayloadError             a payload cannot become an order        (exit 1)
    │   └── NotAnOrderError      it is readable, but says nothing to ship (exit 1)
    ├── NotApprovedError         the order exists but must not be told yet (exit 1)
    ├── RenderError              a mail that would not read back exactly  (exit 1)
    ├── MailError                a file that is no mail at all            (exit 1)
    ├── CsvError                 a CSV given to be read is none           (exit 1)
    ├── CorrectionError          what a person typed makes no whole order (exit 1) (`ion.corrections`)
    ├── StoreError               the store refuses this, for a reason to act on (exit 1)
    │   ├── DatabaseError        not this: the database itself could not now (exit 4)
    │   │   ├── StorageFullError its disk is full
    │   │   └── TransactionEndedError it gave up a whole transaction
    │   ├── OrderErasedError     the order was erased here
    │   ├── ErasedMeanwhileError a file was written with what is erased   (`ion.store`)
    │   └── ClaimLostError       another process has the row now          (`ion.store`)
    ├── UnknownRecipientError    an envelope names nobody here            (`ion.inbox`)
    ├── RefusedError             the relay refused the mail for good      (`ion.notify.submit`)
    │   └── NotHandedOverError   it was not offered, being no safe thing to say to a relay
    ├── ReadFailedError, ReaderUnavailableError                           (`ion.reader`, never leave the worker)
    ├── NotDecidedYetError       who sent a mail cannot be told now       (`ion.trust`, never leaves the worker)
    ├── TrustRuleError           a line of a policy that cannot be (exit 2) (`ion.store`)
    ├── UnknownMerchantError     no merchant of that name                 (exit 2)
    ├── UnknownProfileError      no export profile of that name           (exit 2)
    ├── ProfileError             a declaration of one's own profile is wrong (exit 2)
    ├── CatalogueError           a catalogue's file cannot be taken       (exit 1)
    ├── SettingError             a setting or key file is wrong           (exit 3)
    └── UnreachableError         a server did not answer                  (exit 4)

`exit_status` is what the command line returns when such an error ends the whole command.
Messages never carry personal data beyond the field named, and never card data.
"""


class IonError(Exception):
    """A failure with one sentence a person can act on."""

    exit_status = 1


class PayloadError(IonError):
    """A payload cannot be read as an order.

    `field` is the path in the payload (`InternationalDetails.TotalPrice`), or None where the
    whole text is meant.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class NotAnOrderError(PayloadError):
    """The payload is well formed but is not an order by itself (a payment, a refund, a cart)."""


class NotApprovedError(IonError):
    """The order's status is not an approved one; the message says what would approve it."""


class RenderError(IonError):
    """A mail did not come back from its own bodies exactly; `field` names what was lost."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class MailError(IonError):
    """The octets given are not a mail message."""


class CsvError(IonError):
    """A CSV cannot be read; the message names the row. Nothing of it is taken."""


class StoreError(IonError):
    """The store refused an operation; nothing was changed.

    Of this class itself: what was asked for cannot be, and the sentence says what would do. Not so a DatabaseError.
    """


class DatabaseError(StoreError):
    """The database itself could not do what was asked of it: it is locked, full, damaged, or out of reach. Whoever
    asked did nothing wrong, and may ask again later.

    `in_doubt`: the connection broke, so a commit that was under way may have been done; else nothing was changed.
    """

    exit_status = 4

    def __init__(self, message: str, *, in_doubt: bool = False) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt


class TransactionEndedError(DatabaseError):
    """The database gave up a whole transaction in the middle of it; nothing of it is kept."""


class OrderErasedError(StoreError):
    """The order was erased here: nothing is kept of it or sent for it."""


class StorageFullError(DatabaseError):
    """The store's disk is full; nothing was changed."""


class UnknownMerchantError(IonError):
    """No merchant of that name exists here."""

    exit_status = 2


class UnknownProfileError(IonError):
    """No export profile of that name exists; the message names those that do."""

    exit_status = 2


class ProfileError(IonError):
    """The declaration of an export profile of one's own cannot be; the message names table, key, value and fix."""

    exit_status = 2


class CatalogueError(CsvError):
    """The file of a catalogue cannot be taken; the message names row and column. Nothing of it is taken."""


class SettingError(IonError):
    """A setting, a key file or the templates folder is wrong; the message names it."""

    exit_status = 3


class UnreachableError(IonError):
    """A server could not be reached or ended the conversation."""

    exit_status = 4
