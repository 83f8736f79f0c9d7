"""What all explorers share: a toolbar around one live plotly figure in JupyterLab, and the static figure everywhere else."""

from __future__ import annotations

import asyncio
import gzip
import html
import re
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, Button, Dropdown, FileUpload, HBox, Text, VBox, Widget

from ntviz import plot
from ntviz.annotation import Annotation, named
from ntviz.attention.blocks import layers_of
from ntviz.storage import atomic_write

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from ntviz.plot.live import Live

ERRORS = (ValueError, TypeError, KeyError, MemoryError, RuntimeError, ImportError, OSError, EOFError)
"""What a person can cause: answered in place, where a traceback in the log would help nobody."""


@contextmanager
def as_file(name: str, text: str) -> Generator[Path]:
    """A file that a person added, for as long as it takes to read it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / (Path(name).name or "elements.bed")
        file.write_text(text, encoding="utf-8")
        yield file


def add_elements(name: str, text: str, kinds: Sequence[str], beds: dict[str, Annotation], say: Callable[[str], str]) -> str:  # fmt: skip
    """Elements of a file, named beside `kinds` and `beds` and put into `beds`; how many and what `say` adds, in words."""
    with as_file(name, text) as file:
        new = named(file, taken={*kinds, *beds})
    beds.update(new)
    said = [f"{name}: {len(one):,} features{say(name)}." for name, one in new.items()]
    return " ".join([*said, *(one.note for one in new.values() if one.note)])


def checked_head(model: Any, layer: int, head: int) -> tuple[int, int]:
    """A head as two whole numbers; ValueError where the model has no such head."""
    if not (0 <= layer < layers_of(model) and 0 <= head < model.heads):
        size = f"{layers_of(model)} layers by {model.heads} heads"
        raise ValueError(f"A head must be one of {size}, numbered from 0; received ({layer}, {head}).")
    return int(layer), int(head)


class Explorer:
    """A view that can be moved; what moves it is a method, and the toolbar calls the same methods.

    Each explorer gives `figure()`, static, with an alt sentence; `table()`, its numbers; `code()`, Python that reproduces it; `where`,
    the place as a person types it; `add_file(name, text)`, which says what was read; `_go(what)`, where a ValueError changes nothing.
    """

    _visited: tuple[Any, ...] = ()
    _turn = 0

    def _whole(self) -> None:
        """Show the whole of the place again."""

    def _state(self) -> Any:
        """What `back` returns to: anything that `_restore` takes."""
        return self.where

    def _restore(self, state: Any) -> None:
        self._go(state)

    def controls(self) -> Sequence[Widget]:
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

    def go(self, what: Any) -> None:
        """Go to a gene, a region (1-based, both ends included), a variant, an Interval; a ValueError leaves the view as it was."""
        before = self._state()
        self._go(what)
        self._visited = (*self._visited, before)
        self.say("")
        self.update(whole=True)

    def back(self) -> None:
        """Return to where one was before the last `go`; nothing happens at the beginning."""
        if self._visited:
            *before, state = self._visited
            self._visited = tuple(before)
            self._restore(state)
            self.update(whole=True)

    def whole(self) -> None:
        """Show the whole of the present place."""
        self._whole()
        self.update(whole=True)

    @cached_property
    def live(self) -> Live:
        """The live figure inside `widget`."""
        from ntviz.plot.live import Live

        live = Live(self.drawn())
        live.on("click", lambda event: self._doing(lambda: self.clicked(event)))
        live.on("ranges", lambda event: self._doing(lambda: self.zoomed(event["ranges"])))
        return live

    @cached_property
    def toolbar(self) -> Toolbar:
        """The widgets above the live figure."""
        return Toolbar(self)

    @cached_property
    def widget(self) -> VBox:
        """Toolbar and live figure, for JupyterLab: an ordinary box of ipywidgets, to observe, put beside another, or link."""
        self.toolbar.sync()
        box = VBox([self.toolbar.box, self.live, self.toolbar.message])
        self._fill()
        return box

    def update(self, *, whole: bool = False) -> None:
        """Draw the state anew where it is live, with what there is at once, and compute the rest; the zoom stays unless `whole`."""
        if "live" in self.__dict__:
            self.live.show(self.drawn(), whole=whole)
        if "toolbar" in self.__dict__:
            self.toolbar.sync()
        if "live" in self.__dict__:
            self._fill()

    def _step(self) -> bool:
        """Compute one part that the live figure lacks, and draw it; whether there is more to do."""
        return False

    def _fill(self) -> None:
        """Compute what the live figure lacks, a part at a time; in between the kernel answers the page and runs other cells."""
        turn = self._turn = self._turn + 1
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            while self._doing(self._step):
                pass
            return

        def step() -> None:
            if turn == self._turn and self._doing(self._step):
                loop.call_later(0.005, step)

        loop.call_later(0.005, step)

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Put words under the live figure; text from people and files is escaped here."""
        if "toolbar" in self.__dict__:
            style = "border-left:4px solid #b34a00;padding-left:8px" if wrong else ""
            self.toolbar.message.value = (
                f'<div role="status" style="line-height:1.45;max-width:900px;{style}">{html.escape(text)}</div>'
            )

    def _doing(self, act: Callable[[], Any]) -> Any:
        """Do what a person asked for; what goes wrong is said in place, and gives None."""
        try:
            return act()
        except ERRORS as error:
            self.say(str(error.args[0] if isinstance(error, KeyError) and error.args else error), wrong=True)

    def save(self, path: Any) -> Path:
        """The path that the view was written to: .tsv is `table`, .py is `code`; other endings and errors as `plot.save`."""
        text = {".tsv": self.tsv, ".py": self.code}.get(Path(path).suffix.lower())
        if text is None:
            return plot.save(self.figure(), path)
        with atomic_write(path, "w") as handle:
            handle.write(text())
        return Path(path)

    def tsv(self) -> str:
        """The table as text; its first line says what it is."""
        said = f"# {plot.alt(self.figure())} Starts and ends are 0-based, half-open.\n"
        return said + self.table().to_csv(sep="\t", index=False)

    def _ipython_display_(self) -> None:
        from ntviz.plot.live import attended, present

        if attended():
            present(self.widget, self.live)
        else:
            self.figure().show()


class Toolbar:
    """Place box, back, whole, add file, save, code, and what an explorer adds, in `box`; a line for messages, `message`."""

    def __init__(self, explorer: Explorer) -> None:
        # What widgets report while they are set from the state is no wish of a person.
        self.explorer, self.syncing = explorer, False
        self.place = Text(explorer.where, description="Place", placeholder="a gene, a region or a variant", continuous_update=False,
                          tooltip="HNF4A, chr20:43,029,701-43,031,200 or chr20:43,042,364 C>T", layout={"width": "340px"})  # fmt: skip
        self.file = FileUpload(description="Add file", accept=".bed,.gff,.gff3,.gtf,.narrowPeak,.broadPeak,.bedgraph,.gz",
                               layout={"width": "110px"})  # fmt: skip
        self.save = Dropdown(options=[("Save as …", ""), *((ending, ending) for ending in (".html", ".json", ".tsv"))],
                             layout={"width": "110px"}, tooltip="SVG and PNG: the camera above the figure")  # fmt: skip
        buttons = []
        for text, tip, act in (("Back", "Where you were before", explorer.back), ("Whole", "The whole of this place", explorer.whole),
                               ("Code", "Python that reproduces this view", self.show_code)):  # fmt: skip
            buttons.append(Button(description=text, tooltip=tip, layout={"width": "70px"}))
            buttons[-1].on_click(lambda _, act=act: explorer._doing(act))
        self.message = HTML()
        self.message.add_class("ntviz-message")
        rows = [self.place, *buttons[:2], self.file, self.save, buttons[2]], explorer.controls()
        self.box = VBox([HBox(list(row), layout={"flex_flow": "row wrap"}) for row in rows])
        self.place.observe(self._typed, "value")
        self.file.observe(self._added, "value")
        self.save.observe(self._saved, "value")

    def show_code(self) -> None:
        """Put the code of the view under the figure, to be copied."""
        code = html.escape(self.explorer.code())
        self.message.value = f'<pre style="line-height:1.35;user-select:all">{code}</pre>'

    def sync(self) -> None:
        """Show where one is."""
        self.syncing, before = True, self.syncing
        try:
            self.place.value = self.explorer.where
            self.explorer.sync()
        finally:
            self.syncing = before

    def _typed(self, change: dict[str, Any]) -> None:
        if not self.syncing and change["new"] != self.explorer.where:
            self.explorer.say("…")
            self.explorer._doing(lambda: self.explorer.go(change["new"]))
            self.sync()

    def _added(self, change: dict[str, Any]) -> None:
        for file in change["new"]:
            self.explorer._doing(partial(self._read, file["name"], bytes(file["content"])))

    def _read(self, name: str, content: bytes) -> None:
        if content[:2] == b"\x1f\x8b":
            name, content = name.removesuffix(".gz"), gzip.decompress(content)
        said = self.explorer.add_file(name, content.decode("utf-8", "replace"))
        self.explorer.update()
        self.explorer.say(said)

    def _saved(self, change: dict[str, Any]) -> None:
        if change["new"]:
            name = re.sub(r"[^\w.-]+", "_", self.explorer.where).strip("_") or "view"
            path = Path.cwd() / f"{name}{change['new']}"
            self.explorer._doing(lambda: self.explorer.say(f"Saved {self.explorer.save(path)}"))
            self.save.value = ""
