"""The HTML report of a run: one file that needs no network, with the code folded and the manifest's facts on top."""

from __future__ import annotations

import logging
import re
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz.environment.reporting import duration
from ntviz.runs.manifest import Manifest

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag
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
_SHOWN = [
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/latex",
    "text/plain",
]
WORDS = {
    "ok": "Finished",
    "failed": "Failed",
    "interrupted": "Interrupted",
    "running": "Still running",
    "live": "Run by hand",
}
_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$", re.MULTILINE)
_MARKUP = re.compile(r"[*_`]")
# What a style would fetch: everything but data within the file and references within the page.
_FETCHED = re.compile(r"""@import[^;]*;?|url\(\s*(?!["']?\s*(?:data:|\#))[^)]*\)""", re.IGNORECASE)


def title_of(notebook: NotebookNode) -> str:
    """The first heading of the first level, without its markup; empty without one."""
    for cell in notebook.cells:
        for level, text in _HEADING.findall(cell.source) if cell.cell_type == "markdown" else ():
            if level == "#":
                return _MARKUP.sub("", text)
    return ""


def render(notebook: NotebookNode, facts: Manifest) -> str:
    """The report of an executed notebook as one HTML document.

    Parameters
    ----------
    notebook
        Executed, as far as it got; it is not changed.
    facts
        Its manifest.
    """
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    shown = _annotated(notebook, facts)
    exporter = HTMLExporter(
        extra_template_basedirs=[str(TEMPLATE.parent)],
        template_name=TEMPLATE.name,
        embed_images=True,
        config=Config(NbConvertBase={"display_data_priority": _SHOWN}),
        log=_LOG,
    )
    css = (TEMPLATE / "report.css").read_text(encoding="utf-8")
    html, _ = exporter.from_notebook_node(shown, {"run": _summary(facts), "css": css, "policy": POLICY})
    return _finished(html)


def _annotated(notebook: NotebookNode, facts: Manifest) -> NotebookNode:
    """A copy whose cells know their number, label and section, and whose pictures know their alt text."""
    shown = deepcopy(notebook)
    shown.metadata.pop("widgets", None)
    section = facts.title
    titled = False
    for number, cell in enumerate(shown.cells, start=1):
        if cell.cell_type == "markdown":
            section = next((_MARKUP.sub("", text) for _, text in _HEADING.findall(cell.source)), section)
            if not titled and title_of(shown) and _HEADING.search(cell.source):
                # The page's own header shows the title already.
                cell.source = re.sub(r"^#\s+.+$", "", cell.source, count=1, flags=re.MULTILINE)
                titled = True
            continue
        failed = (
            facts.error is not None and facts.error.get("cell_id") == cell.get("id") and facts.status != "ok"
        )
        tags = cell.metadata.get("tags", [])
        label = (
            "Parameters"
            if "parameters" in tags
            else "Set by this run"
            if "injected-parameters" in tags
            else "Code"
        )
        cell.metadata["ntviz"] = {"number": number, "label": label, "failed": failed}
        for output in cell.get("outputs", []):
            if "data" in output:
                _represent(output, section, number)
    return shown


def _represent(output: NotebookNode, section: str, number: int) -> None:
    if not any(kind in output.data for kind in _SHOWN):
        kinds = ", ".join(output.data) or "no data"
        output.data["text/plain"] = f"(an output that cannot be shown in a report: {kinds})"
    for kind in ("image/png", "image/svg+xml", "image/jpeg"):
        declared = output.metadata.get(kind, {})
        if isinstance(declared, dict) and declared.get("alt"):
            output.metadata["ntviz_alt"] = declared["alt"]
            return
    words = output.data.get("text/plain", "")
    # matplotlib's own words say nothing about the picture.
    output.metadata["ntviz_alt"] = (
        words if words and not words.startswith("<") else f"{section}: figure of cell {number}"
    )


def _summary(facts: Manifest) -> dict[str, Any]:
    glance = [f"profile {facts.profile}"] if facts.profile else []
    if facts.seconds is not None:
        glance.append(f"{facts.seconds:.1f} s" if facts.seconds < 60 else duration(facts.seconds))
    glance += [facts.device] if facts.device else []
    if facts.peak_memory_bytes:
        glance.append(f"{_size(facts.peak_memory_bytes)} of memory at the peak")
    if facts.gpu_peak_memory_bytes:
        glance.append(f"{_size(facts.gpu_peak_memory_bytes)} on the GPU")
    return {
        "notebook": facts.notebook,
        "title": facts.title or facts.notebook,
        "status": facts.status,
        "status_words": WORDS[facts.status],
        "glance": glance,
        "error": _error(facts),
        "answer": facts.answer,
        "chips": list(facts.chips.items()),
        "notes": facts.notes,
        "metrics": [
            (name, _figure(value))
            for name, value in facts.metrics.items()
            if not isinstance(value, list | dict)
        ],
        "parameters": [
            {"name": name, "value": repr(value), "given": name in facts.given}
            for name, value in facts.parameters.items()
        ],
        "given": [name for name in facts.given if name in facts.parameters],
        "facts": _facts(facts),
    }


def _error(facts: Manifest) -> dict[str, str] | None:
    if not facts.error:
        return None
    cell = facts.error.get("cell")
    stopped = "Stopped" if facts.status == "interrupted" else "Failed"
    return {
        "where": f"{stopped} in cell {cell} of the notebook."
        if cell
        else f"{stopped} outside of the notebook's cells.",
        "anchor": "failed" if cell else "",
        "text": f"{facts.error['name']}: {facts.error['message']}",
    }


def _facts(facts: Manifest) -> list[tuple[str, str]]:
    rows = [("started", facts.started), ("ended", facts.ended or "")]
    for model in facts.models:
        parts = [str(model.get("name", "?"))]
        for key in ("origin", "revision", "sha256", "weights_sha256", "licence", "dtype", "device"):
            if model.get(key):
                value = str(model[key])
                parts.append(f"{key} {value[:16] if 'sha256' in key else value}")
        rows.append(("model", ", ".join(parts)))
    rows += [
        ("data", f"{item['path']}, {_size(item['bytes'])}, sha256 {item['sha256'][:16]}")
        for item in facts.data
    ]
    rows += [("tables", ", ".join(facts.tables)), ("figures", ", ".join(facts.figures))]
    if facts.git:
        rows.append(
            ("git commit", facts.git["commit"] + (", with local changes" if facts.git["modified"] else ""))
        )
    if facts.machine:
        machine = facts.machine
        memory = f", {_size(machine['memory_bytes'])} of memory" if machine.get("memory_bytes") else ""
        rows.append(("machine", f"{machine.get('processor')}, {machine.get('cores')} cores{memory}"))
        rows += [
            ("GPU", f"{gpu['name']}, {gpu['memory']}, driver {gpu['driver']}")
            for gpu in machine.get("gpus", [])
        ]
    rows.append(("kernel", facts.kernel))
    rows.append(("versions", ", ".join(f"{name} {version}" for name, version in facts.versions.items())))
    rows.append(("notebook sha256", facts.notebook_sha256[:16]))
    return [(name, value) for name, value in rows if value]


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _figure(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return (
        f"{value:,}"
        if isinstance(value, int)
        else f"{value:,.4g}"
        if abs(value) < 10_000
        else f"{value:,.0f}"
    )


def _finished(html: str) -> str:
    """The page with its contents list, a mark on the failed cell, and without anything that would be fetched."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser")
    _leave_out_external(soup)
    for cell in soup.select(".cell.failed"):
        cell["id"] = "failed"
    for contents in soup.select("nav.contents"):
        _list_contents(soup, contents)
    for image in soup.select("img:not([alt]), img[alt='No description has been provided for this image']"):
        image["alt"] = "A picture that its author did not describe"
    return str(soup)


def _list_contents(soup: BeautifulSoup, contents: Tag) -> None:
    headings = soup.select("main h2[id]")
    if len(headings) < 3:
        contents.decompose()
        return
    listing = soup.new_tag("ol")
    for heading in headings:
        link = soup.new_tag("a", href=f"#{heading['id']}")
        link.string = heading.get_text().removesuffix("¶").strip()
        item = soup.new_tag("li")
        item.append(link)
        listing.append(item)
    contents.append(listing)


def _leave_out_external(soup: BeautifulSoup) -> None:
    for element in soup.select("[src], link[href], [srcset], [poster], object[data], [background]"):
        names = [
            name for name in ("src", "href", "srcset", "poster", "data", "background") if element.get(name)
        ]
        outside = [str(element[name]) for name in names if not str(element[name]).startswith("data:")]
        if outside:
            note = soup.new_tag("span", attrs={"class": "omitted"})
            note.string = f"(left out, since it is not in this file: {outside[0]})"
            element.replace_with(note)
    for element in soup.select("[style]"):
        element["style"] = _FETCHED.sub("none", str(element["style"]))
    for element in soup.select("main style"):
        element.string = _FETCHED.sub("none", element.get_text())
