"""The measurements run and print their tables; how they come out is for whoever runs them to judge."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ion.reading import read_message
from tests.bench import carriers, comparison, cost, doors, exports, lists, python_tools, sending
from tests.bench.forwarding import main
from tests.bench.mails import INLINE, NAMED, edited, forwarded, header_like, newsletter, sent
from tests.bench.tables import share, table
from tests.bench.tools import TOOLS, Driver, drivers
from tests.orders import KEY, bodies_of
from tests.programs import program

pytestmark = pytest.mark.long


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main([*arguments, "--offline"])
    return capsys.readouterr().out


def row(output: str, name: str) -> list[str]:
    """The cells of the first row that begins with a name."""
    line = next(line for line in output.splitlines() if line.startswith(f"| {name}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_comparison_prints_every_tool_and_names_those_that_are_missing(capsys: pytest.CaptureFixture[str]) -> None:
    output = printed(capsys, "comparison", "--most", "3")
    assert row(output, "this project")[1:] == ["whole mail", *["100"] * 7, ""]
    assert [row(output, tool.label)[1] for tool in TOOLS] == ["not installed"] * len(TOOLS)
    assert "CPython" in output and "3 mails" in output


def test_a_folder_without_the_tools_is_no_different(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = printed(capsys, "comparison", "--most", "1", "--tools", str(tmp_path))
    assert output.count("not installed") == 2 * len(TOOLS)


def test_the_costs_print_every_row_with_its_aim(capsys: pytest.CaptureFixture[str]) -> None:
    cost.run(print, most=1, lines=(6, 7))
    output = capsys.readouterr().out
    assert row(output, "direct mail, usual orders")[-1] == "2 ms"
    assert row(output, "7 lines")[1] == row(output, "newsletter")[1] == "1"


def test_the_carriers_print_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    output = printed(capsys, "carriers", "--most", "6")
    assert row(output, "attachment kept, html + text")[2:] == ["100"] * 9
    assert row(output, "no attachment, text")[3] == "-"
    assert "no carrier proves the order: 0" in output


def test_the_lists_print_every_case_with_its_aims(capsys: pytest.CaptureFixture[str]) -> None:
    lists.main(["--orders", "400", "--few", "200", "--rounds", "2"])
    output = capsys.readouterr().out
    assert [row(output, case.name)[3:7:3] for case in lists.cases(200)] == [["50", "1.5"]] * len(lists.cases(200))


def test_an_unknown_table_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["speed"])
    assert "no such table: speed" in capsys.readouterr().err


def test_a_table_is_markdown() -> None:
    lines: list[str] = []
    table(lines.append, ("tool", "n"), [("a", "10")])
    assert lines == ["| tool |  n |", "| ---- | -: |", "| a    | 10 |", ""]
    assert [share(0, 0), share(2, 2), share(1999, 2000), share(1, 3)] == ["-", "100", "99.9", "33.3"]


# What the measures measure.


def test_a_body_is_whole_recovered_and_exact_only_where_it_is() -> None:
    mail = sent("full 2", "en")
    text, html, _ = bodies_of(mail.raw)
    every = list(comparison.MEASURES)
    assert list(comparison.measured(mail, "text", text)) == list(comparison.measured(mail, "html", html)) == every
    wrapped = f"From: ION <ion@platform.example>\n\n{text}"
    assert list(comparison.measured(mail, "text", wrapped)) == [
        "unwrapped",
        "order text whole",
        "fields exact",
    ]
    cut = text.replace("Northern Weavers", "")
    assert list(comparison.measured(mail, "text", cut)) == ["unwrapped"]
    assert list(comparison.measured(mail, "text", " \n")) == []


def test_what_a_tool_cut_off_is_what_it_did_not_keep() -> None:
    assert comparison.cut_off("note\n\nbegin\nrest", "note\n", "text") == "\nbegin\nrest"
    assert comparison.cut_off("note\nrest", "note\nrest", "text") == ""
    assert comparison.cut_off("<p>note</p><p>rest</p>", "<p>note</p>", "html").strip() == "rest"


@pytest.mark.parametrize("client", NAMED)
def test_mails_with_header_like_texts_arrive(client: str) -> None:
    mail = sent("header-like", "en")
    assert mail.order == header_like()
    assert carriers.exact(forwarded(mail, (client,)), mail)


def test_an_edited_mail_is_not_proved_and_a_newsletter_is_none() -> None:
    mail = sent("full 1", "de")
    changed = edited(mail.raw)
    assert changed != mail.raw and not carriers.exact(forwarded(mail, ("gmail",), raw=changed), mail)
    assert read_message(newsletter(3), [KEY]) == ()


def test_carriers_are_taken_away_and_left_alone() -> None:
    mail = sent("full 1", "en")
    assert sorted(carriers.carriers_in(mail.raw)) == ["html", "json", "text"]
    for carrier in ("html", "json", "text"):
        assert carrier not in carriers.carriers_in(carriers.without(mail.raw, carrier))
        left = carriers.alone(mail.raw, carrier)
        assert left is not None and list(carriers.carriers_in(left)) == [carrier]
        assert carriers.exact(left, mail)
    assert carriers.alone(carriers.without(mail.raw, "json"), "json") is None


def test_the_block_arrives_unless_a_letter_of_it_is_lost() -> None:
    case = next(carriers.cases())
    assert carriers.block_arrives(case)
    letter = carriers.block_lines(case.mail)[2][5:20].encode()
    broken = carriers.Case(case.mail, case.chain, True, case.parts, case.raw, case.armoured.replace(letter, b"A" * 15))
    assert not carriers.block_arrives(broken)


def test_inline_clients_write_a_mail_of_their_own() -> None:
    assert set(NAMED) < set(INLINE) and not {"filter", "nested", "attached-gmail"} & set(INLINE)


# The tools, asked.


def test_a_tool_that_is_missing_or_raises_says_so() -> None:
    driver = Driver([sys.executable, str(Path(python_tools.__file__))])
    assert "PackageNotFoundError" in driver.ask(tool="no-such-tool", mode="version")["error"]
    assert "KeyError" in driver.ask(tool="no-such-tool", mode="text")["error"]
    driver.close()
    assert "error" in drivers(Path("/nonexistent"))["PyPI"].ask(tool="talon", mode="version")


def test_a_tool_that_hangs_is_ended_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.tools._ANSWER_SECONDS", 0.1)
    driver = Driver([sys.executable, "-c", "import time; time.sleep(60)"])
    assert [driver.ask(tool="x", mode="text")["error"] for _ in range(2)] == ["no answer in 0.1 s"] * 2
    driver.close()


def test_the_tools_of_python_are_run_by_a_program_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-I", python_tools.__file__], input='{"tool": "pytest", "mode": "version"}\n',
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == {"version": pytest.__version__}


def test_the_doors_print_every_row_with_its_ratio_or_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    program("smtp-source")
    doors.main(["accept", "queue", "cpu", "--rounds", "1", "--mails", "20"])
    output = capsys.readouterr().out
    for name in ("kept connections", "a connection per message"):
        ours, theirs, ratio = map(float, row(output, name)[1:4])
        # All three are printed rounded.
        assert (ours - 0.5) / (theirs + 0.5) - 0.005 <= ratio <= (ours + 0.5) / (theirs - 0.5) + 0.005
    assert float(row(output, "usual orders")[1]) > 0
    is_root = os.getuid() == 0  # Postfix starts as nobody else
    assert output.count("| a connection per message") == (2 if is_root else 1)
    assert ("not measured: Postfix starts as root only" in output) != is_root


def test_the_cost_of_sending_prints_every_step_and_they_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    sending.main(["cost", "--rounds", "1", "--mails", "1"])
    output = capsys.readouterr().out
    for name, order in sending.five_lines().items():
        assert len(order.lines) == 5
        *steps, total, _, yardstick, scaled, aim = row(output, f"{name} ")[1:]
        assert len(steps) == len(sending.STEPS) and all(float(step) > 0 for step in steps) and aim == "9 ms"
        assert abs(sum(map(float, steps)) - float(total)) < 0.1  # of one mail; all are printed rounded
        # At the other machine's speed; printed to a hundredth, the yardstick gives it to a few parts of a hundred.
        assert float(scaled) * float(yardstick) == pytest.approx(float(total) * sending.YARDSTICK_MS, rel=0.05)


def test_exports_are_measured_beside_a_bare_cursor_and_a_small_database(capsys: pytest.CaptureFixture[str]) -> None:
    exports.main(["--lines", "300", "--orders", "200", "--few", "100", "--rounds", "1"])
    output = capsys.readouterr().out
    million, night = row(output, "300 lines"), row(output, "200 orders")
    assert all(float(cell) > 0 for cell in million[1:4])
    assert int(million[6].removesuffix(" MiB")) > 0
    assert all(float(cell) > 0 for cell in night[1:4])
