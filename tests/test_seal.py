"""The seal proves whole, unchanged and whose; keys are made once, kept by their owner, and travel as one line."""

import base64
import json
import os
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ion.contract import Entry, entries
from ion.errors import SettingError
from ion.seal import (
    MAX_GENERATIONS,
    SEAL_BITS,
    SEAL_PATTERN,
    Key,
    KeyRing,
    key_of,
    make_imprint,
    make_seal,
    normal_seal,
    verify_imprint,
    verify_seal,
)
from tests.orders import KEY, OTHER_KEY, full_order, notification_for, small_order

CROCKFORD = set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def values_of(key: Key = KEY, **header: Any) -> list[Entry]:
    order = small_order()
    return list(entries(notification_for(order, key_id=key.key_id, **header), order))


SEAL = make_seal(values_of(), KEY)


# The seal


def test_a_seal_is_a_hundred_bits_in_five_groups_of_letters_without_look_alikes() -> None:
    assert SEAL_BITS == 100
    seals = [make_seal(values_of(sequence=number), KEY) for number in range(1, 300)]
    letters = Counter("".join(seals).replace("-", ""))
    assert set(letters) == CROCKFORD and min(letters.values()) > 100, "each of the 32 letters about equally often"
    assert not set("ILOU") & set(letters)
    assert all(SEAL_PATTERN.fullmatch(seal) and len(seal) == 24 for seal in seals)
    assert len(set(seals)) == len(seals)


@pytest.mark.parametrize(
    "typed",
    [
        SEAL,
        SEAL.lower(),
        SEAL.swapcase(),
        SEAL.replace("-", ""),
        SEAL.replace("-", " - "),
        SEAL.replace("-", "-\n"),
        SEAL.replace("0", "O").replace("1", "l"),
        SEAL.replace("0", "o").replace("1", "I"),
    ],
)
def test_a_seal_verifies_however_a_person_types_it(typed: str) -> None:
    assert verify_seal(values_of(), typed, [KEY]) == KEY


@given(st.integers(0, 19), st.sampled_from(sorted(CROCKFORD)))
def test_a_seal_with_another_letter_does_not_verify(place: int, letter: str) -> None:
    letters = normal_seal(SEAL)
    other = letters[:place] + letter + letters[place + 1 :]
    assert (verify_seal(values_of(), other, [KEY]) == KEY) == (other == letters)


@pytest.mark.parametrize(
    "wrong", ["", "-", SEAL[:-1], SEAL + "0", SEAL[:-5], "\ud800" * 20, "é" * 20, "ß", "0" * 10**6]
)
def test_what_is_no_seal_does_not_verify_and_raises_nothing(wrong: str) -> None:
    assert verify_seal(values_of(), wrong, [KEY]) is None


def test_a_seal_covers_every_value_and_every_absence() -> None:
    order = full_order()
    values = list(entries(notification_for(order, key_id=KEY.key_id), order))
    seal = make_seal(values, KEY)
    assert verify_seal(values, seal, [OTHER_KEY, KEY]) == KEY
    assert verify_seal(list(reversed(values)), seal, [KEY]) == KEY
    for place, entry in enumerate(values[::7]):
        changed = Entry(entry.section, entry.field, entry.index, entry.value + "x")
        others = [other for other in values if other is not entry]
        assert verify_seal(others, seal, [KEY]) is None, place
        assert verify_seal([*others, changed], seal, [KEY]) is None, entry.name
        assert verify_seal([*values, entry], seal, [KEY]) is None


def test_another_key_does_not_verify_even_where_the_header_names_it() -> None:
    assert verify_seal(values_of(), SEAL, [OTHER_KEY]) is None
    assert verify_seal(values_of(), SEAL, []) is None
    assert verify_seal(values_of(OTHER_KEY), make_seal(values_of(OTHER_KEY), KEY), [KEY, OTHER_KEY]) is None
    assert verify_seal(values_of(key_of(b"x" * 32)), SEAL, [KEY]) is None
    unnamed = [entry for entry in values_of() if entry.code != "proof.key_id"]
    assert verify_seal(unnamed, make_seal(unnamed, KEY), [KEY]) is None


def test_an_imprint_is_of_one_body_one_language_one_seal_and_one_key() -> None:
    imprint = make_imprint("Total: 1\n", "en", SEAL, KEY)
    assert verify_imprint(imprint, "Total: 1\n", "en", SEAL.lower(), [OTHER_KEY, KEY])
    assert not verify_imprint(imprint, "Total: 2\n", "en", SEAL, [KEY])
    assert not verify_imprint(imprint, "Total: 1 \nx", "en", SEAL, [KEY])
    assert not verify_imprint(imprint, "Total: 1\n", "de", SEAL, [KEY])
    assert not verify_imprint(imprint, "Total: 1\n", "en", SEAL[::-1], [KEY])
    assert not verify_imprint(imprint, "Total: 1\n", "en", SEAL, [OTHER_KEY])
    for wrong in ("", imprint.lower(), imprint + "0", "\ud800", "é" * 20):
        assert not verify_imprint(wrong, "Total: 1\n", "en", SEAL, [KEY])


def test_an_imprint_does_not_depend_on_what_a_transport_does_to_line_ends() -> None:
    imprint = make_imprint("a\n\nb\n", "en", SEAL, KEY)
    for carried in ("a\r\n\r\nb\r\n", "a\r\rb\r", "\na\n\nb", "a\n\nb\n\n"):
        assert verify_imprint(imprint, carried, "en", SEAL, [KEY])
    assert not verify_imprint(imprint, "a\nb\n", "en", SEAL, [KEY]), "a line more or less is a change"


def test_a_key_never_shows_its_secret() -> None:
    key = key_of(os.urandom(32))
    assert key.secret.hex() not in repr(key) and str(key.secret) not in f"{key} {key!r}"
    assert key.key_id in repr(key) and len(key.key_id) == 8
    assert set(key.key_id) <= CROCKFORD


# The key ring


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "data" / "keys")


def test_each_merchant_and_each_generation_has_its_own_key(ring: KeyRing, tmp_path: Path) -> None:
    names = ["default", "Default", "default ", "a", "a\n1", "a\n", "ä", "a:b", "", "x" * 500]
    keys = [ring.sealing_key(name) for name in names]
    keys += [ring.rotate_key(name) for name in names]
    keys.append(KeyRing(tmp_path / "elsewhere").sealing_key("default"))
    assert len({key.secret for key in keys}) == len({key.key_id for key in keys}) == len(keys)
    for name in names:
        ours = {key.key_id for key in ring.keys_for(name)}
        assert len(ours) == 2
        assert not ours & {key.key_id for other in names if other != name for key in ring.keys_for(other)}


def test_the_same_installation_has_the_same_keys_tomorrow(ring: KeyRing) -> None:
    assert ring.sealing_key("default") == KeyRing(ring.folder).sealing_key("default") == ring.keys_for("default")[0]


def test_retired_keys_verify_and_do_not_seal(ring: KeyRing) -> None:
    old = ring.sealing_key("default")
    sealed = values_of(old)
    seal = make_seal(sealed, old)
    new = ring.rotate_key("default")
    newer = ring.rotate_key("default")
    assert ring.sealing_key("default") == newer
    assert ring.keys_for("default") == (newer, new, old)
    assert verify_seal(sealed, seal, ring.keys_for("default")) == old
    assert ring.sealing_key("other") in ring.keys_for("other")


def test_a_key_travels_as_one_line_and_verifies_there_but_never_seals(ring: KeyRing, tmp_path: Path) -> None:
    key = ring.sealing_key("default")
    line = ring.export_key("default")
    assert "\n" not in line and line.isascii()
    there = KeyRing(tmp_path / "there")
    before = there.sealing_key("shop")
    assert verify_seal(values_of(key), make_seal(values_of(key), key), there.keys_for("shop")) is None
    assert there.import_key("shop", f"  {line}\n") == key
    assert there.import_key("shop", line) == key
    assert there.keys_for("shop") == (before, key)
    assert verify_seal(values_of(key), make_seal(values_of(key), key), there.keys_for("shop")) == key
    assert there.keys_for("default") == (there.sealing_key("default"),)
    assert there.sealing_key("shop") == before
    secret = (ring.folder / "secret").read_text().strip()
    assert secret not in line and base64.urlsafe_b64encode(bytes.fromhex(secret)).decode().rstrip("=") not in line


def test_a_key_travels_whatever_its_merchant_is_called(ring: KeyRing, tmp_path: Path) -> None:
    for name in ("a:b", "ä ö", "x:ion-key-1:y"):
        assert KeyRing(tmp_path / "there").import_key(name, ring.export_key(name)) == ring.sealing_key(name)


def test_an_own_key_is_not_imported_again(ring: KeyRing) -> None:
    ring.import_key("default", ring.export_key("default"))
    assert len(ring.keys_for("default")) == 1
    old = ring.export_key("default")
    ring.rotate_key("default")
    ring.import_key("default", old)
    assert len(ring.keys_for("default")) == 2


def test_a_line_that_is_no_key_or_a_damaged_one_is_refused_and_changes_nothing(ring: KeyRing) -> None:
    line = ring.export_key("default")
    head, merchant, key_id, octets = line.split(":")
    for wrong in (
        "",
        "nonsense",
        line[:-1],
        line[:-4],
        line + "A",
        line.replace("ion-key-1", "ion-key-2"),
        ":".join((head, merchant, key_id)),
        ":".join((head, merchant, "00000000", octets)),
        ":".join((head, merchant, key_id, octets[::-1])),
        ":".join((head, merchant, key_id, "é" * 43)),
        ":".join((head, merchant, "é", octets)),
        ":".join((head, merchant, key_id, "")),
    ):
        with pytest.raises(SettingError) as caught:
            ring.import_key("shop", wrong)
        assert octets not in str(caught.value)
    assert ring.keys_for("shop") == (ring.sealing_key("shop"),)


def test_only_the_owner_can_read_what_the_ring_keeps(ring: KeyRing, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        ring.rotate_key("default")
        ring.import_key("default", KeyRing(tmp_path / "other").export_key("default"))
    finally:
        os.umask(old)
    assert stat.S_IMODE(ring.folder.stat().st_mode) == 0o700
    for file in ring.folder.iterdir():
        assert not stat.S_IMODE(file.stat().st_mode) & 0o077, file.name
    assert {file.name for file in ring.folder.iterdir()} == {"secret", "merchants.json", ".lock"}


_CREATE = """
import sys
from pathlib import Path
from ion.seal import KeyRing
sys.stdin.readline()
ring = KeyRing(Path(sys.argv[1]))
print(ring.sealing_key("default").key_id, ring.rotate_key("m").key_id)
"""


@pytest.mark.long
def test_eight_processes_starting_at_once_make_one_secret_and_lose_no_rotation(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _CREATE, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        for _ in range(8)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate()[0].split() for process in started]
    assert all(process.returncode == 0 for process in started)
    assert len({key_id for key_id, _ in said}) == 1
    assert len(KeyRing(folder).keys_for("m")) == 9, "eight rotations over the first key"
    assert {file.name for file in folder.iterdir()} == {"secret", "merchants.json", ".lock"}


DAMAGED_SECRETS = [b"", b"\n", b"00" * 31, b"00" * 33, b"zz" * 32, b"\xff\xfe" * 32, b"00" * 32 + b"\n00", b"\x00" * 64]


@pytest.mark.parametrize("octets", DAMAGED_SECRETS)
def test_a_damaged_secret_is_named_and_never_replaced(ring: KeyRing, octets: bytes) -> None:
    ring.folder.mkdir(parents=True)
    (ring.folder / "secret").write_bytes(octets)
    with pytest.raises(SettingError, match="secret"):
        ring.sealing_key("default")
    assert (ring.folder / "secret").read_bytes() == octets


DAMAGED_MERCHANTS: list[Any] = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff",
    b"[" * 100_000,
    {"default": []},
    {"default": "x"},
    {"default": None},
    {"default": {"generation": "x"}},
    {"default": {"generation": None}},
    {"default": {"generation": 0}},
    {"default": {"generation": -1}},
    {"default": {"generation": 1.5}},
    {"default": {"generation": True}},
    {"default": {"generation": 10**12}},
    {"default": {"generation": []}},
    {"default": {"imported": "x"}},
    {"default": {"imported": {}}},
    {"default": {"imported": [1]}},
    {"default": {"imported": [None]}},
    {"default": {"imported": ["short"]}},
    {"default": {"imported": ["é"]}},
]


@pytest.mark.parametrize("damage", DAMAGED_MERCHANTS)
def test_a_damaged_file_of_merchants_is_named_and_never_replaced(ring: KeyRing, damage: Any) -> None:
    ring.sealing_key("other")
    path = ring.folder / "merchants.json"
    octets = damage if isinstance(damage, bytes) else json.dumps(damage).encode()
    path.write_bytes(octets)
    with pytest.raises(SettingError, match="key"):
        ring.keys_for("default")
    assert path.read_bytes() == octets
    try:
        ring.rotate_key("default")
    except SettingError:
        assert path.read_bytes() == octets
    else:
        assert json.loads(path.read_bytes())["default"]["imported"] == json.loads(octets)["default"]["imported"]


def test_the_last_generation_is_not_rotated_into_damage(ring: KeyRing) -> None:
    ring.ensure_secret()
    (ring.folder / "merchants.json").write_text(json.dumps({"default": {"generation": MAX_GENERATIONS}}))
    with pytest.raises(SettingError):
        ring.rotate_key("default")
    assert len(ring.keys_for("default")) == MAX_GENERATIONS


def test_a_folder_that_cannot_hold_keys_is_a_setting_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "keys", Path("/proc/keys-of-ion")):
        for action in (KeyRing(folder).sealing_key, KeyRing(folder).rotate_key, KeyRing(folder).keys_for):
            with pytest.raises(SettingError):
                action("default")
    folder = tmp_path / "keys"
    (folder / "secret").mkdir(parents=True)
    with pytest.raises(SettingError):
        KeyRing(folder).sealing_key("default")


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
@settings(max_examples=50)
def test_the_id_of_a_key_is_its_own_and_tells_nothing_of_it(one: bytes, other: bytes) -> None:
    assert (key_of(one).key_id == key_of(other).key_id) == (one == other)
