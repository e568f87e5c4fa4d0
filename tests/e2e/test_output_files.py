"""The files a command writes are whole, or were never there."""

import resource
import stat

import pytest

from tests.e2e.conftest import Ingest
from tests.lines import event, events, snapshot, snapshots

pytestmark = pytest.mark.e2e

OUTPUTS = ("--totals", "t", "--deltas", "d", "--dead-letters", "l")
GOOD = events(event(0), event(1, -1)) + snapshots(snapshot(1))


@pytest.fixture
def files(ingest: Ingest) -> set[str]:
    """Input files, the second of which breaks off half way."""
    ingest.write("good", GOOD)
    ingest.write("cut.gz", b"\x1f\x8b\x08\x00half")
    return ingest.files()


def test_all_outputs_are_there_at_the_end(ingest: Ingest, files: set[str]) -> None:
    assert ingest("replay", "good", *OUTPUTS).status == 0
    assert ingest.files() == files | {"t", "d", "l"}
    assert [len(ingest.read(name)) for name in ("t", "d", "l")] == [1, 1, 1]


def test_a_second_file_that_cannot_be_read_leaves_no_outputs(
    ingest: Ingest, files: set[str]
) -> None:
    assert ingest("replay", "good", "cut.gz", *OUTPUTS).status == 2
    assert ingest.files() == files


def test_a_second_file_that_cannot_be_read_keeps_the_outputs_there_were(
    ingest: Ingest, files: set[str]
) -> None:
    for name in ("t", "d", "l"):
        ingest.write(name, b"before\n")
    assert ingest("replay", "good", "cut.gz", *OUTPUTS).status == 2
    assert ingest.files() == files | {"t", "d", "l"}
    for name in ("t", "d", "l"):
        assert (ingest.folder / name).read_bytes() == b"before\n"


def test_a_second_output_that_cannot_be_written_leaves_no_first(
    ingest: Ingest, files: set[str]
) -> None:
    assert ingest("replay", "good", "--totals", "t", "--deltas", "nowhere/d").status == 2
    assert ingest.files() == files


def test_a_replay_replaces_the_outputs_of_the_one_before(ingest: Ingest) -> None:
    ingest("replay", "-", *OUTPUTS, stdin=GOOD)
    ingest("replay", "-", *OUTPUTS, stdin=b"")
    assert [ingest.read(name) for name in ("t", "d", "l")] == [[], [], []]


def test_one_file_for_two_outputs_is_refused(ingest: Ingest) -> None:
    """Or else the one that is put in its place last would be all there is."""
    done = ingest("replay", "-", "--totals", "same", "--deltas", "same", stdin=GOOD)
    assert done.status == 2
    assert ingest.files() == set()


def test_a_disk_that_is_full_is_one_clear_line(ingest: Ingest, files: set[str]) -> None:
    """A bound on the size of a file stands for the disk."""

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

    with ingest.started("replay", "good", "--totals", "t", preexec_fn=bounded) as process:
        out, err = process.communicate()
    assert process.returncode == 2
    assert err.startswith(b"ingest: cannot write t: ")
    assert err.count(b"\n") == 1
    assert out == b""
    assert ingest.files() == files


def test_an_output_can_be_read_only_by_those_the_umask_lets(ingest: Ingest) -> None:
    """Totals are health data."""
    ingest.write("good", GOOD)
    ingest.shell(
        "umask 077; ingest replay good --totals mine; umask 022; ingest replay good --totals ours"
    )
    modes = [stat.S_IMODE((ingest.folder / name).stat().st_mode) for name in ("mine", "ours")]
    assert modes == [0o600, 0o644]


def test_an_output_that_is_a_link_is_written_where_it_leads(ingest: Ingest) -> None:
    (ingest.folder / "link").symlink_to("real")
    ingest("replay", "-", "--totals", "link", stdin=GOOD)
    assert (ingest.folder / "link").is_symlink()
    assert len(ingest.read("real")) == 1
