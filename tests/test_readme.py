"""The README says what can be set, all of it and nothing else."""

import re
from pathlib import Path

import pytest

from ingest.settings import Settings

README = Path(__file__).parent.parent / "README.md"
ROW = re.compile(r"^\|\s*`([A-Z][A-Z0-9_]+)`\s*\|", re.MULTILINE)
VARIABLES = sorted(field.upper() for field in Settings.model_fields)


@pytest.mark.parametrize("variable", VARIABLES)
def test_the_readme_has_a_row_for_every_setting(variable: str) -> None:
    assert ROW.findall(README.read_text()).count(variable) == 1


def test_the_readme_has_no_row_for_a_setting_that_is_none() -> None:
    named = ROW.findall(README.read_text())
    assert named
    assert {*named} <= {*VARIABLES}
