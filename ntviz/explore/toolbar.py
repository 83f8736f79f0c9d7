"""What all explorers share: a toolbar around one live plotly figure in JupyterLab, and the static figure everywhere else.

An explorer keeps its state in Python and draws it with `figure()`. `widget` is an ordinary ipywidgets box: observe it, put it
beside another, link two of them.
"""

from __future__ import annotations

import contextlib
import gzip
import html
import re
import tempfile
from collections.abc import Callable, Collection, Generator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz import plot
from ntviz.annotation import Annotation, named
from ntviz.environment import atomic_write

if TYPE_CHECKING:
    import ipywidgets
    import pandas as pd
    import plotly.graph_objects as go

    from ntviz.plot.live import Live

_ERRORS = (ValueError, TypeError, KeyError, MemoryError, RuntimeError, OSError, EOFError)
"""What a person can cause: answered in the toolbar, where a traceback in the log would help nobody."""


def elements_of(name: str, text: str, taken: Collection[str]) -> dict[str, Annotation]:
    """Elements of a file that a person added, from its name and text, as `annotation.named` names them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / (Path(name).name or "elements.bed")
        file.write_text(text, encoding="utf-8")
        return named(file, taken=taken)


class Explorer:
    """A view that can be moved; what moves it is a method, and the toolbar calls the same methods.

    An explorer gives `figure`, `table`, `code`, `where`, `_go` and `_whole`, and of the rest what it needs.
    """

    # What each explorer gives ------------------------------------------------------------------------------------------

    def figure(self) -> go.Figure:
        """The view as a static figure; its alt sentence says what is seen."""
        raise TypeError("An explorer must say how it draws its view.")

    def table(self) -> pd.DataFrame:
        """The numbers of the view."""
        raise TypeError("An explorer must say what its numbers are.")

    def code(self) -> str:
        """Python that reproduces the view."""
        raise TypeError("An explorer must say how its view is reproduced.")

    @property
    def where(self) -> str:
        """The place that is shown, as a person types it."""
        raise TypeError("An explorer must say where it is.")

    def _go(self, what: Any) -> None:
        """Move to a place; ValueError leaves everything as it was."""
        raise TypeError("An explorer must say how it moves.")

    def _whole(self) -> None:
        """Show the whole of the place again."""

    def _state(self) -> Any:
        """What `back` returns to: anything that `_restore` takes."""
        return self.where

    def _restore(self, state: Any) -> None:
        self._go(state)

    def add_file(self, name: str, text: str) -> str:
        """Add a file's elements by its name and text; what was read, in words."""
        raise ValueError("Files cannot be added to this view. Pass beds= when it is made.")

    def controls(self) -> Sequence[ipywidgets.Widget]:
        """More widgets of the toolbar, in a second row; they call `update` when they changed something."""
        return ()

    def sync(self) -> None:
        """Bring the widgets of `controls` up to the state, after `go` or `back`."""

    def clicked(self, event: dict[str, Any]) -> None:
        """A click on a point of the figure: trace, x, y, z, index."""

    def zoomed(self, ranges: dict[str, list[float]]) -> None:
        """The page shows other ranges, by axis."""

    def drawn(self) -> go.Figure:
        """The figure for the page, where it keeps its own zoom: as `figure`, unless axes should be those of the whole."""
        return self.figure()

    # Moving -----------------------------------------------------------------------------------------------------------

    def go(self, what: Any) -> None:
        """Go to a place: a gene, a region (1-based, both ends included), a variant, an Interval.

        Raises
        ------
        ValueError
            The place cannot be found; the view stays as it was.
        """
        before = self._state()
        self._go(what)
        self._visited.append(before)
        self.update(whole=True)

    def back(self) -> None:
        """Return to where one was before the last `go`; nothing happens at the beginning."""
        if self._visited:
            self._restore(self._visited.pop())
            self.update(whole=True)

    def whole(self) -> None:
        """Show the whole of the present place."""
        self._whole()
        self.update(whole=True)

    @cached_property
    def _visited(self) -> list[Any]:
        return []

    # Showing ----------------------------------------------------------------------------------------------------------

    @cached_property
    def live(self) -> Live:
        """The live figure inside `widget`."""
        from ntviz.plot.live import Live

        made = Live(self.drawn())
        made.on("click", lambda event: self._doing(lambda: self.clicked(event)))
        made.on("ranges", lambda event: self._doing(lambda: self.zoomed(event["ranges"])))
        return made

    @cached_property
    def toolbar(self) -> Toolbar:
        """The widgets above the live figure."""
        return Toolbar(self)

    @cached_property
    def widget(self) -> ipywidgets.VBox:
        """Toolbar and live figure, for JupyterLab."""
        import ipywidgets

        self.toolbar.sync()
        return ipywidgets.VBox([self.toolbar.box, self.live, self.toolbar.message])

    def update(self, *, whole: bool = False) -> None:
        """Draw the state anew where it is live; the zoom stays unless `whole`."""
        if "live" in self.__dict__:
            self.live.show(self.drawn(), whole=whole)
        if "toolbar" in self.__dict__:
            self.toolbar.sync()

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Put words under the live figure."""
        if "toolbar" in self.__dict__:
            self.toolbar.say(text, wrong=wrong)

    def _doing(self, act: Callable[[], Any]) -> None:
        """Do what a person asked for; what goes wrong is said in place."""
        try:
            act()
        except _ERRORS as error:
            self.say(str(error.args[0] if isinstance(error, KeyError) and error.args else error), wrong=True)

    def save(self, path: Any) -> Path:
        """The path that the view was written to, in the format that the ending names.

        Parameters
        ----------
        path
            Ends in .html (opens offline, zooms), .json (plotly), .tsv (`table`), .py (`code`), or .svg, .png, .pdf (by kaleido
            and a Chromium).

        Raises
        ------
        ValueError
            The ending is none of these, or a picture is asked for where kaleido or a Chromium is missing.
        OSError
            The file cannot be written; what was there before stays.
        """
        path = Path(path)
        kind = path.suffix.lower()
        if kind not in (".tsv", ".py"):
            if kind not in plot.FORMATS:
                raise ValueError(
                    f"A view must be saved as one of {', '.join([*plot.FORMATS, '.py'])}; received {path.name!r}. Change the "
                    "ending of the file name."
                )
            return plot.save(self.figure(), path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, "w") as handle:
            handle.write(self.tsv() if kind == ".tsv" else self.code())
        return path

    def tsv(self) -> str:
        """The table as text; its first lines say what it is."""
        said = f"{plot.alt(self.figure())} Starts and ends are 0-based, half-open."
        return f"# {said}\n{self.table().to_csv(sep=chr(9), index=False)}"

    def _ipython_display_(self) -> None:
        from ntviz.plot.live import attended, present

        if attended():
            present(self.widget, self.live)
        else:
            self.figure().show()


class Toolbar:
    """Place box, back, whole, add file, save, code, and what an explorer adds; a line for messages."""

    def __init__(self, explorer: Explorer) -> None:
        import ipywidgets as w

        self.explorer = explorer
        self._syncing = False
        self.place = w.Text(explorer.where, description="Place", placeholder="a gene, a region or a variant", continuous_update=False,
                            tooltip="A gene, a region such as chr20:43,029,701-43,031,200, or a variant", layout=w.Layout(width="340px"))  # fmt: skip
        back, whole, code = (self._button(text, tip) for text, tip in (
            ("Back", "Where you were before"), ("Whole", "The whole of this place"), ("Code", "Python that reproduces this view"),
        ))  # fmt: skip
        back.on_click(lambda _: explorer._doing(explorer.back))
        whole.on_click(lambda _: explorer._doing(explorer.whole))
        code.on_click(lambda _: self.show_code())
        self.file = w.FileUpload(description="Add file", multiple=False, accept=".bed,.gff,.gff3,.gtf,.narrowPeak,.broadPeak,.bedgraph,.gz")
        self.file.layout.width = "110px"
        self.save = w.Dropdown(options=[("Save as …", ""), *((ending, ending) for ending in (".html", ".json", ".tsv"))],
                               layout=w.Layout(width="110px"), tooltip="SVG and PNG: the camera above the figure")  # fmt: skip
        self.message = w.HTML()
        self.message.add_class("ntviz-message")
        row = w.HBox([self.place, back, whole, self.file, self.save, code], layout=w.Layout(flex_flow="row wrap"))
        more = w.HBox(list(explorer.controls()), layout=w.Layout(flex_flow="row wrap"))
        self.box = w.VBox([row, more])
        self.place.observe(self._typed, "value")
        self.file.observe(self._added, "value")
        self.save.observe(self._saved, "value")

    @staticmethod
    def _button(text: str, tip: str) -> ipywidgets.Button:
        import ipywidgets as w

        return w.Button(description=text, tooltip=tip, layout=w.Layout(width="70px"))

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Words under the figure; text from people and files is escaped here."""
        style = "border-left:4px solid #b34a00;padding-left:8px" if wrong else ""
        self.message.value = f'<div role="status" style="line-height:1.45;max-width:900px;{style}">{html.escape(text)}</div>'

    def show_code(self) -> None:
        """Put the code of the view under the figure, to be copied."""
        self.message.value = f'<pre style="line-height:1.35;user-select:all">{html.escape(self.explorer.code())}</pre>'

    @contextlib.contextmanager
    def quiet(self) -> Generator[None]:
        """Widgets are set from the state: what they report then is no wish of a person."""
        self._syncing, before = True, self._syncing
        try:
            yield
        finally:
            self._syncing = before

    @property
    def syncing(self) -> bool:
        """Whether widgets are being set from the state."""
        return self._syncing

    def sync(self) -> None:
        """Show where one is."""
        with self.quiet():
            self.place.value = self.explorer.where
            self.explorer.sync()

    def _typed(self, change: dict[str, Any]) -> None:
        if self._syncing or change["new"] == self.explorer.where:
            return
        self.say("…")
        self.explorer._doing(self._went)
        self.sync()

    def _went(self) -> None:
        self.explorer.go(self.place.value)
        self.say("")

    def _added(self, change: dict[str, Any]) -> None:
        for file in change["new"]:
            self.explorer._doing(lambda file=file: self._read(file))

    def _read(self, file: Any) -> None:
        name, content = file["name"], bytes(file["content"])
        if content[:2] == b"\x1f\x8b":
            name, content = name.removesuffix(".gz"), gzip.decompress(content)
        said = self.explorer.add_file(name, content.decode("utf-8", "replace"))
        self.explorer.update()
        self.say(said)

    def _saved(self, change: dict[str, Any]) -> None:
        ending = change["new"]
        if not ending:
            return
        name = re.sub(r"[^\w.-]+", "_", self.explorer.where).strip("_") or "view"
        self.explorer._doing(lambda: self.say(f"Saved {self.explorer.save(Path.cwd() / (name + ending))}"))
        self.save.value = ""
