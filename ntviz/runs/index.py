"""One page over many runs: how each went, what it found, and a link to its report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ntviz.environment.reporting import duration
from ntviz.runs.report import POLICY, TEMPLATE, WORDS

if TYPE_CHECKING:
    import pandas as pd

_WORDS = WORDS | {"lost": "Lost", "broken": "Broken", "to do": "Not done"}
_ORDER = ("failed", "broken", "lost", "interrupted", "running", "live", "to do", "ok")


def page(table: pd.DataFrame, root: str | Path, *, title: str) -> str:
    """The table of `collect.runs` as an HTML page that needs nothing but the reports it links to; all text is escaped.

    Parameters
    ----------
    table
        As `collect.runs` gives it; those that did not end well come first.
    root
        The folder in which the page will lie; links start there.
    title
        Its heading.
    """
    import jinja2

    rows = table.sort_values("status", kind="stable", key=lambda column: column.map(_ORDER.index))
    counts = rows["status"].value_counts().reindex(_ORDER, fill_value=0)
    shown = {}
    for column in rows:
        values = rows[column].dropna()
        asked = column.startswith("param.") or column in ("profile", "model", "device")
        if column.startswith("metric.") or (asked and values.map(str).nunique() > 1):
            shown[column] = "n" if values.map(_is_number).all() else "set"
    # What was asked stands before what was found, and numbers before words.
    kinds = sorted(shown.items(), key=lambda pair: (pair[0].startswith("metric."), pair[1] == "set"))
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATE), autoescape=True)
    return environment.get_template("runs.html.j2").render(
        title=title,
        policy=POLICY,
        css=(TEMPLATE / "report.css").read_text(encoding="utf-8"),
        words=_WORDS,
        counts=[(status, int(count)) for status, count in counts.items() if count],
        columns=[(column.partition(".")[2] or column, kind) for column, kind in kinds],
        rows=[_row(row, kinds, Path(root)) for row in rows.to_dict("records")],
    )


def _row(row: dict[str, Any], kinds: list[tuple[str, str]], root: Path) -> dict[str, Any]:
    target, memory, seconds = row["report"], row["peak_memory_mb"], row["seconds"]
    return {
        **{name: row[name] for name in ("status", "run", "notebook")},
        "link": quote(os.path.relpath(Path(target).resolve(), root.resolve()).replace(os.sep, "/"))
        if _there(target)
        else "",
        "time": "–" if not _there(seconds) else f"{seconds:.1f} s" if seconds < 60 else duration(seconds),
        "memory": f"{memory:,.0f}" if _there(memory) else "–",
        "cells": [(kind, _text(row[column])) for column, kind in kinds],
        "error": row["error"] if _there(row["error"]) else "",
    }


def _there(value: Any) -> bool:
    return value is not None and value == value and value != ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if not _there(value):
        return "–"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
