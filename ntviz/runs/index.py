"""One page over many runs: how each went, what it found, and a link to its report."""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ntviz.environment.reporting import duration
from ntviz.runs.report import POLICY, TEMPLATE, WORDS

if TYPE_CHECKING:
    import pandas as pd

_ORDER = ("failed", "broken", "lost", "interrupted", "running", "live", "to do", "ok")
_OWN = {"lost": "Lost", "broken": "Broken", "to do": "Not done"}
_BAD = ("failed", "broken", "lost")
_STYLE = """
body { max-width: 90rem; }
.tally { display: flex; flex-wrap: wrap; gap: .35rem 1.1rem; margin: 0 0 1rem; padding: 0; list-style: none; }
.badge { font-weight: 600; padding: .05rem .6rem; border-radius: 1rem; color: var(--wait); background: var(--wait-bg); white-space: nowrap; }
.badge.ok { color: var(--good); background: var(--good-bg); }
.badge.failed, .badge.broken, .badge.lost { color: var(--bad); background: var(--bad-bg); }
td.n, .plain th.n { text-align: right; white-space: nowrap; padding-right: .9rem; }
.plain td { overflow-wrap: normal; }
.plain th.name { white-space: normal; overflow-wrap: break-word; min-width: 9rem; max-width: 20rem; }
.plain td.set { overflow-wrap: anywhere; min-width: 7rem; max-width: 20rem; }
.plain td.set div { max-height: 4.8em; overflow-y: auto; }
tr.has-why > * { border-bottom: 0; padding-bottom: .1rem; }
tr.why td { padding-top: 0; }
tr.why pre { background: none; padding: 0 0 .2rem; font-size: .8rem; max-height: 9rem; overflow-y: auto; max-width: min(64rem, 88vw); }
thead th { vertical-align: bottom; }
"""


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
    rows = table.assign(_rank=[_ORDER.index(status) for status in table["status"]])
    rows = rows.sort_values("_rank", kind="stable").drop(columns="_rank")
    counts = [(status, int((rows["status"] == status).sum())) for status in _ORDER]
    tally = "".join(f"<li>{_badge(status)} {count:,}</li>" for status, count in counts if count)
    differing = [
        column
        for column in rows
        if column.startswith("metric.")
        or (
            (column.startswith("param.") or column in ("profile", "model", "device"))
            and rows[column].dropna().map(str).nunique() > 1
        )
    ]
    kinds = {column: "n" if rows[column].dropna().map(_is_number).all() else "set" for column in differing}
    # What was asked stands before what was found, and numbers before words.
    kinds = dict(sorted(kinds.items(), key=lambda pair: (pair[0].startswith("metric."), pair[1] == "set")))
    head = [
        '<th scope="col">Status</th><th scope="col" class="name">Run</th><th scope="col">What</th>',
        '<th scope="col" class="n">Time</th><th scope="col" class="n">Peak memory, MB</th>',
        *(
            f'<th scope="col" class="{kind}">{_text(column.partition(".")[2] or column)}</th>'
            for column, kind in kinds.items()
        ),
    ]
    body = "".join(_row(dict(row), kinds, Path(root)) for _, row in rows.iterrows())
    css = (TEMPLATE / "report.css").read_text(encoding="utf-8")
    listing = (
        f'<div class="scroll"><table class="plain"><thead><tr>{"".join(head)}</tr></thead><tbody>{body}</tbody></table></div>'
        if len(rows)
        else "<p>There is no run here yet.</p>"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><title>{_text(title)}</title>'
        f'<link rel="icon" href="data:,"><style>{css}{_STYLE}</style></head><body><header class="top">'
        f'<p class="eyebrow">ntviz · {len(rows):,} runs</p><h1>{_text(title)}</h1><ul class="tally">{tally}</ul></header>'
        f"<main>{listing}</main><footer><p>A name leads to its report or, without one, to its result. This page works "
        "without a network.</p></footer></body></html>\n"
    )


def _row(row: dict[str, Any], kinds: dict[str, str], root: Path) -> str:
    name, target = _text(row["run"]), row["report"]
    if _there(target):
        name = f'<a href="{_link(Path(target), root)}">{name}</a>'
    cells = [
        f'<td>{_badge(row["status"])}</td><th scope="row" class="name">{name}</th><td>{_text(row["notebook"])}</td>',
        f'<td class="n">{_time(row["seconds"])}</td>',
        f'<td class="n">{row["peak_memory_mb"]:,.0f}</td>'
        if _there(row["peak_memory_mb"])
        else '<td class="n">–</td>',
        *(_cell(row[column], kind) for column, kind in kinds.items()),
    ]
    if not _there(row["error"]):
        return f"<tr>{''.join(cells)}</tr>"
    why = f'<td colspan="{len(kinds) + 5}"><pre tabindex="0">{_text(row["error"])}</pre></td>'
    return f'<tr class="has-why">{"".join(cells)}</tr><tr class="why">{why}</tr>'


def _cell(value: Any, kind: str) -> str:
    text = _value(value)
    if len(text) > 60:
        # Whole sentences scroll; a row stays a row.
        text = f'<div tabindex="0">{text}</div>'
    return f'<td class="{kind}">{text}</td>'


def _link(target: Path, root: Path) -> str:
    return html.escape(quote(os.path.relpath(target.resolve(), root.resolve()).replace(os.sep, "/")))


def _badge(status: str) -> str:
    words = WORDS.get(status) or _OWN[status]
    return f'<span class="badge {_class(status)}">{words}</span>'


def _class(status: str) -> str:
    return status.replace(" ", "-")


def _there(value: Any) -> bool:
    return value is not None and value == value and value != ""


def _time(seconds: Any) -> str:
    if not _there(seconds):
        return "–"
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(value: Any) -> str:
    if not _there(value):
        return "–"
    return f"{value:,.4g}" if isinstance(value, float) else _text(value)


def _text(value: Any) -> str:
    return html.escape(str(value))
