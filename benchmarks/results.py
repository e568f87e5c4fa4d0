"""The files of results: one a run, by date and machine."""

from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.machine import name_of

FOLDER: Final = Path(__file__).with_name("results")
Result = dict[str, Any]


def path_of(result: Result) -> Path:
    """Where a result belongs; a run that was not of the default plan says so in its name."""
    words = [result["began_at"][:10], name_of(result["machine"])]
    if result["plan"] != "default":
        words.append(result["plan"])
    path = FOLDER / f"{'-'.join(words)}.json"
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def write(result: Result, path: Path) -> None:
    """Write a result."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(orjson.dumps(_rounded(result), option=orjson.OPT_INDENT_2))


def read(path: Path) -> Result:
    """A result as it was written."""
    found: Result = orjson.loads(path.read_bytes())
    return found


def _rounded(value: Any) -> Any:
    """The same with six significant digits, which is more than any figure has."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {str(name): _rounded(own) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(own) for own in value]
    return value
