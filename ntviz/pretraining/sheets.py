"""Sheets that people write: tab-separated text with a line of column names, errors counted as in an editor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ntviz.environment import rows_of


def read(
    path: str | os.PathLike[str], required: Sequence[str], optional: Sequence[str] = ()
) -> list[tuple[int, dict[str, str]]]:
    """Number of the line and cells of each row; see `environment.rows_of` for what is left out.

    Raises
    ------
    ValueError
        A column is missing, unknown or there twice, a row lacks a required cell, the first column repeats a name, there is
        no row, or the file is no such sheet.
    """
    path = Path(path)
    try:
        lines = rows_of(path, required)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    header, columns = lines[0] if lines else (1, [])
    known = [*required, *optional]
    missing = [name for name in required if name not in columns]
    wrong = [name for name in columns if name not in known or columns.count(name) > 1]
    if missing or wrong:
        what = f"lacks {missing[0]!r}" if missing else f"has {wrong[0]!r}, unknown or twice"
        raise ValueError(
            f"{path} must have the tab-separated columns {', '.join(required)}"
            f"{' and may have ' + ', '.join(optional) if optional else ''}; it {what}. Mend its line {header}."
        )
    rows, seen = [], {}
    for number, cells in lines[1:]:
        row = dict(zip(columns, cells, strict=True))
        empty = [name for name in required if not row[name]]
        if empty:
            raise ValueError(
                f"Each row of {path} must have a {empty[0]}; line {number} has none. Mend that line."
            )
        name = row[required[0]]
        if name in seen:
            raise ValueError(
                f"Each {required[0]} of {path} must be there once; {name!r} is on lines {seen[name]} and {number}. Remove one."
            )
        seen[name] = number
        rows.append((number, row))
    if not rows:
        raise ValueError(f"{path} must have a row below its column names; it has none. Add one.")
    return rows
