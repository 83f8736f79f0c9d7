"""`explore.attention`: type a gene, click a head, zoom to single tokens; the same call is a full static figure elsewhere.

A `Look` is what is looked at: a place, its alleles, scores of all heads, tracks, and any part of any map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ntviz import attention as attentions
from ntviz.annotation import Annotation, Beds, named
from ntviz.attention.blocks import layers_of, tokens_of
from ntviz.attention.scan import Scan, pooled, widened
from ntviz.explore.places import Place, first_gene, locate
from ntviz.explore.toolbar import Explorer, add_elements, checked_head
from ntviz.genome import Interval, browser_contig, sequence
from ntviz.plot.attention import SCALES
from ntviz.plot.theme import WIDTH, colours, framed
from ntviz.plot.tracks import Panel, View, boxes, genes_track, signal_track
from ntviz.plot.words import escaped, number, span
from ntviz.reference import Reference
from ntviz.statistics import seed_of
from ntviz.tokens import Tokens

TABLE, MOST, ELEMENTS, LETTERS = 500, 256, 10, 64
"""At most: pairs of a table, cells along a side of the map, elements drawn, tokens along a side whose bases the hover tells."""
MAP, LANE, CHANGE, GAP, LEFT, RIGHT = 460, 17, 90, 12, (0.0, 0.6), (0.73, 1.0)
"""Pixels of the map, an element, what an ablated head changes, and between rows; of the figure's width, the map and the heads."""
KINDS = ("promoter", "exon", "CDS", "enhancer", "CTCF_binding_site", "open_chromatin", "TF_binding_site", "cpg_island")
"""Elements of an annotation that become tracks, where it has them."""
SHUFFLES = 4
"""Dinucleotide-shuffled sequences that heads are compared with."""
CONTRAST = "difference from shuffled sequence"


@dataclass(frozen=True)
class Sources:
    """What stays from place to place: model, `trained` and `longest` of `scan.widened`; the rest as `explore.attention` takes it."""

    model: Any
    trained: int
    longest: int
    window: int
    reference: Reference
    annotation: Annotation
    beds: dict[str, Annotation]
    atlas: Any = None

    def at(self, what: Any) -> Look:
        """A look at a place; ValueError as `places.locate`, or where a variant's REF is not the reference's."""
        place = locate(what, self.reference, self.annotation, window=self.window, longest=self.longest)
        bases = self.reference.fetch(place.interval)
        scans, note = {"reference": Scan(self.model, tokens_of(self.model, bases.sequence))}, bases.note
        if place.variant is not None:
            new = tokens_of(self.model, sequence.apply_variant(bases.sequence, place.interval, place.variant))
            if np.array_equal(new.spans, scans["reference"].tokens.spans):
                scans["alternative"] = Scan(self.model, new)
            else:
                note += " The alternative moves every later token, so only the reference is shown."
        return Look(self, place, scans, note)


class Look:
    """One place under the eyes of one model, with a `Scan` of each allele."""

    def __init__(self, sources: Sources, place: Place, scans: dict[str, Scan], note: str) -> None:
        self.sources, self.place, self.interval, self.scans = sources, place, place.interval, scans
        self.tokens: Tokens = scans["reference"].tokens
        self.places = self.tokens.on(self.interval)
        """[token, 2] on the genome, 0-based half-open."""
        self.alleles = [*scans, *(["difference"] if len(scans) > 1 else [])]
        self._changes: dict[Any, np.ndarray] = {}
        self.note = f"{place.how[:1].upper()}{place.how[1:]}. "
        if len(self.interval) > sources.trained:
            trained = f"{sources.model.name} was trained on up to {sources.trained:,} bp. "
            self.note += f"Attention over {len(self.interval):,} bp is extrapolation: {trained}"
        self.note = (self.note + note.strip()).strip()

    def letters(self, allele: str) -> list[str]:
        """[token] bases of each token; of a difference, those of the alternative."""
        bases = self.scans["reference" if allele == "reference" else "alternative"].tokens.sequence
        return [bases[start:end] for start, end in self.tokens.spans.tolist()]

    @cached_property
    def elements(self) -> dict[str, np.ndarray]:
        """Bool [base] in reading direction, by the name of the element; only those that are here, and those of a person's files."""
        annotation, beds = self.sources.annotation, self.sources.beds
        here = {kind: annotation.indicator(self.interval, kind) for kind in KINDS if kind in annotation.kinds}
        here |= {name: bed.indicator(self.interval, name) for name, bed in beds.items()}
        return {name: inside for name, inside in here.items() if inside.any() or name in beds}

    def stretches(self, name: str) -> np.ndarray:
        """[stretch, 2] of an element on the genome, 0-based half-open, ascending."""
        inside = self.elements[name][:: -1 if self.interval.strand == "-" else 1].astype(np.int8)
        return self.interval.start + np.flatnonzero(np.diff(inside, prepend=0, append=0)).reshape(-1, 2)

    @cached_property
    def seen(self) -> Any:
        """What the observers of all heads see, by name."""
        model = self.sources.model
        return self.scans["reference"].observe(
            entropy=attentions.Entropy(), distance=attentions.Distance(), top=attentions.TopPairs(1),
            received=attentions.Received(), small=attentions.Thumbnails(max(8, min(32, 256 // max(layers_of(model), model.heads)))),
        )  # fmt: skip

    @cached_property
    def scores(self) -> dict[str, tuple[np.ndarray, str]]:
        """[layer, head] and unit of each score, by name."""
        seen, share = self.seen, "share of attention"
        scores = {
            CONTRAST: (self.contrast[0] - self.contrast[1], "distance less that between shuffles"),
            "entropy": (seen.entropy.mean, "nats"),
            "distance": (seen.distance.mean, "bp"),
            "largest weight": (seen.top.weight[..., 0], share),
            "attention to special tokens": (seen.received.special, share),
        }
        starts, ends = self.tokens.spans.T
        for name, flags in self.elements.items():
            count = np.append(0, np.cumsum(flags))
            on = seen.received.on(count[ends] > count[starts])
            scores[f"attention to {name.replace('_', ' ')}"] = (on, share)
        if (atlas := self.sources.atlas) is not None:
            scores |= {f"atlas: {name}": (atlas.grid(name), "") for name in atlas.scores}
        return scores

    @cached_property
    def contrast(self) -> tuple[np.ndarray, np.ndarray]:
        """[layer, head] mean Kolmogorov-Smirnov distance of a head's entropies here from those in shuffled sequences, and of these."""
        model, bases = self.sources.model, self.tokens.sequence
        shuffled = [tokens_of(model, sequence.shuffle(bases, k=2, seed=seed)) for seed in range(SHUFFLES)]
        seen = [attentions.observe(model, tokens, entropy=attentions.Entropy()) for tokens in shuffled]
        here, *there = (one.entropy.by_query[..., ~tokens.is_special]
                        for one, tokens in zip([self.seen, *seen], [self.tokens, *shuffled], strict=True))  # fmt: skip
        apart = [_distance(one, other) for one, other in combinations(there, 2)]
        return np.mean([_distance(here, one) for one in there], axis=0), np.mean(apart, axis=0)

    @property
    def telling(self) -> tuple[int, int]:
        """The head whose attention differs most from that in shuffled sequence: where a look begins."""
        layer, head = divmod(int(np.argmax(self.scores[CONTRAST][0])), self.sources.model.heads)
        return layer, head

    def weights(self, layer: int, head: int, query: tuple[int, int], key: tuple[int, int], allele: str = "reference") -> np.ndarray:  # fmt: skip
        """Exact weights [query, key] of a window of tokens; of "difference", alternative minus reference."""
        if allele == "difference":
            before, after = (self.weights(layer, head, query, key, one) for one in self.scans)
            return after - before
        return self.scans[allele].weights(layer, head, query, key)

    def change(self, layer: int, head: int, allele: str = "reference") -> tuple[list[tuple[int, int]], np.ndarray]:
        """The head and another one of its layer, and how the log-probability of each base changes without it, [head, base] in nats."""
        heads = self.sources.model.heads
        others = [(head + 1 + seed_of(layer, head) % (heads - 1)) % heads] if heads > 1 else []
        pairs = [(layer, one) for one in (head, *others)]
        bases = self.scans[allele if allele in self.scans else "reference"].tokens.sequence
        if (layer, head, bases) not in self._changes:
            self._changes[layer, head, bases] = attentions.changes(self.sources.model, bases, pairs)
        return pairs, self._changes[layer, head, bases]


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[...] largest difference of the cumulative distributions of values [..., n] and [..., m] (Kolmogorov, Smirnov)."""
    n, m = one.shape[-1], other.shape[-1]
    both = np.concatenate([one, other], -1)
    order = np.argsort(both, -1, kind="stable")
    ordered, steps = np.take_along_axis(both, order, -1), np.where(order < n, 1 / n, -1 / m)
    # Equal values are one step.
    last = np.diff(ordered, append=np.inf) != 0
    return np.where(last, np.abs(np.cumsum(steps, -1)), 0).max(-1)


def attention(
    model: Any, reference: Reference, annotation: Annotation, *, at: Any = None, head: tuple[int, int] | None = None, beds: Beds = (),
    atlas: Any = None, window: int | None = None,
) -> AttentionExplorer:  # fmt: skip
    """An explorer of a model's attention: live in JupyterLab, a static figure that is as informative elsewhere.

    Parameters
    ----------
    model, reference, annotation
        A `models.DNAModel`, which with rotary positions may be read beyond its training, and then it is said. Bases. Genes and elements.
    at, window
        A gene, a region (text is 1-based, both ends included; or an Interval), or a variant, the annotation's first gene when None;
        bp read around the start of a gene, a variant or a short region, `model.max_bp` when None.
    head
        (layer, head) to begin with, zero-based. When None, the one that differs most from its control: the Kolmogorov-Smirnov
        distance of its queries' entropies from those in four dinucleotide-shuffled sequences, less that between the shuffles.
    beds, atlas
        More elements, as `annotation.named` takes them; an `attention.Atlas`, whose scores then colour the heads as well.

    Raises
    ------
    ValueError, FileNotFoundError
        The place cannot be found, or there is no such head; a file of `beds` is not there.
    """
    at = first_gene(reference, annotation) if at is None else at
    own, bp = named(beds, taken=annotation.kinds), window or model.max_bp
    return AttentionExplorer(Sources(*widened(model), bp, reference, annotation, own, atlas), at, head)


class AttentionExplorer(Explorer):
    """A view of one head at one place, which can be moved: by hand in JupyterLab, by `go`, `choose` and `zoom` in code.

    Attributes
    ----------
    look, layer, head, query, key
        The place with its tracks and scores; zero-based; visible tokens, first and after the last, without special ones.
    allele, scale, score, ablated
        "reference", "alternative" or "difference"; "sqrt", "linear" or "log" (three powers of ten); one of `look.scores`; whether a
        track shows what changes without the head, beside another head of its layer.
    """

    def __init__(self, sources: Sources, at: Any, head: tuple[int, int] | None = None) -> None:
        self.sources, self.scale, self.score, self.ablated = sources, "sqrt", CONTRAST, False
        self._picked = None if head is None else checked_head(sources.model, *head)
        self._go(at)

    def __repr__(self) -> str:
        return f"{self._title}. {self.look.note}"

    @property
    def _title(self) -> str:
        allele = "" if self.allele == "reference" else f", {self.allele}"
        return f"{self.sources.model.name} at {self.where}: layer {self.layer}, head {self.head}{allele}"

    @property
    def where(self) -> str:
        """The place that is shown, as a person types it."""
        return self.look.place.name

    def _go(self, what: Any) -> None:
        self.look, self.allele = self.sources.at(what), "reference"
        self.layer, self.head = self._picked or self.look.telling
        self._whole()

    def _whole(self) -> None:
        # A double click returns to `_home`: a zoom by mouse leaves it.
        self._home = self.query, self.key = (self._cut((0, len(self.look.tokens))),) * 2

    def _state(self) -> Any:
        return self.look, self.layer, self.head, self.query, self.key, self.allele, self._picked

    def _restore(self, state: Any) -> None:
        self.look, self.layer, self.head, self.query, self.key, self.allele, self._picked = state
        self._home = self.query, self.key

    def choose(self, layer: int, head: int) -> None:
        """Look at another head; a ValueError says that there is no such head."""
        self._picked = self.layer, self.head = checked_head(self.sources.model, layer, head)
        self.update()

    def zoom(self, query: tuple[int, int], key: tuple[int, int]) -> None:
        """Show a window of tokens, first and after the last, cut to what there is."""
        self._home = self.query, self.key = self._cut(query), self._cut(key)
        self.update(whole=True)

    def _cut(self, part: tuple[int, int]) -> tuple[int, int]:
        first, n = int(self.look.tokens.is_special.argmin()), len(self.look.tokens)
        low = min(max(part[0], first), n - 1)
        return low, min(max(part[1], low + 1), n)

    def _under(self, low: float, high: float, otherwise: tuple[int, int]) -> tuple[int, int]:
        """Tokens, first and after the last, under a part of an axis."""
        starts, ends = self.look.places.T
        inside = np.flatnonzero((starts < high - 0.5) & (ends > low - 0.5) & (ends > starts))
        return (int(inside[0]), int(inside[-1]) + 1) if inside.size else otherwise

    def zoomed(self, ranges: dict[str, list[float]]) -> None:
        """Draw what the page shows now, at full resolution where it fits."""
        axes = zip(("yaxis3", "xaxis"), self._home, strict=True)
        shown = tuple(self._under(*sorted(ranges[axis]), home) for axis, home in axes)
        if shown != (self.query, self.key):
            self.query, self.key = shown
            self.update()

    def clicked(self, event: dict[str, Any]) -> None:
        """Choose a clicked head, or say what a clicked cell is."""
        axis = self.live.still.data[event["trace"]].yaxis
        if axis in ("y4", "y5"):
            self.choose(int(event["y"]), int(event["x"]))
            self.say("")
        elif axis == "y3":
            tokens = (self._under(at - 0.5, at + 0.5, (0, 0))[0] for at in (event["y"], event["x"]))
            cell = (int((edges <= token).sum()) - 1 for edges, token in zip(self.edges, tokens, strict=True))
            self.say(self._strongest(*cell))

    @property
    def weights(self) -> np.ndarray:
        """Exact weights [query, key] of the view."""
        return self.look.weights(self.layer, self.head, self.query, self.key, self.allele)

    @property
    def edges(self) -> list[np.ndarray]:
        """First tokens of the cells that are drawn along queries and keys, at most 256, and the token after the last."""
        return [np.append(np.arange(a, b, -(-(b - a) // MOST)), b) for a, b in (self.query, self.key)]

    def _strongest(self, *cell: int) -> str:
        """The pair of tokens whose weight a cell shows, in words."""
        query, key = (tuple(edges[i : i + 2].tolist()) for edges, i in zip(self.edges, cell, strict=True))
        weights = self.look.weights(self.layer, self.head, query, key, self.allele)
        i, j = divmod(int(np.abs(weights).argmax()), weights.shape[1])
        return self._pair(query[0] + i, key[0] + j, float(weights[i, j]))

    def _pair(self, query: int, key: int, weight: float) -> str:
        """A pair of tokens in words: places, bases and weight, and what either allele has there."""
        look, letters, pair = self.look, self.look.letters(self.allele), ((query, query + 1), (key, key + 1))
        query_at, key_at = (f"{span(*look.places[i])} ({letters[i]})" for i in (query, key))
        said = f"query {query_at} on key {key_at}, weight {number(weight)}"
        if self.allele == "reference":
            return f"{said}, {number(weight * len(letters))} times an even share"
        both = (scan.weights(self.layer, self.head, *pair).item() for scan in look.scans.values())
        return "{} (reference {}, alternative {})".format(said, *map(number, both))

    def add_file(self, name: str, text: str) -> str:
        """Add elements from the text of a BED or GFF file; what was read, in words. ValueError where nothing of it can be read."""

        def bp(name: str) -> str:
            for part in ("elements", "scores", "seen"):
                self.look.__dict__.pop(part, None)
            return f", {self.look.elements[name].sum():,} bp of this window"

        return add_elements(name, text, self.sources.annotation.kinds, self.sources.beds, bp)

    def table(self) -> pd.DataFrame:
        """The strongest pairs of the view, at most 500: places 0-based half-open, bases, weight."""
        look, weights, letters = self.look, self.weights, np.array(self.look.letters(self.allele))
        order = np.argsort(-np.abs(weights), axis=None, kind="stable")[:TABLE]
        query, key = np.unravel_index(order, weights.shape)
        columns: dict[str, Any] = {"chrom": look.interval.chrom}
        for name, at in (("query", query + self.query[0]), ("key", key + self.key[0])):
            starts, ends = look.places[at].T
            columns |= {f"{name}_start": starts, f"{name}_end": ends, f"{name}_bases": letters[at]}
        return pd.DataFrame({**columns, "weight": weights[query, key]})

    def code(self) -> str:
        """Python that computes the weights of the view once more."""
        place, model, sources = self.look.interval, self.sources.model, self.sources
        observed = "attention.observe(model, model.tokenize({}), window=window).window.weights[0]".format
        weights = {"reference": "{0}", "alternative": "{1}", "difference": "{1} - {0}"}[self.allele]
        longer = len(place) > sources.trained
        lines = [
            "import dataclasses" if longer else "",
            "from ntviz import attention, models",
            "from ntviz.genome import Interval, Variant, sequence",
            "from ntviz.reference import Reference\n",
            f"model = models.load({model.name!r})",
            f"model = dataclasses.replace(model, max_tokens={model.max_tokens})" if longer else "",
            f"interval = Interval({place.chrom!r}, {place.start}, {place.end}, {place.strand!r})  # 0-based, half-open: {place.label()}",
            f"bases = Reference({str(sources.reference.path)!r}).fetch(interval).sequence",
            f"changed = sequence.apply_variant(bases, interval, {self.look.place.variant!r})" if self.allele != "reference" else "",
            f"window = attention.Window(query={self.query}, key={self.key}, at=[({self.layer}, {self.head})])",
            f"weights = {weights.format(observed('bases'), observed('changed'))}",
            f"change = attention.changes(model, {'changed' if self.allele == 'alternative' else 'bases'}, [({self.layer}, {self.head})])"
            if self.ablated else "",
        ]  # fmt: skip
        return "\n".join(filter(None, lines)) + "\n"

    def figure(self) -> go.Figure:
        """Genes, elements and the head's map over the view; beside it all heads, small, and their scores."""
        return _draw(self, (self.query, self.key))

    def drawn(self) -> go.Figure:
        """The same for the page, which keeps its own zoom: the axes are those of the whole."""
        return _draw(self, self._home)

    def controls(self) -> Sequence[ipywidgets.Widget]:
        """Drop-down lists of layers, heads, alleles, scales and scores, and whether the head is ablated."""
        model, self._lists = self.sources.model, {}
        for name, options, width in (("layer", range(layers_of(model)), 110), ("head", range(model.heads), 110), ("allele", (), 170),
                                     ("scale", SCALES, 135), ("score", (), 330)):  # fmt: skip
            self._lists[name] = ipywidgets.Dropdown(options=list(options), description=name.capitalize(), layout={"width": f"{width}px"},
                                                    style={"description_width": "44px"})  # fmt: skip
        self._lists["ablated"] = ipywidgets.ToggleButton(description="Ablated", tooltip="What the model expects without this head",
                                                         layout={"width": "90px"})  # fmt: skip
        for one in self._lists.values():
            one.observe(self._listed, "value")
        return list(self._lists.values())

    def sync(self) -> None:
        """Set the lists to what is shown."""
        self._lists["allele"].options = self.look.alleles
        self._lists["score"].options = list(self.look.scores)
        for name, one in self._lists.items():
            one.value = getattr(self, name)

    def _listed(self, change: dict[str, Any]) -> None:
        if not self.toolbar.syncing:
            name = change["owner"].description.lower()
            setattr(self, name, change["new"])
            self._picked = (self.layer, self.head) if name in ("layer", "head") else self._picked
            self._doing(self.update)


class _Narrow(View):
    """A view whose row is as wide as the map."""

    def across(self, spans: Any) -> np.ndarray:
        return super().across(spans) * LEFT[1] * 0.9

    def at(self, pixels: Any) -> np.ndarray:
        return super().at(np.asarray(pixels) / LEFT[1] / 0.9)


def _draw(explorer: Any, home: Sequence[tuple[int, int]]) -> go.Figure:
    """The view of an explorer, its axes over `home`, the ranges of tokens along queries and keys."""
    look, c, (n, m) = explorer.look, colours(), (int(edges[1] - edges[0]) for edges in explorer.edges)
    cells = pooled(lambda query: look.weights(explorer.layer, explorer.head, query, explorer.key, explorer.allele), explorer.query, (n, m),
                   look.scans["reference"].rows(explorer.layer))  # fmt: skip
    view = _Narrow(look.interval, look.interval, (look.interval.start,) * 2)
    genes = genes_track(explorer.sources.annotation, most_lanes=3)
    names = list(dict.fromkeys([*explorer.sources.beds, *look.elements]))[:ELEMENTS]
    tall = genes.height if isinstance(genes.height, int) else genes.height(view)
    heights = [tall, LANE * max(len(names), 1), *[CHANGE] * explorer.ablated, MAP]
    total = sum(heights) + (len(heights) - 1) * GAP
    ends = np.cumsum([0, *(height + GAP for height in heights)]) / total
    rows = [{"domain": [max(0.0, 1 - low + GAP / total), 1 - high], "anchor": "x", "fixedrange": True, "ticks": "", "showline": False}
            for high, low in pairwise(ends)]  # fmt: skip
    fig = go.Figure(layout={"yaxis": {**rows[0], "showticklabels": False}, "yaxis2": rows[1], "yaxis3": rows[-1]})
    genes.draw(Panel(fig, 1, view))
    alt = _alt(explorer, cells)
    for lane, name in enumerate(names):
        spans = look.stretches(name).tolist()
        texts = [f"{name} {span(*pair)}" for pair in spans]
        Panel(fig, 2, view).add(boxes(spans, texts, middle=lane, half=0.3, colour=c.accent, name=escaped(name)))
    if explorer.ablated:
        fig.layout.yaxis6 = rows[2]
        alt += _without(fig, explorer, view)
    Panel(fig, 3, view).add(_map(explorer, cells, 1 - float(ends[-2])))
    down, across = ([edge + 0.5 for edge in _span(look, part)][:: -1 if view.reverse else 1] for part in home)
    label = escaped(f"{explorer.sources.reference.assembly or ''} {browser_contig(look.interval.chrom)}")
    ticks = {"tickformat": ",d", "nticks": 6, "ticks": "outside", "showline": True}
    fig.update_layout(
        xaxis={**ticks, "domain": LEFT, "range": across, "anchor": "y3", "title": f"key: position on {label} (bp)"},
        yaxis2={"range": [max(len(names), 1) - 0.5, -0.5], "tickvals": list(range(len(names))),
                "ticktext": [escaped(name.replace("_", " "), most=22) for name in names]},
        yaxis3={**ticks, "range": down[::-1], "fixedrange": False, "title": "query: position (bp)"},
    )  # fmt: skip
    if look.place.variant is not None:
        fig.add_vline(look.place.focus.start + 1, line={"color": c.positive, "width": 1, "dash": "dot"})
    _heads(fig, explorer, total)
    scale = explorer.scale.replace("sqrt", "square-root")
    how = f"; a cell is the largest of {n} × {m} tokens" * (n * m > 1)
    return framed(
        fig, title=explorer._title, alt=alt, height=total, bargap=0,
        name=f"{explorer.where}_layer{explorer.layer}_head{explorer.head}",
        subtitle=f"Rows look (query), columns are looked at (key). Colour: share of attention, {scale} scale{how}.",
    )  # fmt: skip


def _without(fig: go.Figure, explorer: Any, view: View) -> str:
    """Draws how the bases' log-probabilities change without the head, beside another of its layer; in words for the alt sentence."""
    pairs, values = explorer.look.change(explorer.layer, explorer.head, explorer.allele)
    own, *other = ("layer {}, head {}".format(*pair) for pair in pairs)
    track = signal_track(values[0], label=f"Without {own}", unit="nats", control=values[1] if other else None, diverging=True,
                         control_label=f"without {''.join(other)}")  # fmt: skip
    said = track.draw(Panel(fig, 6, view))
    high = fig.layout.yaxis6.domain[1]
    fig.layout.yaxis6.update(title={"text": "nats", "font": {"size": 11}}, tickfont={"size": 10}, showticklabels=True,
                             domain=[fig.layout.yaxis6.domain[0], high - 0.2 * (high - fig.layout.yaxis6.domain[0])])  # fmt: skip
    beside = f"; grey: without head {pairs[-1][1]}" * bool(other)
    fig.add_annotation(text=f"Change of log-probability without this head{beside}", x=0, y=high, xref="paper", yref="paper",
                       xanchor="left", yanchor="top", showarrow=False, font={"size": 11})  # fmt: skip
    return f" {track.label} (its output at its mean), log-probabilities of the bases change: {said}."


def _span(look: Any, part: tuple[int, int]) -> tuple[int, int]:
    """The genome under a range of tokens, 0-based half-open."""
    places = look.places[slice(*part)]
    return int(places.min()), int(places.max())


def _map(explorer: Any, cells: np.ndarray, top: float) -> go.Heatmap:
    look, c, signed = explorer.look, colours(), explorer.allele == "difference"
    # Positions rise, also on the - strand; the axes turn.
    far, turn = (1, slice(None, None, -1)) if look.interval.strand == "-" else (0, slice(None))
    near, beyond = look.places[:, far], look.places[:, 1 - far]
    y, x = (np.append(near[edges[:-1]], beyond[edges[-1] - 1])[turn] + 0.5 for edges in explorer.edges)
    hover, texts = "query around %{y:,.0f}<br>key around %{x:,.0f}<br>weight %{z:.3g}", None
    if max(cells.shape) <= LETTERS:
        query, key = (np.array(look.letters(explorer.allele))[edges[:-1]][turn] for edges in explorer.edges)
        hover, texts = f"{hover}<br>%{{text}}", [[f"{q} on {k}" for k in key] for q in query]
    # Even steps of colour are even steps of the scaled weight.
    shades, high = c.signs if signed else c.magnitudes, float(np.abs(cells).max(initial=1e-9))
    at = np.linspace(-signed, 1, len(shades))
    stops = (np.sign(at) * SCALES[explorer.scale](np.abs(at)) + signed) / (1 + signed)
    # 11 binary digits are more than the hover tells, and half the bytes of a page, where it is zipped.
    short = ((cells[turn, turn].astype(np.float32).view(np.uint32) + 0x1000) & 0xFFFFE000).view(np.float32)
    return go.Heatmap(
        z=short, y=y, x=x, name="weight", text=texts, hovertemplate=f"{hover}<extra></extra>", zmin=-high * signed, zmax=high,
        colorscale=list(zip(stops, shades, strict=True)),
        colorbar={"x": LEFT[1] + 0.008, "y": 0, "yanchor": "bottom", "len": top, "thickness": 10, "nticks": 6, "tickfont": {"size": 10},
                  "title": {"text": "difference" if signed else "share", "font": {"size": 11}}},
    )  # fmt: skip


def _heads(fig: go.Figure, explorer: Any, total: int) -> None:
    """All heads, small, and below them the score that is chosen; layer = floor(y), head = floor(x) in both."""
    look, c = explorer.look, colours()
    maps, (layers, heads, size, _) = look.seen.small.maps, look.seen.small.maps.shape
    tops = maps.max((2, 3), keepdims=True)
    tiles = np.zeros((layers, heads, size + 1, size + 1), dtype=np.uint8)
    tiles[:, :, :-1, :-1] = np.round(255 * np.sqrt(maps / np.where(tops > 0, tops, 1)))
    pixel = {"x0": 0.5 / (size + 1), "dx": 1 / (size + 1), "y0": 0.5 / (size + 1), "dy": 1 / (size + 1)}
    score, unit = look.scores[explorer.score]
    texts = [[f"layer {i}, head {j}<br>{number(x)} {unit}" for j, x in enumerate(row)] for i, row in enumerate(score.tolist())]  # fmt: skip
    shown = {"z": score, "x0": 0.5, "y0": 0.5, "text": texts, "hovertemplate": "%{text}<extra></extra>", "showscale": False}  # fmt: skip
    written = f"%{{z:{'.2f' if np.nanmax(np.abs(score)) < 10 else ',.0f'}}}" if heads <= 8 else None
    fig.add_traces([
        go.Heatmap(z=tiles.transpose(0, 2, 1, 3).reshape(layers * (size + 1), -1), **pixel, zmin=0, zmax=255, showscale=False,
                   hoverinfo="skip", xaxis="x2", yaxis="y4"),
        go.Heatmap(**shown, opacity=0, xaxis="x2", yaxis="y4"),
        go.Heatmap(**shown, xaxis="x3", yaxis="y5", name=escaped(explorer.score), xgap=1, ygap=1, texttemplate=written,
                   textfont={"size": 9}, zmin=min(0.0, float(np.nanmin(score))) if explorer.score != CONTRAST else 0),
    ])  # fmt: skip
    tall = min(layers * (RIGHT[1] - RIGHT[0]) * WIDTH * 0.9 / heads, (total - 110) / 2) / total
    name = f"{explorer.score} ({unit})" if len(unit) < 12 else explorer.score
    panels = [("Maps of all heads", 1 - 18 / total), (name[:1].upper() + name[1:], 1 - tall - 78 / total)]
    for (title, high), x, y in zip(panels, (2, 3), (4, 5), strict=True):
        for axis, text, n in ((f"xaxis{x}", "head", heads), (f"yaxis{y}", "layer", layers)):
            marks = range(0, n, -(-n // 8))
            fig.layout[axis] = {"fixedrange": True, "ticks": "", "showline": False, "tickvals": [i + 0.5 for i in marks],
                                "ticktext": list(marks), "tickfont": {"size": 10}, "title": {"text": text, "standoff": 2}}  # fmt: skip
        fig.layout[f"xaxis{x}"].update(domain=RIGHT, anchor=f"y{y}", range=[0, heads])
        fig.layout[f"yaxis{y}"].update(domain=[high - tall, high], anchor=f"x{x}", range=[layers, 0])
        fig.add_shape(type="rect", x0=explorer.head, x1=explorer.head + 1, y0=explorer.layer, y1=explorer.layer + 1, xref=f"x{x}",
                      yref=f"y{y}", line={"color": c.positive, "width": 2.5})  # fmt: skip
        fig.add_annotation(text=escaped(title, most=40), x=RIGHT[0], y=high, xref="paper", yref="paper", xanchor="left", yanchor="bottom",
                           showarrow=False, font={"size": 12, "color": c.ink})  # fmt: skip


def _alt(explorer: Any, cells: np.ndarray) -> str:
    look, at = explorer.look, (explorer.layer, explorer.head)
    strand, parts = look.interval.strand, (explorer.query, explorer.key)
    query, key = (Interval(look.interval.chrom, *_span(look, part), strand).label() for part in parts)
    where = query if query == key else f"Queries of {query}, keys of {key}"
    size = "{:,} queries by {:,} keys".format(*(last - first for first, last in parts))
    strongest = explorer._strongest(*np.unravel_index(int(np.abs(cells).argmax()), cells.shape))
    special = f"{number(100 * float(look.scores['attention to special tokens'][0][at]))}%"
    here, apart = (number(float(part[at])) for part in look.contrast)
    most = f" Of {look.contrast[0].size} heads this one stands out most from its control." if at == look.telling else ""
    return (f"{explorer._title}. {where}, {size}. Strongest: {strongest}; {special} of all goes to special "
            f"tokens. The entropies of its queries differ from those in {SHUFFLES} dinucleotide-shuffled sequences by "
            f"{here} (Kolmogorov–Smirnov distance, 0 to 1), and shuffled sequences from each other by {apart}.{most} {look.note}")  # fmt: skip
