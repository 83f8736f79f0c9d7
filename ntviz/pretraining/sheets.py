"""Sheets that people write: tab-separated text with a line of column names, errors counted as in an editor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def read(
    path: str | os.PathLike[str], required: Sequence[str], optional: Sequence[str] = ()
) -> list[tuple[int, dict[str, str]]]:
    """Number of the line and cells of each row; empty lines and lines that begin with # are left out.

    Raises
    ------
    ValueError
        A column is missing, unknown or there twice, a row has more cells than columns or lacks a required one, the first
        column repeats a name, or there is no row.
    """
    path = Path(path)
    lines = [
        (number, line.split("\t"))
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    columns = [name.strip() for name in lines[0][1]] if lines else []
    known = [*required, *optional]
    missing = [name for name in required if name not in columns]
    wrong = [name for name in columns if name not in known or columns.count(name) > 1]
    if missing or wrong:
        what = f"lacks {missing[0]!r}" if missing else f"has {wrong[0]!r}, unknown or twice"
        raise ValueError(
            f"{path} must have the tab-separated columns {', '.join(required)}"
            f"{' and may have ' + ', '.join(optional) if optional else ''}; it {what}. Mend its first line."
        )
    rows, seen = [], {}
    for number, cells in lines[1:]:
        row = dict(zip(columns, (cell.strip() for cell in cells), strict=False)) | dict.fromkeys(
            columns[len(cells) :], ""
        )
        empty = [name for name in required if not row[name]]
        if len(cells) > len(columns) or empty:
            what = f"no {empty[0]}" if empty else f"{len(cells)} cells"
            raise ValueError(
                f"Each row of {path} must fill its {len(columns)} columns; line {number} has {what}. Mend that line."
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
