"""Turns the CSV files of the Fitbit data set into messages, one hour of one person each.

Run it as `python examples/fitbit/convert.py SOURCE_DIR`; it writes beside itself, and the same
CSV files give the same bytes. Numbers are copied as text, but for the calories of the minutes: a
quarter of them has a fifth decimal, and a record holds four. Each is written as the difference of
the day's running sums, rounded to four decimals, so that every hour and day still adds up to the
sum of the data and no minute is off by more than 0.0001 kcal.
"""

import csv
import gzip
import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
OFFSET = "-05:00"  # the CSV times are local and name no zone; one had to be chosen
ORACLES = ("expected_daily.csv", "revisions.csv")
DATE = len("2016-04-12")
HOUR = len("2016-04-12T00")
NUMBER = re.compile(r"(0|[1-9]\d*)(\.\d+)?", re.ASCII)  # written alike in CSV and JSON
Row = dict[str, str]


class Export(NamedTuple):
    """A CSV file, the messages it becomes, and the column that each field of a record is from."""

    csv_name: str
    rows_name: str
    messages_name: str
    device_id: str
    list_field: str
    time: tuple[str, str]
    numbers: dict[str, str]


EXPORTS = (
    Export(
        csv_name="minutes.csv.gz",
        rows_name="minute_rows",
        messages_name="minutes.ndjson.gz",
        device_id="tracker",
        list_field="events",
        time=("ts", "minute"),
        numbers={"steps": "steps", "calories_out": "calories"},
    ),
    # A device with snapshots is counted by them alone, and the snapshots were derived without the
    # late minutes. So they are another device's: of the two, DEVICE_MERGE=max takes the greater,
    # and a late minute still counts.
    Export(
        csv_name="snapshots_hourly_derived.csv.gz",
        rows_name="snapshots",
        messages_name="snapshots.ndjson.gz",
        device_id="app",
        list_field="snapshots",
        time=("timestamp", "taken_at"),
        numbers={"steps_total": "steps_total", "calories_out_total": "calories_total"},
    ),
    Export(
        csv_name="late_minutes_export2.csv.gz",
        rows_name="late_minutes",
        messages_name="late-minutes.ndjson.gz",
        device_id="tracker",
        list_field="events",
        time=("ts", "minute"),
        numbers={"steps": "steps"},
    ),
)


def main(source: Path) -> None:
    """Convert every export and copy the oracles; stops where a row count is not the manifest's."""
    manifest = json.loads((source / "MANIFEST.json").read_text())
    for export in EXPORTS:
        rows = rows_of(source / export.csv_name)
        if "calories" in rows[0]:
            rows = with_four_decimals(rows)
        size = write(HERE / export.messages_name, messages_of(export, rows))
        print(f"{export.messages_name}: {len(rows)} records, {size} bytes")
        if len(rows) != manifest[export.rows_name]:
            sys.exit(f"{export.csv_name}: MANIFEST.json says {manifest[export.rows_name]} rows")
    for name in ORACLES:
        shutil.copyfile(source / name, HERE / name)
    print(f"row counts are those of MANIFEST.json; copied {', '.join(ORACLES)}")


def rows_of(path: Path) -> list[Row]:
    """The rows of a CSV file, every value as its text."""
    with gzip.open(path, "rt", newline="") as text:
        return [*csv.DictReader(text)]


def with_four_decimals(rows: Iterable[Row]) -> list[Row]:
    """The minutes with calories that keep each day's running sum right to four decimals."""
    rounded = []
    for _, day in groupby(rows, lambda row: (row["user_id"], row["minute"][:DATE])):
        exact, written = Fraction(0), Decimal(0)
        for row in day:
            exact += Fraction(float(row["calories"]))
            target = Decimal(str(round(float(exact), 4)))
            rounded.append(row | {"calories": f"{target - written:f}"})
            written = target
    return rounded


def messages_of(export: Export, rows: Iterable[Row]) -> Iterator[str]:
    """The lines of an export; its rows are sorted by person and time."""
    _, time_column = export.time
    for (user_id, _), hour in groupby(rows, lambda row: (row["user_id"], row[time_column][:HOUR])):
        head = {"user_id": user_id, "device_id": export.device_id, "source": "FITBIT"}
        records = ",".join(record_of(export, row) for row in hour)
        yield f'{compact(head)[:-1]},"{export.list_field}":[{records}]}}\n'


def record_of(export: Export, row: Row) -> str:
    """A record as JSON text, its numbers as they stand in the row."""
    time_field, time_column = export.time
    times = {"date": row["date"]} if "date" in row else {}
    times[time_field] = instant_of(row[time_column])
    numbers = [f'"{field}":{number_of(row[column])}' for field, column in export.numbers.items()]
    return f"{compact(times)[:-1]},{','.join(numbers)}}}"


def instant_of(local: str) -> str:
    """RFC 3339, with seconds where the CSV time has none."""
    return f"{local}{'' if local.count(':') > 1 else ':00'}{OFFSET}"


def number_of(text: str) -> str:
    """The text itself, once it is known to be a JSON number."""
    if NUMBER.fullmatch(text) is None:
        raise ValueError(f"not a plain decimal: {text!r}")
    return text


def compact(fields: dict[str, str]) -> str:
    """JSON without spaces."""
    return json.dumps(fields, separators=(",", ":"))


def write(path: Path, lines: Iterable[str]) -> int:
    """Compress the lines with neither time nor name in the header; returns the file's size."""
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as packed,
    ):
        for line in lines:
            packed.write(line.encode())
    return path.stat().st_size


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the script and its one argument
        sys.exit("usage: python examples/fitbit/convert.py SOURCE_DIR")
    main(Path(sys.argv[1]))
