"""The API answers as its OpenAPI document says, whatever is asked: Schemathesis makes requests of the document.

All of its checks are on but one: `max_response_time`, which would be an assertion about time. That a file was erased
(410), is another one (412) or is shorter than the range (416) are good answers to good requests.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from ion.config import Settings
from ion.store import ErasureKind, Store, Subject
from ion.web.app import make_app
from tests.batches import arrive, publish


def _filled(store: Store) -> None:
    """Orders in every state, a file, and one that was erased."""
    ids = [arrive(store, f"GE{number}") for number in range(6)]
    publish(store, b"number;total\r\n1;2\r\n", "orders-1.csv", orders=tuple(ids[:2]))
    publish(store, b"erased", "orders-2.csv", orders=(ids[2],))
    store.mark_entered("default", ids[3], "1001", by="ana", source="test")
    store.erase(store.plan_erasure(Subject(ErasureKind.ORDER, None, order_number="GE2")), None)


def _faults(store: Store, data_dir: Path, seed: int = 1, **phases: Any) -> tuple[set[str], Counter[int]]:
    """What Schemathesis finds, and how many answers of each status it got."""
    _filled(store)
    token = store.create_pull_token("default", "test", ["files", "orders", "entered"])
    good = ["2xx", "3xx", "401", "403", "404", "409", "410", "412", "416", "429"]
    config = SchemathesisConfig.from_dict(
        {
            "auth": {"openapi": {"token": {"bearer": token}}},
            "checks": {"positive_data_acceptance": {"expected-statuses": good}},
            "phases": phases,
            "seed": seed,
            "workers": 1,
        }
    )
    app = make_app(store, Settings(data_dir=data_dir))
    api = schemathesis.openapi.from_asgi("/v1/openapi.json", app, config=config)
    faults: set[str] = set()
    answers: Counter[int] = Counter()
    for event in from_schema(api).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            faults.add(repr(event.value if isinstance(event, events.NonFatalError) else event.exception))
        if isinstance(event, events.ScenarioFinished):
            recorder = event.recorder
            answers.update(one.response.status_code for one in recorder.interactions.values() if one.response)
            for case_id, checks in recorder.checks.items():
                for check in checks:
                    if check.status == Status.FAILURE and check.failure_info is not None:
                        case = recorder.cases[case_id].value
                        faults.add(
                            f"{event.phase.value} {check.name}: {case.as_curl_command()} {check.failure_info.failure}"
                        )
    return faults, answers


def test_requests_made_of_the_document_are_answered_as_it_says(sqlite_store: Store, tmp_path: Path) -> None:
    faults, answers = _faults(
        sqlite_store,
        tmp_path,
        coverage={"enabled": False},
        fuzzing={"generation": {"max-examples": 4}},
        stateful={"enabled": False},
    )
    assert not faults, "\n\n".join(sorted(faults))
    assert {200, 400, 401} <= set(answers)


def test_what_is_answered_to_who_has_a_file_already_or_part_of_it_is_as_the_document_says(
    sqlite_store: Store, tmp_path: Path
) -> None:
    """What no random request is sure to ask for."""
    batch = publish(sqlite_store, b"number;total\r\n1;2\r\n", "orders-1.csv")
    token = {"Authorization": f"Bearer {sqlite_store.create_pull_token('default', 'test', ['files'])}"}
    api = schemathesis.openapi.from_asgi("/v1/openapi.json", make_app(sqlite_store, Settings(data_dir=tmp_path)))
    fetch = api["/v1/files/{file_id}"]["GET"]
    for headers, status in (
        ({"If-None-Match": f'"{batch.sha256}"'}, 304),
        ({"If-Match": '"other"'}, 412),
        ({"Range": "bytes=0-5"}, 206),
        ({"Range": "bytes=99-"}, 416),
    ):
        case = fetch.Case(path_parameters={"file_id": batch.id}, headers=token | headers)
        answer = case.call()
        assert (headers, answer.status_code) == (headers, status)
        case.validate_response(answer)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_many_requests_and_chains_of_them_are_answered_as_the_document_says(
    sqlite_store: Store, tmp_path: Path, seed: int
) -> None:
    faults, answers = _faults(
        sqlite_store,
        tmp_path,
        seed,
        fuzzing={"generation": {"max-examples": 100}},
        stateful={"generation": {"max-examples": 50}},
    )
    assert not faults, "\n\n".join(sorted(faults))
    assert {200, 400, 401, 404, 405, 409, 410, 412, 415, 422} <= set(answers)
