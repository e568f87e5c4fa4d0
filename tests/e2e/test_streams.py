"""The commands among other programs: open pipes, terminals, Ctrl-C, readers that leave."""

import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from fcntl import ioctl
from struct import pack
from termios import TIOCSWINSZ

import orjson
import pytest

from tests.e2e.conftest import (
    DEADLINE_SECONDS,
    ENVIRONMENT,
    Ingest,
    bytes_until_end,
    eventually,
    next_bytes,
)
from tests.lines import event, events

pytestmark = pytest.mark.e2e

ESCAPE = b"\x1b"
SEQUENCE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
TERMINAL = {**ENVIRONMENT, "TERM": "xterm-256color"}
REFUSED = events(event(0, -1))


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Our end and the command's end of a terminal of 80 columns; the command's must be closed."""
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, pack("HHHH", 24, 80, 0, 0))
    yield ours, theirs
    os.close(ours)


def many(count: int) -> bytes:
    """Lines that make as many totals as this."""
    return b"".join(events(event(0, 1), user=f"u{number:05d}") for number in range(count))


def test_work_starts_before_standard_input_ends(ingest: Ingest) -> None:
    """A refused record comes out on standard error while the input is still open."""
    with ingest.started("replay", "-", "--json", "--dead-letters", "/dev/stderr") as process:
        process.stdin.write(events(event(0)) + REFUSED)
        process.stdin.flush()
        letter = orjson.loads(next_bytes(process.stderr.fileno()))
        assert (letter["reason"], letter["line"]) == ("NEGATIVE_VALUE", 2)
        process.stdin.write(events(event(1)) + REFUSED)
        process.stdin.flush()
        letter = orjson.loads(next_bytes(process.stderr.fileno()))
        assert (letter["reason"], letter["line"]) == ("NEGATIVE_VALUE", 4)
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, err) == (0, b"")
    assert orjson.loads(out)["records"] == 4


def test_dead_letters_go_into_a_named_pipe_as_they_come(ingest: Ingest) -> None:
    os.mkfifo(ingest.folder / "pipe")
    with ingest.started("replay", "-", "--json", "--dead-letters", "pipe") as process:
        with (ingest.folder / "pipe").open("rb", buffering=0) as pipe:
            process.stdin.write(REFUSED)
            process.stdin.flush()
            assert orjson.loads(next_bytes(pipe.fileno()))["reason"] == "NEGATIVE_VALUE"
            process.stdin.close()
            assert next_bytes(pipe.fileno()) == b""
        assert process.wait(DEADLINE_SECONDS) == 0


def test_totals_can_go_into_a_pipe(ingest: Ingest) -> None:
    done = ingest("replay", "-", "--totals", "/dev/stdout", "--json", stdin=many(3))
    *totals, summary = done.out.splitlines()
    assert [orjson.loads(total)["user_id"] for total in totals] == ["u00000", "u00001", "u00002"]
    assert orjson.loads(summary)["records"] == 3


@pytest.mark.parametrize("arguments", [["replay", "-"], ["simulate", "--users", "1"]], ids=str)
def test_nothing_is_drawn_where_there_is_no_terminal(ingest: Ingest, arguments: list[str]) -> None:
    done = ingest(*arguments, stdin=many(2), TERM="xterm-256color")
    assert (done.status, done.err) == (0, "")
    assert "\x1b" not in done.out
    assert "\r" not in done.out


def test_a_terminal_on_standard_error_shows_a_bar(
    ingest: Ingest, terminal: tuple[int, int]
) -> None:
    ours, theirs = terminal
    ingest.write("a.ndjson", many(2))
    with ingest.started(
        "replay",
        "a.ndjson",
        "--json",
        environment=TERMINAL,
        stdin=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown, out = bytes_until_end(ours), process.stdout.read()
    assert b"reading" in shown
    assert ESCAPE in shown
    assert orjson.loads(out)["records"] == 2


def test_a_terminal_on_standard_error_shows_what_simulate_has_written(
    ingest: Ingest, terminal: tuple[int, int]
) -> None:
    ours, theirs = terminal
    with (
        (ingest.folder / "out").open("wb") as out,
        ingest.started("simulate", environment=TERMINAL, stdout=out, stderr=theirs) as process,
    ):
        os.close(theirs)
        shown = bytes_until_end(ours)
        assert process.wait(DEADLINE_SECONDS) == 0
    assert b"messages" in shown
    assert ESCAPE in shown
    assert ESCAPE not in (ingest.folder / "out").read_bytes()


def test_a_terminal_of_80_columns_shows_every_number_whole(
    ingest: Ingest, terminal: tuple[int, int]
) -> None:
    """A number that is cut is a wrong number, and steps are what the table is for."""
    ours, theirs = terminal
    ingest.write("a.ndjson", events(event(0, 9876, calories_out=1234.5678, hr_avg=61.4321)))
    with ingest.started(
        "replay", "a.ndjson", environment=TERMINAL, stdin=subprocess.DEVNULL, stdout=theirs
    ) as process:
        os.close(theirs)
        shown = SEQUENCE.sub(b"", bytes_until_end(ours)).decode()
        assert process.wait(DEADLINE_SECONDS) == 0
    for number in ("9876", "1234.5678", "61.4321"):
        assert number in shown


def test_a_table_shows_200_totals_and_says_how_many_more(ingest: Ingest) -> None:
    done = ingest("replay", "-", stdin=many(203))
    assert len(re.findall(r"^ u\d{5} ", done.out, re.MULTILINE)) == 200
    assert re.search(r"\b3 more\b", done.out)
    assert "u00199" in done.out
    assert "u00200" not in done.out


def test_a_table_of_200_totals_leaves_none_out(ingest: Ingest) -> None:
    done = ingest("replay", "-", stdin=many(200))
    assert len(re.findall(r"^ u\d{5} ", done.out, re.MULTILINE)) == 200
    assert " more" not in done.out


def test_the_line_about_more_totals_names_the_option_that_writes_them(ingest: Ingest) -> None:
    """`--json` of a replay writes the summary only; the totals are in `--totals`."""
    (line,) = (
        line for line in ingest("replay", "-", stdin=many(201)).out.splitlines() if "more" in line
    )
    assert "--totals" in line


def test_a_table_shows_ids_as_they_are(ingest: Ingest) -> None:
    """`:` is a letter of an id, and a terminal library may take `:heart:` for something else."""
    done = ingest("replay", "-", stdin=events(event(0), user=":heart:", device_id="a:bug:b"))
    assert ":heart:" in done.out
    assert "a:bug:b" in done.out


def test_a_table_never_cuts_a_number_for_a_long_id(ingest: Ingest) -> None:
    lines = events(event(0, 9876, calories_out=1234.5678), user="u" * 128, device_id="d" * 128)
    done = ingest("replay", "-", stdin=lines)
    assert " 9876 " in done.out
    assert " 1234.5678 " in done.out


def test_ctrl_c_ends_a_replay_at_once_and_leaves_nothing_behind(ingest: Ingest) -> None:
    outputs = ("--totals", "t", "--deltas", "d", "--dead-letters", "l")
    with ingest.started("replay", "-", *outputs) as process:
        process.stdin.write(events(event(0)) + REFUSED)
        process.stdin.flush()
        eventually(lambda: len(ingest.files()) == 3)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_SECONDS) == 130
        out, err = process.stdout.read(), process.stderr.read()
    assert ingest.files() == set()
    assert out == b""
    assert re.fullmatch(rb"ingest: interrupted[^\n]*\n", err)


def test_ctrl_c_keeps_the_output_that_was_there(ingest: Ingest) -> None:
    ingest.write("t", b"before\n")
    with ingest.started("replay", "-", "--totals", "t") as process:
        eventually(lambda: len(ingest.files()) == 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_SECONDS) == 130
    assert ingest.files() == {"t"}
    assert (ingest.folder / "t").read_bytes() == b"before\n"


def test_ctrl_c_ends_a_simulation_with_one_line(ingest: Ingest) -> None:
    with ingest.started("simulate", "--days", "20000", "--truth", "t") as process:
        assert next_bytes(process.stdout.fileno())
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 130
    assert re.fullmatch(rb"ingest: interrupted[^\n]*\n", err)
    assert ingest.files() == set()


def test_a_reader_that_has_seen_enough_is_no_error(ingest: Ingest) -> None:
    done = ingest.shell("ingest simulate --users 50 | head -n 1; exit ${PIPESTATUS[0]}")
    assert (done.status, done.err) == (0, "")
    assert len(done.out.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate"],
        ["replay", "many"],
        ["replay", "many", "--json"],
        ["replay", "many", "--totals", "/dev/stdout"],
    ],
    ids=" ".join,
)
def test_a_reader_that_is_gone_before_the_first_byte_is_no_error(
    ingest: Ingest, arguments: list[str]
) -> None:
    ingest.write("many", many(300))
    reading, writing = os.pipe()
    os.close(reading)
    with ingest.started(*arguments, stdin=subprocess.DEVNULL, stdout=writing) as process:
        os.close(writing)
        _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, err) == (0, b"")
