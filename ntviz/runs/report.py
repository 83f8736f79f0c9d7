"""The HTML report of a run, with the code folded and the manifest's facts on top, and the page over many runs; no network."""

from __future__ import annotations

import logging
import os
import re
import shlex
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ntviz.environment.reporting import duration
from ntviz.runs.manifest import Manifest

if TYPE_CHECKING:
    import pandas as pd
    from bs4 import BeautifulSoup
    from nbformat import NotebookNode

FILE = "report.html"
TEMPLATE = Path(__file__).parent / "template"

# nbconvert warns of pictures without alt text on stderr; we give them one instead.
_LOG = logging.getLogger(__name__)
_LOG.setLevel(logging.ERROR)

# Nothing may be loaded, whatever an output asks for; scripts and styles are those in the file itself.
POLICY = (
    "default-src 'none'; img-src data: blob:; media-src data:; font-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
# What can be shown in a file that is opened offline, best first; widgets are not among it, their text is.
_PICTURES = ["image/svg+xml", "image/png", "image/jpeg"]
_SHOWN = ["text/html", "text/markdown", *_PICTURES, "text/latex", "text/plain"]
_LOCAL = ", with local changes"
_LABELS = {"parameters": "Parameters", "injected-parameters": "Set by this run"}
WORDS = {
    "failed": "Failed", "broken": "Broken", "lost": "Lost", "interrupted": "Interrupted", "running": "Still running",
    "live": "Run by hand", "to do": "Not done", "ok": "Finished",
}  # fmt: skip
_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$", re.MULTILINE)
_MARKUP = re.compile(r"[*_`]")
_LOADED = ("src", "href", "srcset", "poster", "data", "background")
# What a style would fetch: everything but data within the file and references within the page.
_FETCHED = re.compile(r"""@import[^;]*;?|url\(\s*(?!["']?\s*(?:data:|\#))[^)]*\)""", re.IGNORECASE)


def title_of(notebook: NotebookNode) -> str:
    """The first heading of the first level, without its markup; empty without one."""
    for cell in notebook.cells:
        for level, text in _HEADING.findall(cell.source) if cell.cell_type == "markdown" else ():
            if level == "#":
                return _MARKUP.sub("", text)
    return ""


def index(table: pd.DataFrame, root: str | Path, *, title: str) -> str:
    """The table of `collect.runs` as an HTML page in the folder `root` that links to all reports; all text is escaped.

    Runs that did not end well come first. Of each number of three runs or more of one notebook the median, the quartiles
    and the outliers stand above them.
    """
    import jinja2

    order = list(WORDS)
    rows = table.sort_values("status", kind="stable", key=lambda column: column.map(order.index))
    counts = rows["status"].value_counts().reindex(order, fill_value=0)
    kinds = {}
    for column in rows:
        values = rows[column].dropna()
        asked = column.startswith("param.") or column in ("profile", "model", "device")
        hours = column in ("core_hours", "gpu_hours") and len(values) > 0
        if column.startswith("metric.") or hours or (asked and values.map(str).nunique() > 1):
            numbers = values.map(lambda value: isinstance(value, int | float) and not isinstance(value, bool))
            kinds[column] = "n" if numbers.all() else "set"
    # What was asked stands before what was found, and numbers before words.
    columns = sorted(kinds.items(), key=lambda pair: (pair[0].startswith("metric."), pair[1] == "set"))
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATE), autoescape=True)
    return environment.get_template("runs.html.j2").render(
        title=title, policy=POLICY, css=(TEMPLATE / "report.css").read_text(encoding="utf-8"), words=WORDS,
        counts=[(status, int(count)) for status, count in counts.items() if count],
        columns=[(column.partition(".")[2] or column.replace("_", " "), kind) for column, kind in columns],
        hours=[(name, rows[f"{name}_hours"].sum()) for name in ("core", "gpu") if rows[f"{name}_hours"].notna().any()],
        hours_from=" and ".join(sorted(set(rows["hours_from"].dropna()))), spreads=_spreads(rows, Path(root)),
        rows=[_index_row(row, columns, Path(root)) for row in rows.to_dict("records")],
    )  # fmt: skip


def _spreads(rows: pd.DataFrame, root: Path) -> list[dict[str, Any]]:
    """Median, quartiles and outliers of each number, notebook by notebook.

    An outlier lies more than 3.5 robust standard deviations from the median: 1.4826 times the median distance from it or,
    where that is 0, 1.2533 times the mean distance.
    """
    import pandas as pd

    metrics = [column for column in rows if column.startswith("metric.")]
    found = []
    for what, own in rows[rows["status"] == "ok"].groupby("notebook"):
        for column in ("seconds", "peak_memory_mb", *metrics):
            numbers = own[column].map(lambda value: value if isinstance(value, int | float) else None)
            numbers = pd.to_numeric(numbers[~own[column].map(lambda value: isinstance(value, bool))]).dropna()
            if len(numbers) < 3:
                continue
            away = (numbers - numbers.median()).abs()
            scale = 1.4826 * away.median() or 1.2533 * away.mean()
            far = away[away > 3.5 * scale].sort_values(ascending=False, kind="stable").index if scale else []
            low, high = (_figure(float(numbers.quantile(share))) for share in (0.25, 0.75))
            outliers = [(own.at[row, "run"], _link(own.at[row, "report"], root), _figure(numbers[row])) for row in far]
            found.append(
                {"what": what, "name": column.removeprefix("metric.").replace("_mb", ", MB").replace("_", " "),
                 "number": len(numbers), "median": _figure(float(numbers.median())), "low": low, "high": high,
                 "outliers": outliers}
            )  # fmt: skip
    return found


def _link(target: Any, root: Path) -> str:
    link = os.path.relpath(Path(target).resolve(), root.resolve()) if isinstance(target, str) else ""
    return quote(link.replace(os.sep, "/"))


def _index_row(row: dict[str, Any], columns: list[tuple[str, str]], root: Path) -> dict[str, Any]:
    row = {name: None if value != value or value == "" else value for name, value in row.items()}
    memory, seconds = row["peak_memory_mb"], row["seconds"]
    return {
        **{name: row[name] for name in ("status", "run", "notebook")},
        "link": _link(row["report"], root), "time": "–" if seconds is None else _time(seconds),
        "memory": "–" if memory is None else f"{memory:,.0f}", "error": row["error"] or "",
        "cells": [(kind, "–" if row[column] is None else _figure(row[column])) for column, kind in columns],
    }  # fmt: skip


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def render(notebook: NotebookNode, facts: Manifest) -> str:
    """The report of a notebook, executed as far as it got, as one HTML document; `facts` is its manifest."""
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    exporter = HTMLExporter(
        extra_template_basedirs=[str(TEMPLATE.parent)], template_name=TEMPLATE.name, embed_images=True, log=_LOG,
        config=Config(NbConvertBase={"display_data_priority": _SHOWN}),
    )  # fmt: skip
    metrics = [(n, _figure(v)) for n, v in facts.metrics.items() if not isinstance(v, list | dict)]
    resources = {
        "run": facts, "title": facts.title or facts.notebook, "status": WORDS[facts.status], "glance": _glance(facts),
        "error": _error(facts), "metrics": metrics, "facts": _facts(facts), "policy": POLICY,
        "css": (TEMPLATE / "report.css").read_text(encoding="utf-8"),
    }  # fmt: skip
    html, _ = exporter.from_notebook_node(_annotated(notebook, facts), resources)
    return _finished(html)


def _annotated(notebook: NotebookNode, facts: Manifest) -> NotebookNode:
    """A copy whose cells know their number, label and section, and whose pictures know their alt text."""
    shown = deepcopy(notebook)
    shown.metadata.pop("widgets", None)
    section = facts.title
    titled = not title_of(shown)
    for number, cell in enumerate(shown.cells, start=1):
        if cell.cell_type == "markdown":
            section = next((_MARKUP.sub("", text) for _, text in _HEADING.findall(cell.source)), section)
            if not titled and _HEADING.search(cell.source):
                # The page's own header shows the title already.
                cell.source = re.sub(r"^#\s+.+$", "", cell.source, count=1, flags=re.MULTILINE)
                titled = True
            continue
        failed = facts.error is not None and facts.error.get("cell_id") == cell.get("id")
        label = next((_LABELS[tag] for tag in cell.metadata.get("tags", []) if tag in _LABELS), "Code")
        cell.metadata["ntviz"] = {"number": number, "label": label, "failed": failed}
        for output in (output for output in cell.get("outputs", []) if "data" in output):
            if not any(kind in output.data for kind in _SHOWN):
                kinds = ", ".join(output.data) or "no data"
                output.data["text/plain"] = f"(an output that cannot be shown in a report: {kinds})"
            declared = [output.metadata.get(kind) for kind in _PICTURES]
            alts = [about["alt"] for about in declared if isinstance(about, dict) and about.get("alt")]
            # matplotlib's own text, <Figure size ...>, describes nothing.
            text = re.sub("^<.*", "", output.data.get("text/plain", ""), flags=re.DOTALL)
            output.metadata["ntviz_alt"] = (*alts, text or f"{section}: figure of cell {number}")[0]
    return shown


def _glance(facts: Manifest) -> list[str]:
    memory, gpu = facts.peak_memory_bytes, facts.gpu_peak_memory_bytes
    known = (
        facts.profile and f"profile {facts.profile}", facts.seconds is not None and _time(facts.seconds), facts.device,
        memory and f"{_size(memory)} of memory at the peak", gpu and f"{_size(gpu)} on the GPU",
    )  # fmt: skip
    return [str(text) for text in known if text]


def _error(facts: Manifest) -> dict[str, str] | None:
    if not facts.error:
        return None
    cell = facts.error.get("cell")
    place = f"in cell {cell} of the notebook" if cell else "outside of the notebook's cells"
    return {
        "where": f"{'Stopped' if facts.status == 'interrupted' else 'Failed'} {place}.",
        "anchor": "failed" if cell else "",
        "text": f"{facts.error['name']}: {facts.error['message']}",
    }


def _facts(facts: Manifest) -> list[tuple[str, str]]:
    rows = [("started", facts.started), ("ended", facts.ended or "")]
    for model in facts.models:
        keys = ("origin", "revision", "sha256", "weights_sha256", "licence", "dtype", "device")
        parts = [f"{key} {str(model[key])[: 16 if 'sha256' in key else None]}" for key in keys if model.get(key)]
        rows.append(("model", ", ".join([str(model.get("name", "?")), *parts])))
    for file in facts.data:
        about = file["sha256"] and f"{_size(file['bytes'])}, sha256 {file['sha256'][:16]}"
        rows.append(("data", f"{file['path']}, {about or 'a pipe, which is not kept'}"))
    rows += [("tables", ", ".join(facts.tables)), ("figures", ", ".join(facts.figures))]
    if git := facts.git:
        rows.append(("git commit", git["commit"] + _LOCAL * bool(git["modified"])))
    if machine := facts.machine:
        memory = f", {_size(machine['memory_bytes'])} of memory" if machine.get("memory_bytes") else ""
        rows.append(("machine", f"{machine.get('processor')}, {machine.get('cores')} cores{memory}"))
        rows += [("GPU", f"{gpu['name']}, {gpu['memory']}, driver {gpu['driver']}") for gpu in machine.get("gpus", [])]
    if ntviz := facts.ntviz:
        commit = f", commit {ntviz['commit']}{_LOCAL * bool(ntviz['modified'])}" if ntviz.get("commit") else ""
        rows.append(("ntviz", f"{ntviz.get('version')}{commit}"))
    for name, values in (("versions", facts.versions), ("environment", facts.environment), ("job", facts.job)):
        rows.append((name, ", ".join(f"{key} {value}" for key, value in values.items())))
    rows += [("kernel", facts.kernel), ("threads", str(facts.threads or "")), ("command", shlex.join(facts.command))]
    return [(name, value) for name, value in (*rows, ("notebook sha256", facts.notebook_sha256[:16])) if value]


def _size(count: float) -> str:
    from jinja2.filters import do_filesizeformat

    return do_filesizeformat(count)


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _finished(html: str) -> str:
    """The page with its contents list, a mark on the failed cell, and without anything that would be fetched."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser")
    _leave_out_external(soup)
    for cell in soup.select(".cell.failed"):
        cell["id"] = "failed"
    contents, headings = soup.select_one("nav.contents"), soup.select("main h2[id]")
    if contents is not None and len(headings) < 3:
        contents.decompose()
    elif contents is not None:
        contents.append(listing := soup.new_tag("ol"))
        for heading in headings:
            listing.append(item := soup.new_tag("li"))
            item.append(link := soup.new_tag("a", href=f"#{heading['id']}"))
            link.string = heading.get_text().removesuffix("¶").strip()
    for image in soup.select("img:not([alt]), img[alt='No description has been provided for this image']"):
        image["alt"] = "A picture that its author did not describe"
    return str(soup)


def _leave_out_external(soup: BeautifulSoup) -> None:
    for element in soup.select("[src], link[href], [srcset], [poster], object[data], [background]"):
        values = [str(element[name]) for name in _LOADED if element.get(name)]
        if outside := [value for value in values if not value.startswith("data:")]:
            note = soup.new_tag("span", attrs={"class": "omitted"})
            note.string = f"(left out, since it is not in this file: {outside[0]})"
            element.replace_with(note)
    for element in soup.select("[style]"):
        element["style"] = _FETCHED.sub("none", str(element["style"]))
    for element in soup.select("main style"):
        element.string = _FETCHED.sub("none", element.get_text())
