"""Fuzzing for seconds, and every input that once failed. `python -m tests.faults.fuzz_...` goes on for longer."""

from pathlib import Path

import pytest

from tests.faults import fuzz_parser, fuzz_reading, fuzz_smtp
from tests.faults.broken_mails import public_mails
from tests.faults.fuzzing import Target, run
from tests.faults.inputs import genuine_orders, kept_inputs, read_in_time, samples

TARGETS: dict[str, Target] = {"reading": fuzz_reading.target, "parser": fuzz_parser.target}


def test_every_order_that_a_sample_proves_is_known() -> None:
    assert len(genuine_orders()) >= 10 and len(samples()) >= 100


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_mails_hold_what_the_target_asks(name: str) -> None:
    assert run(name, TARGETS[name], inputs=40, seed=1) == 40


@pytest.mark.parametrize("name", TARGETS)
def test_an_input_that_once_failed_does_not_again(name: str) -> None:
    for path in kept_inputs(name):
        TARGETS[name](path.read_bytes())


def test_public_broken_mails_hold_no_order_and_are_read_in_time() -> None:
    mails = list(public_mails())
    assert len(mails) >= 90
    for origin, raw in mails:
        assert all(judged.grade != "sealed" for judged in read_in_time(raw)), origin


def test_any_smtp_dialogue_is_answered_in_order_and_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    assert fuzz_smtp.fuzz_for(tmp_path, examples=30) >= 30


@pytest.mark.long
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_mails_hold_what_the_target_asks_for_long(name: str) -> None:
    assert run(name, TARGETS[name], seconds=20, seed=2) > 100


@pytest.mark.long
def test_many_smtp_dialogues(tmp_path: Path) -> None:
    assert fuzz_smtp.fuzz_for(tmp_path, seconds=20, seed=5) > 100
