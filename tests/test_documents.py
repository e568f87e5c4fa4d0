"""What the documents tell one to type is what there is: commands, their options, log events."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from ingest.cli import app

ROOT = Path(__file__).parent.parent
DOCUMENTS = ["README.md", "SECURITY.md", "k8s/RUNBOOK.md"]
SPAN = re.compile(r"```(?:sh|console)\n(.*?)```|(?<!`)`([^`\n]+)`(?!`)", re.DOTALL)
# Not the namespace, the secret or the database of that name.
COMMAND = re.compile(
    r"(?<!-n )(?<!generic )(?<!namespace )(?<!--db )(?<!--group )(?<![\w/.:-])ingest (.*)"
)


def typed(document: str) -> Iterator[list[str]]:
    """Every command line of ours in a document, up to its end."""
    for block, span in SPAN.findall((ROOT / document).read_text()):
        for line in (block or span).replace("\\\n", " ").splitlines():
            for part in re.split(r"[|;>]|&&?|\s#|\[|\]", line.replace(".venv/bin/", "")):
                if found := COMMAND.search(part):
                    yield found[1].replace("'", "").split()


COMMANDS = [(document, words) for document in DOCUMENTS for words in typed(document)]


@pytest.mark.parametrize(("document", "words"), COMMANDS, ids=str)
def test_a_command_is_one_with_its_options(document: str, words: list[str]):
    command = typer.main.get_command(app)
    words = [*words]
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    is_a_group = hasattr(command, "commands")
    assert not (is_a_group and words), f"ingest has no {words[0]!r}"
    options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= options | {"--help"}


def test_there_are_commands_in_every_document():
    assert {document for document, _ in COMMANDS} == {*DOCUMENTS}


def test_an_event_of_the_log_is_one():
    source = "".join(path.read_text() for path in (ROOT / "ingest").rglob("*.py"))
    events = re.findall(r'"event":"([\w.]+)"', (ROOT / "k8s/RUNBOOK.md").read_text())
    assert events
    assert [event for event in events if f'"{event}"' not in source] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_link_leads_somewhere(document: str):
    text = (ROOT / document).read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    for link in links:
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), link
        if anchor:
            assert anchor in {*anchors(target.read_text())}, link


def anchors(text: str) -> Iterator[str]:
    """What headings are linked by, as GitHub makes it of them."""
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
