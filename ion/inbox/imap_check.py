"""Whether an IMAP account works: connect, sign in, open its folders, count. Nothing is fetched, marked or moved."""

from contextlib import closing
from dataclasses import dataclass

from ion.config_imap import ImapAccount
from ion.errors import IonError, UnreachableError
from ion.inbox.deadline import deadline
from ion.inbox.imap_session import FolderError, ImapSession
from ion.inbox.oauth import AccessTokens

CHECK_SECONDS = 20.0


@dataclass(frozen=True)
class CheckedFolder:
    """A folder of an account. `messages`: how many are in it, None where the server does not tell or the folder cannot
    be opened; `wrong`: why it cannot, else None."""

    folder: str
    messages: int | None
    wrong: str | None


def check_account(account: ImapAccount, *, seconds: float = CHECK_SECONDS) -> tuple[CheckedFolder, ...]:
    """Each folder of the account as it is now, on a connection of its own that ends within `seconds`; to renew what
    OAuth signs in with may add as long again.

    Raises UnreachableError, SignInRefusedError, SettingError where the account cannot be signed in to.
    """
    # A folder is opened for reading only where nothing is to be done with its messages.
    reading = account.model_copy(update={"after": "leave"})
    tokens = AccessTokens(account.oauth) if account.oauth else None
    if tokens is not None:
        tokens.token()  # before the time runs: another server gives it
    session = ImapSession(reading, tokens, max_message_bytes=1)
    over = False

    def end() -> None:
        nonlocal over
        over = True
        session.abort()

    with deadline(seconds, end), closing(session):
        try:
            session.open()
            return tuple(_checked(session, folder) for folder in account.folders)
        except IonError as error:
            if over:
                raise UnreachableError(f"the server did not answer within {seconds:g} seconds") from error
            raise


def _checked(session: ImapSession, folder: str) -> CheckedFolder:
    try:
        return CheckedFolder(folder, session.select(folder).exists, None)
    except FolderError as error:
        return CheckedFolder(folder, None, str(error))
