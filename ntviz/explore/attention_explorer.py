"""`explore.attention`: type a gene, click a head, zoom to single tokens; the same call is a full static figure elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.annotation import Annotation, Beds, named
from ntviz.explore.places import first_gene
from ntviz.explore.scan import Cells
from ntviz.explore.session import CONTRAST, Look, Sources, trained_on, widened
from ntviz.explore.toolbar import Explorer, elements_of
from ntviz.reference import Reference

if TYPE_CHECKING:
    import ipywidgets
    import pandas as pd
    import plotly.graph_objects as go

TABLE = 500
"""Pairs of a table at most."""
MOST = 256
"""Cells along each side of a map at most; a longer view is pooled to it by maxima."""
SCALES = ("sqrt", "linear", "log")


def attention(
    model: Any,
    reference: Reference,
    annotation: Annotation,
    *,
    at: Any = None,
    head: tuple[int, int] | None = None,
    beds: Beds = (),
    atlas: Any = None,
    window: int | None = None,
) -> AttentionExplorer:
    """An explorer of a model's attention: live in JupyterLab, a static figure that is as informative elsewhere.

    Parameters
    ----------
    model
        A `models.DNAModel`. One with rotary positions may be read beyond the length it was trained on; the explorer says
        so where it is.
    reference
        Bases.
    annotation
        Genes, and elements for the tracks.
    at
        A gene, a region (text is 1-based, both ends included; or an Interval), or a variant; the annotation's first
        gene when None.
    head
        (layer, head) to begin with, zero-based. When None, the one that differs most from its control: the entropies of
        its queries here against those in four dinucleotide-shuffled sequences, by the Kolmogorov-Smirnov distance, less
        the distance between the shuffled sequences themselves.
    beds
        More elements, as `annotation.named` takes them: a path, several, or paths or Annotations by name.
    atlas
        An `attention.Atlas`, whose scores then colour the heads as well.
    window
        bp read around the start of a gene, a variant or a short region; `model.max_bp` when None.

    Raises
    ------
    ValueError
        The place cannot be found, or there is no such head.
    FileNotFoundError
        A file of `beds` is not there.
    """
    wide, longest = widened(model)
    own = named(beds, taken=annotation.kinds)
    sources = Sources(wide, trained_on(model), longest, window or model.max_bp, reference, annotation, own, atlas)
    return AttentionExplorer(sources, first_gene(reference, annotation) if at is None else at, head)


class AttentionExplorer(Explorer):
    """A view of one head at one place, which can be moved: by hand in JupyterLab, by `go`, `choose` and `zoom` in code.

    Attributes
    ----------
    look
        The place, its tokens, tracks and scores of heads.
    layer, head
        Zero-based.
    query, key
        Visible tokens, first and after the last. Special tokens are not among them.
    allele
        "reference", "alternative" or "difference".
    scale
        From weight to colour: "sqrt", "linear" or "log" (three powers of ten).
    score
        Name of the score that colours the heads, one of `look.scores`.
    """

    def __init__(self, sources: Sources, at: Any, head: tuple[int, int] | None = None) -> None:
        self.sources = sources
        self.allele, self.scale, self.score = "reference", SCALES[0], CONTRAST
        self._drawn: tuple[Any, Cells] | None = None
        self._picked = head is not None
        self.layer, self.head = (0, 0) if head is None else self._known(*head)
        self._go(at)

    def __repr__(self) -> str:
        return f"{self._title}. {self.look.note}"

    @property
    def _title(self) -> str:
        look = self.look
        allele = "" if self.allele == "reference" else f", {self.allele}"
        return f"{self.sources.model.name} at {look.place.name}: layer {self.layer}, head {self.head}{allele}"

    # Moving -----------------------------------------------------------------------------------------------------------

    @property
    def where(self) -> str:
        """The place that is shown, as a person types it."""
        return self.look.place.name

    def _go(self, what: Any) -> None:
        self.look: Look = self.sources.at(what)
        self.allele = "reference"
        if not self._picked:
            self.layer, self.head = self.look.telling
        self._whole()

    def _whole(self) -> None:
        scan = self.look.scans["reference"]
        self.query = self.key = (scan.first, scan.n)
        # What a double click returns to: a zoom by mouse leaves it.
        self._home = self.query, self.key

    def _state(self) -> Any:
        return self.look, self.layer, self.head, self.query, self.key, self.allele, self._picked

    def _restore(self, state: Any) -> None:
        self.look, self.layer, self.head, self.query, self.key, self.allele, self._picked = state
        self._home = self.query, self.key

    def _known(self, layer: int, head: int) -> tuple[int, int]:
        model = self.sources.model
        if not (0 <= layer < model.layers and 0 <= head < model.heads):
            raise ValueError(
                f"A head must be one of {model.layers} layers by {model.heads} heads, numbered from 0; received "
                f"({layer}, {head}). Choose one of these."
            )
        return int(layer), int(head)

    def choose(self, layer: int, head: int) -> None:
        """Look at another head.

        Raises
        ------
        ValueError
            There is no such head.
        """
        self.layer, self.head = self._known(layer, head)
        self._picked = True
        self.update()

    def zoom(self, query: tuple[int, int], key: tuple[int, int]) -> None:
        """Show a window of tokens, first and after the last, cut to what there is."""
        self._cut(query, key)
        self._home = self.query, self.key
        self.update(whole=True)

    def _cut(self, query: tuple[int, int], key: tuple[int, int]) -> None:
        scan = self.look.scans["reference"]
        cut = []
        for low, high in (query, key):
            low = int(np.clip(low, scan.first, scan.n - 1))
            cut.append((low, int(np.clip(high, low + 1, scan.n))))
        self.query, self.key = cut

    def zoomed(self, ranges: dict[str, list[float]]) -> None:
        """Draw what the page shows now, at full resolution where it fits."""
        places = self.look.tokens.on(self.look.interval)
        shown = []
        for axis in ("yaxis3", "xaxis"):
            low, high = np.sort(ranges[axis]) - 0.5
            inside = np.flatnonzero((places[:, 0] < high) & (places[:, 1] > low) & (places[:, 1] > places[:, 0]))
            shown.append((int(inside[0]), int(inside[-1]) + 1) if inside.size else self._home[len(shown)])
        if shown != [self.query, self.key]:
            self._cut(*shown)
            self.update()

    def clicked(self, event: dict[str, Any]) -> None:
        """Choose a clicked head, or say what a clicked cell is."""
        if self.live.still.data[event["trace"]].yaxis in ("y4", "y5"):
            self.choose(int(event["y"]), int(event["x"]))
            self.say("")
        elif self.live.still.data[event["trace"]].yaxis == "y3":
            places, cells = self.look.tokens.on(self.look.interval), self.cells
            tokens = []
            for at, (first, last), pool in zip((event["y"], event["x"]), (cells.query, cells.key), cells.pool, strict=True):
                inside = np.flatnonzero((places[first:last, 0] < at - 0.5) & (places[first:last, 1] >= at - 0.5))
                tokens.append(int(inside[0]) // pool)
            self.say(self._pair(*cells.pair(*tokens), float(cells.values[tuple(tokens)])))

    # Reading ----------------------------------------------------------------------------------------------------------

    @property
    def weights(self) -> np.ndarray:
        """Exact weights [query, key] of the view."""
        return self.look.weights(self.layer, self.head, self.query, self.key, self.allele)

    @property
    def cells(self) -> Cells:
        """The view in at most 256 cells a side, each with the weight of its tokens that is farthest from zero."""
        asked = (id(self.look), self.layer, self.head, self.query, self.key, self.allele)
        if self._drawn is None or self._drawn[0] != asked:
            found = self.look.cells(*asked[1:5], most=(MOST, MOST), allele=self.allele)
            self._drawn = asked, found
        return self._drawn[1]

    def _pair(self, query: int, key: int, weight: float) -> str:
        """A pair of tokens in words: places, bases and weight, and what the other allele has there."""
        from ntviz.plot.words import number, span

        look, bases = self.look, self.look.bases(self.allele)
        at = look.tokens.on(look.interval)
        query_at, key_at = (f"{span(*at[i])} ({bases[slice(*look.tokens.spans[i])]})" for i in (query, key))
        even = 1 / len(look.tokens)
        said = f"query {query_at} on key {key_at}, weight {number(weight)}"
        if self.allele == "reference":
            return f"{said}, {number(weight / even)} times an even share"
        both = (look.weights(self.layer, self.head, (query, query + 1), (key, key + 1), name)[0, 0] for name in look.alleles[:2])
        return said + " (reference {}, alternative {})".format(*(number(float(one)) for one in both))

    def add_file(self, name: str, text: str) -> str:
        """Add elements from the text of a BED or GFF file; what was read, in words.

        Raises
        ------
        ValueError
            Nothing of it can be read.
        """
        new = elements_of(name, text, {*self.sources.annotation.kinds, *self.sources.beds})
        self.sources.beds.update(new)
        for part in ("elements", "scores", "_seen"):
            self.look.__dict__.pop(part, None)
        if "toolbar" in self.__dict__:
            self.sync()
        here = [f"{name}: {len(one):,} features, {int(self.look.elements[name].sum()):,} bp of this window." for name, one in new.items()]
        return " ".join([*here, *(one.note for one in new.values() if one.note)])

    def table(self) -> pd.DataFrame:
        """The strongest pairs of the view, at most 500: places 0-based half-open, bases, weight."""
        import pandas as pd

        look, weights = self.look, self.weights
        order = np.argsort(-np.abs(weights), axis=None, kind="stable")[:TABLE]
        query, key = np.unravel_index(order, weights.shape)
        places, bases = look.tokens.on(look.interval), look.bases(self.allele)
        columns: dict[str, Any] = {"chrom": look.interval.chrom}
        for name, index in (("query", query + self.query[0]), ("key", key + self.key[0])):
            columns |= {f"{name}_start": places[index, 0], f"{name}_end": places[index, 1]}
            columns[f"{name}_bases"] = [bases[slice(*look.tokens.spans[i])] for i in index]
        return pd.DataFrame({**columns, "weight": weights[query, key]})

    def code(self) -> str:
        """Python that computes the weights of the view once more."""
        look, sources = self.look, self.sources
        place, model, variant = look.interval, sources.model, look.place.variant
        longer = len(look.sequence) > sources.trained
        what = {"reference": "{0}", "alternative": "{1}", "difference": "{1} - {0}"}[self.allele].format(
            *(f"attention.observe(model, model.tokenize({one}), window=window).window.weights[0]" for one in ("bases", "changed"))
        )
        lines = [
            "import dataclasses" if longer else "",
            "from ntviz import attention, models, sequence",
            "from ntviz.genome import Interval, Variant",
            "from ntviz.reference import Reference\n",
            f"model = models.load({model.name!r})",
            f"model = dataclasses.replace(model, max_tokens={model.max_tokens})" if longer else "",
            f"interval = Interval({place.chrom!r}, {place.start}, {place.end}, {place.strand!r})  # 0-based, half-open: {place.label()}",
            f"bases = Reference({str(sources.reference.path)!r}).fetch(interval).sequence",
            f"changed = sequence.apply_variant(bases, interval, {variant!r})" if self.allele != "reference" else "",
            f"window = attention.Window(query={self.query}, key={self.key}, at=[({self.layer}, {self.head})])",
            f"weights = {what}",
        ]
        return "\n".join(line for line in lines if line) + "\n"

    # Showing ----------------------------------------------------------------------------------------------------------

    def figure(self) -> go.Figure:
        """Genes, elements and the head's map over the view; beside it all heads, small, and their scores."""
        from ntviz.explore.attention_figure import draw

        return draw(self, (self.query, self.key))

    def drawn(self) -> go.Figure:
        """The same for the page, which keeps its own zoom: the axes are those of the whole."""
        from ntviz.explore.attention_figure import draw

        return draw(self, self._home)

    @cached_property
    def _lists(self) -> dict[str, ipywidgets.Dropdown]:
        import ipywidgets as w

        model = self.sources.model
        given: dict[str, tuple[Sequence[Any], int]] = {
            "layer": (range(model.layers), 110), "head": (range(model.heads), 110), "allele": ((), 170), "scale": (SCALES, 135),
            "score": ((), 330),
        }  # fmt: skip
        made = {}
        for name, (options, wide) in given.items():
            made[name] = w.Dropdown(options=list(options), description=name.capitalize(), layout=w.Layout(width=f"{wide}px"))
            made[name].style.description_width = "44px"
            made[name].observe(self._listed, "value")
        return made

    def controls(self) -> Sequence[ipywidgets.Widget]:
        """Drop-down lists of layers, heads, alleles, scales and scores."""
        return list(self._lists.values())

    def sync(self) -> None:
        """Set the lists to what is shown."""
        with self.toolbar.quiet():
            for name, options in (("allele", self.look.alleles), ("score", list(self.look.scores))):
                if list(self._lists[name].options) != options:
                    self._lists[name].options = options
            self._lists["allele"].disabled = len(self.look.alleles) == 1
            for name, one in self._lists.items():
                one.value = getattr(self, name)

    def _listed(self, change: dict[str, Any]) -> None:
        if self.toolbar.syncing:
            return
        lists = self._lists
        self.allele, self.scale, self.score = (lists[name].value for name in ("allele", "scale", "score"))
        if (lists["layer"].value, lists["head"].value) != (self.layer, self.head):
            self._doing(lambda: self.choose(lists["layer"].value, lists["head"].value))
        else:
            self._doing(self.update)


