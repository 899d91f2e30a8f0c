"""Check: the DKIM signatures of one mail and of the mails attached to it, against the lines of a policy.

A signature counts (RFC 6376, and stricter where that leaves room) if its domain is in the policy, it covers the From
field, of which there is one with one address, that address is of that domain, it covers a To or Cc field that names one
of the merchant's addresses, it is over the whole body (no `l=`), made with SHA-256 and a key of 1,024 bits or more, and
had not expired when the mail came. Who verified it: we ourselves; or our own server, in the topmost
Authentication-Results field; or an ARC sealer in the policy, whose seal is the newest or has only such above it.

What a signature covers is told as octets: the fields it signs and the body, and nothing else. Nothing in the policy
makes up for the rest of the mail, such as a Content-Type that was put before a body that somebody else signed. A
forwarder's and an ARC signature take in the fields that say how the body is read, where there is one of each: the
large providers do not sign them, and these signatures are over a mail that was addressed to us.

This runs in the examiner's child process: octets are hostile, and the library takes its time with some.
"""

import email.utils
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dkim
import dkim.util

from ion.trust.keys import Keys
from ion.trust.originals import originals
from ion.trust.results import Passed, instance_of, passed_signatures, without_instance

MOST_SIGNATURES = 6  # by domains of the policy, in one mail
MOST_ARC_SETS = 5
_LONGEST_ADDRESSES = 8_000
_READ_BY = (b"content-type", b"content-transfer-encoding", b"content-disposition")
_ALGORITHMS = (b"rsa-sha256", b"ed25519-sha256")  # RFC 8301: not SHA-1
_SELECTOR = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,100}[a-z0-9_])?", re.IGNORECASE)
_DOMAIN = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,250}[a-z0-9_])?")
_NOT_VALID = "not valid: "

Tags = dict[bytes, bytes]


@dataclass(frozen=True)
class Rules:
    """What a signature is held against. `dkim`, `forwarder`: domains and addresses; `arc`: domains; `recipients`:
    addresses, one of which the mail must be addressed to; `authserv_id`: our own server's name, None where no
    Authentication-Results count; `received_at`: when the mail came, in seconds since 1970. All lower-case."""

    dkim: tuple[str, ...]
    forwarder: tuple[str, ...]
    arc: tuple[str, ...]
    recipients: tuple[str, ...]
    authserv_id: str | None
    received_at: float


@dataclass(frozen=True)
class Check:
    """One signature, held against one line of the policy. `place`: `message`, or the part in which the original is
    attached; `method`: who verified it (`dkim`: we, `authentication-results`, `arc`); `rule`: the line, None where the
    domain is in none; `result`: `pass`, `fail`, or `undecided` where a later try may tell more; `covered`: the octets
    that it vouches for, where it passed."""

    place: str
    method: str
    rule: tuple[str, str] | None
    domain: str | None
    selector: str | None
    result: str
    reason: str | None = None
    covered: bytes | None = None


def examine(raw: bytes, rules: Rules, keys: Keys) -> tuple[Check, ...]:
    """Every signature of `raw` and of the mails attached to it. Does not raise on any mail."""
    found = list(_examined(raw, "message", rules, keys))
    for place, octets in originals(raw):
        # A forwarder vouches for what it sends, not for what somebody attached.
        found += _examined(octets, place, Rules(rules.dkim, (), (), rules.recipients, None, rules.received_at), keys)
    return tuple(found)


def _examined(octets: bytes, place: str, rules: Rules, keys: Keys) -> Iterator[Check]:
    try:
        mail = _Mail(octets)
    except dkim.DKIMException:
        yield Check(place, "dkim", None, None, None, "fail", "its header cannot be taken apart")
        return
    if not mail.signatures:
        return
    if b"\0" in octets or re.search(rb"\r(?!\n)", octets):
        # Readers do not agree on whether a bare CR ends a line, so a signed mail could be read as another.
        yield Check(place, "dkim", None, None, None, "fail", "the mail holds bare carriage returns or NUL")
        return
    ours = tuple(_of_own_server(mail, rules.authserv_id)) if rules.authserv_id else ()
    sealed = _Chain(mail, rules.arc, keys) if rules.arc and place == "message" else None
    tried = 0
    for signature in mail.signatures:
        lines = [("dkim", value) for value in rules.dkim] + [("forwarder", value) for value in rules.forwarder]
        listed = [line for line in lines if _signs_for(signature.domain, line[1])]
        if not listed:
            yield Check(place, "dkim", None, signature.domain, signature.selector, "fail", "the domain is in no rule")
            continue
        tried += 1
        if tried > MOST_SIGNATURES:
            return
        passed: set[str] = set()
        for line in listed:
            if line[0] in passed:
                continue
            flaw = mail.flaw(signature, line[1], rules)
            if flaw:
                yield Check(place, "dkim", line, signature.domain, signature.selector, "fail", flaw)
                continue
            for check in _verified(mail, place, signature, line, ours, sealed, keys):
                yield check
                if check.result == "pass":
                    passed.add(line[0])


def _verified(
    mail: "_Mail",
    place: str,
    signature: "_Signature",
    line: tuple[str, str],
    ours: Sequence[Passed],
    sealed: "_Chain | None",
    keys: Keys,
) -> Iterator[Check]:
    """The word of each who may have verified a signature that is without a flaw, until one found it good."""
    common = (line, signature.domain, signature.selector)
    also = _READ_BY if line[0] == "forwarder" else ()
    if mail.vouched(signature, ours):
        covered = mail.covered(signature.covers, also)
        yield Check(place, "authentication-results", *common, "pass", covered=covered)
        return
    why_not, undecided = mail.verdict(signature, keys)
    if why_not is None:
        yield Check(place, "dkim", *common, "pass", covered=mail.covered(signature.covers, also))
        return
    yield Check(place, "dkim", *common, "undecided" if undecided else "fail", why_not)
    if sealed is not None and line[0] == "dkim" and sealed.newest:
        why_not, undecided = sealed.why_not(signature)
        if why_not is None:
            covered = mail.covered(sealed.covers, _READ_BY)
            yield Check(place, "arc", line, sealed.domain, sealed.selector, "pass", covered=covered)
        else:
            result = "undecided" if undecided else "fail"
            yield Check(place, "arc", line, sealed.domain, sealed.selector, result, why_not)


def _of_own_server(mail: "_Mail", authserv_id: str | None) -> Sequence[Passed]:
    """What our own server found good. Only the topmost field can be its: it writes above all that came from outside."""
    for value in mail.values(b"authentication-results")[:1]:
        name, passed = passed_signatures(value.decode("utf-8", "replace"))
        if name == authserv_id:
            return passed
    return ()


def _signs_for(domain: str, value: str) -> bool:
    """Whether a signature's domain is the one of a line: the very one, or that of an address or one above it."""
    _, at, named = value.rpartition("@")
    return domain == named or bool(at and named.endswith(f".{domain}") and "." in domain)


@dataclass(frozen=True)
class _Signature:
    """A DKIM-Signature field, well formed. `index`: its place among them; `covers`: the names of the fields it signs,
    lower-case."""

    index: int
    tags: Tags
    domain: str
    selector: str
    covers: tuple[bytes, ...]


def _verdict(verify: Callable[[], bool], named: Any, keys: Keys) -> tuple[str | None, bool]:
    """Why what `named` signed is not good, None where it is; and whether a later try may tell more."""
    name = f"{named.selector}._domainkey.{named.domain}".lower()
    try:
        good = verify()
    except dkim.DKIMException as error:
        return _sentence(error), False
    except Exception as error:  # base64, integers, text: whatever the library comes upon in hostile tags
        return f"the signature cannot be read ({type(error).__name__})", False
    if good:
        return None, False
    return keys.notes.get(name, "the signature does not fit the header"), name in keys.undecided


def _sentence(error: Exception) -> str:
    text = str(error)
    return "the body is not what was signed" if text.startswith("body hash") else f"{_NOT_VALID}{text[:100]}"


class _Mail:
    """A mail as the signature library takes it apart. Raises dkim.DKIMException where that cannot."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        try:
            parsed = dkim.DKIM(octets)
        except IndexError as error:  # a mail that begins with a continuation line
            raise dkim.MessageFormatError("the header begins with a continuation") from error
        # With a blank before the colon (RFC 5322, 4.5) it is a From field to some, and a mailbox line to the library.
        if re.search(rb"(?im)^from[ \t]+:", re.split(rb"\r?\n\r?\n", octets, maxsplit=1)[0]):
            raise dkim.MessageFormatError("a From field with a blank in its name")
        self.fields: list[tuple[bytes, bytes]] = [(name, value) for name, value in parsed.headers]
        self.body: bytes = parsed.body or b""
        self.signatures = tuple(self._signatures())
        self._verdicts: dict[int, tuple[str | None, bool]] = {}

    def verdict(self, signature: _Signature, keys: Keys) -> tuple[str | None, bool]:
        """Why a signature is not good, None where it is; and whether a later try may tell more."""
        index = signature.index
        if index not in self._verdicts:
            self._verdicts[index] = _verdict(
                lambda: bool(self.library(dkim.DKIM).verify(idx=index, dnsfunc=keys)), signature, keys
            )
        return self._verdicts[index]

    def library(self, kind: Any) -> Any:
        return kind(self._octets, minkey=1024)

    def values(self, name: bytes) -> list[bytes]:
        """The values of all fields of one name, from the top."""
        return [value for found, value in self.fields if found.lower() == name]

    def covered(self, covers: Sequence[bytes], also: Sequence[bytes] = ()) -> bytes:
        """The fields that a signature covers, those of the names `also` that occur once, and the body."""
        signed = {id(field) for field in dkim.select_headers(self.fields, covers)}
        single = {name for name in also if len(self.values(name)) == 1}
        kept = [field for field in self.fields if id(field) in signed or field[0].lower() in single]
        return b"".join(name + b":" + value for name, value in kept) + b"\r\n" + self.body

    def flaw(self, signature: _Signature, value: str, rules: Rules) -> str | None:
        """Why a signature does not count whoever verifies it, or None. `value`: of the policy's line."""
        tags = signature.tags
        if tags.get(b"a", b"").lower() not in _ALGORITHMS:
            return "it is not made with SHA-256"
        if b"l" in tags:
            return "it covers only the beginning of the body (l=)"
        if tags.get(b"x", b"").isdigit() and int(tags[b"x"][:12]) < rules.received_at:
            return "it had expired when the mail came (x=)"
        return self.flaw_of_fields(signature.covers, value, signature.domain, rules.recipients)

    def flaw_of_fields(self, covers: Sequence[bytes], value: str, domain: str, recipients: Sequence[str]) -> str | None:
        senders = self.values(b"from")
        if len(senders) != 1:
            return f"the mail has {len(senders)} From fields"
        if b"from" not in covers:
            return "it does not cover the From field"
        addresses = _addresses(senders)
        if len(addresses) != 1:
            return f"the From field has {len(addresses)} addresses"
        if ("@" in value and addresses[0] != value) or not _aligned(addresses[0].rpartition("@")[2], domain):
            return "the From address is not the signer's"
        named: list[str] = []
        for name in (b"to", b"cc"):
            fields = self.values(name)
            if len(fields) > 1:
                return f"the mail has {len(fields)} fields {name.decode().title()}"
            if name in covers:
                named += _addresses(fields)
        if not set(named) & set(recipients):
            return "it does not cover a To or Cc field that names an address of this merchant"
        return None

    def vouched(self, signature: _Signature, passed: Sequence[Passed]) -> bool:
        """Whether somebody who verified the signatures found this one good.

        Where one of the same domain has `l=`, it may be that one which was good, so none counts.
        """
        same = [one for one in self.signatures if one.domain == signature.domain]
        if any(b"l" in one.tags for one in same):
            return False
        letters = b"".join(signature.tags.get(b"b", b"").split()).decode("ascii", "replace")
        return any(
            one.domain == signature.domain
            and (one.selector is None or one.selector.lower() == signature.selector.lower())
            and (one.begins is None or letters.startswith(one.begins))
            and (len(same) == 1 or one.selector is not None or one.begins is not None)
            for one in passed
        )

    def _signatures(self) -> Iterator[_Signature]:
        for index, value in enumerate(self.values(b"dkim-signature")[:50]):
            tags = _tags(value)
            domain = (tags or {}).get(b"d", b"").decode("ascii", "replace").lower()
            selector = (tags or {}).get(b"s", b"").decode("ascii", "replace")
            if tags and _DOMAIN.fullmatch(domain) and _SELECTOR.fullmatch(selector):
                yield _Signature(index, tags, domain, selector, _names(tags.get(b"h", b"")))


class _Chain:
    """The ARC sets of a mail. `newest`: whether there are any; `domain`, `selector`: of the newest seal; `covers`: the
    names of the fields that the newest signature covers."""

    def __init__(self, mail: _Mail, sealers: Sequence[str], keys: Keys) -> None:
        self._mail, self._sealers, self._keys = mail, sealers, keys
        self._flaw: str | None = None
        self._sets: list[tuple[Tags, Tags, str]] = []  # seal, signature, results; the newest first
        self._verdict: tuple[str | None, bool] | None = None
        seals = [_tags(value) for value in mail.values(b"arc-seal")]
        self.newest = bool(seals)
        self.domain = self.selector = None
        self.covers: tuple[bytes, ...] = ()
        if not self.newest:
            return
        try:
            self._sets = self._taken_apart()
        except ValueError as error:
            self._flaw = str(error)
            return
        seal, signature, _ = self._sets[0]
        self.domain, self.selector = _text(seal, b"d").lower(), _text(seal, b"s")
        self.covers = _names(signature.get(b"h", b""))
        if self.domain not in self._sealers:
            self._flaw = "the newest sealer is in no rule"
        elif _text(signature, b"d").lower() != self.domain:
            self._flaw = "the newest signature and the newest seal are of two domains"
        elif b"l" in signature:
            self._flaw = "the newest signature covers only the beginning of the body (l=)"
        elif not {b"from", b"dkim-signature"} <= set(self.covers):
            self._flaw = "the newest signature does not cover the From and DKIM-Signature fields"

    def why_not(self, signature: _Signature) -> tuple[str | None, bool]:
        """Why the chain does not vouch for a signature of the original; and whether a later try may tell more."""
        if self._flaw:
            return self._flaw, False
        covered = set(signature.covers) & {b"to", b"cc"}
        if not covered <= set(self.covers):
            return "the newest signature does not cover the recipients", False
        if not any(self._mail.vouched(signature, passed) for passed in self._words()):
            return "no sealer in a rule says that the signature was good", False
        if self._verdict is None:
            self._verdict = _verdict(self._is_valid, self, self._keys)
        why_not, undecided = self._verdict
        return (f"the chain is not valid: {why_not.removeprefix(_NOT_VALID)}" if why_not else None), undecided

    def _words(self) -> Iterator[Sequence[Passed]]:
        """What the sealers of the policy say, from the newest to the first that is in no line: what was changed before
        that one sealed, it may have changed."""
        for seal, _, results in self._sets:
            if _text(seal, b"d").lower() not in self._sealers:
                return
            yield passed_signatures(results)[1]

    def _is_valid(self) -> bool:
        outcome, _, reason = self._mail.library(dkim.ARC).verify(dnsfunc=self._keys)
        if outcome != dkim.CV_Pass and "success" not in str(reason):
            raise dkim.ValidationError(str(reason))
        return bool(outcome == dkim.CV_Pass)

    def _taken_apart(self) -> list[tuple[Tags, Tags, str]]:
        """The sets by their number, the newest first. Raises ValueError where they are not one to n, each whole."""
        seals = self._numbered(b"arc-seal")
        signatures = self._numbered(b"arc-message-signature")
        results: dict[int, str] = {}
        for value in self._mail.values(b"arc-authentication-results"):
            text = value.decode("utf-8", "replace")
            number = instance_of(text)
            if number is None or number in results:
                raise ValueError("the ARC sets are not whole")
            results[number] = without_instance(text)
        numbers = sorted(seals)
        if numbers != list(range(1, len(seals) + 1)) or not numbers == sorted(signatures) == sorted(results):
            raise ValueError("the ARC sets are not whole")
        if len(numbers) > MOST_ARC_SETS:
            raise ValueError(f"there are more than {MOST_ARC_SETS} ARC sets")
        return [(seals[number], signatures[number], results[number]) for number in reversed(numbers)]

    def _numbered(self, name: bytes) -> dict[int, Tags]:
        found: dict[int, Tags] = {}
        for value in self._mail.values(name):
            tags = _tags(value)
            number = (tags or {}).get(b"i", b"")
            # The library takes the first `i=` anywhere; where that is another, the two do not mean the same set.
            first = dkim.ARC.INSTANCE_RE.search(value)
            if not tags or not re.fullmatch(rb"\d{1,2}", number) or not first or first[1] != number:
                raise ValueError("the ARC sets are not whole")
            if int(number) in found:
                raise ValueError("there are two ARC sets of one number")
            found[int(number)] = tags
        return found


def _tags(value: bytes) -> Tags | None:
    try:
        tags: Tags = dkim.util.parse_tag_value(value)
    except dkim.util.InvalidTagValueList:
        return None
    return tags


def _text(tags: Tags, name: bytes) -> str:
    return tags.get(name, b"").decode("ascii", "replace")


def _names(covers: bytes) -> tuple[bytes, ...]:
    return tuple(name.strip().lower() for name in covers.split(b":"))


def _addresses(values: Sequence[bytes]) -> list[str]:
    """The addresses in address fields, lower-case; none where a field is too long or too deep to be read."""
    texts = [" ".join(value.decode("utf-8", "replace").split()) for value in values]
    if any(len(text) > _LONGEST_ADDRESSES for text in texts):
        return []
    try:
        return [address.lower() for _, address in email.utils.getaddresses(texts) if address]
    except (RecursionError, ValueError):  # the library takes comments apart by calling itself
        return []


def _aligned(sender: str, signer: str) -> bool:
    """Whether a From domain and a signing domain are the same or one is below the other (RFC 7489, 3.1.1, relaxed)."""
    return sender == signer or sender.endswith(f".{signer}") or signer.endswith(f".{sender}")
