"""`explore.attention`: type a gene, click a head, zoom to single bases; the same call is a full still picture elsewhere."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ntviz.annotation import Annotation
from ntviz.annotation import read as read_annotation
from ntviz.explore.places import first_gene
from ntviz.explore.session import Look, Sources, trained_on, widened
from ntviz.explore.still import still
from ntviz.explore.surfaces import bundle
from ntviz.reference import Reference

TABLE = 500
"""Pairs of a table at most."""


def attention(
    model: Any,
    reference: Reference,
    annotation: Annotation,
    *,
    at: Any = None,
    head: tuple[int, int] | None = None,
    beds: Mapping[str, Annotation] | Sequence[str] = (),
    atlas: Any = None,
    window: int | None = None,
) -> Explorer:
    """An explorer of a model's attention: live in JupyterLab, a still picture that is as informative elsewhere.

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
        (layer, head) to begin with, zero-based; the one whose attention is least even when None.
    beds
        More elements: annotations by name, or paths of BED and GFF files.
    atlas
        An `attention.Atlas`, whose scores then colour the heads as well.
    window
        bp read around the start of a gene, a variant or a short region; `model.max_bp` when None.

    Raises
    ------
    ValueError
        The place cannot be found, or there is no such head.
    """
    wide, longest = widened(model)
    sources = Sources(
        wide, trained_on(model), longest, window or model.max_bp, reference, annotation, _beds(beds), atlas
    )
    return Explorer(sources, first_gene(reference, annotation) if at is None else at, head)


class Explorer:
    """A view of one head at one place, which can be moved: by hand in JupyterLab, by `go`, `choose` and `zoom` in code.

    Attributes
    ----------
    look
        The place, its tokens, tracks and scores.
    layer, head
        Zero-based.
    query, key
        Visible tokens, first and after the last. Special tokens are not among them.
    allele
        "reference", "alternative" or "difference".
    """

    def __init__(self, sources: Sources, at: Any, head: tuple[int, int] | None = None) -> None:
        self.sources = sources
        self.allele = "reference"
        self.look: Look = sources.at(at)
        self.query = self.key = self._whole()
        self.layer, self.head = self.look.evenest
        if head is not None:
            self.choose(*head)

    def __repr__(self) -> str:
        look = self.look
        return (
            f"Attention of {self.sources.model.name} at {look.place.name}, {look.interval.label()}: layer {self.layer}, head "
            f"{self.head}. {look.note}"
        )

    # Moving -----------------------------------------------------------------------------------------------------------

    def go(self, what: Any) -> None:
        """Goes to a gene, a region or a variant; the view is then the whole window. Errors are those of `attention`."""
        self.look = self.sources.at(what)
        self.query = self.key = self._whole()
        self.allele = "reference"

    def choose(self, layer: int, head: int) -> None:
        """Looks at another head.

        Raises
        ------
        ValueError
            There is no such head.
        """
        model = self.sources.model
        if not (0 <= layer < model.layers and 0 <= head < model.heads):
            raise ValueError(
                f"A head must be one of {model.layers} layers by {model.heads} heads, numbered from 0; received "
                f"({layer}, {head}). Choose one of these."
            )
        self.layer, self.head = int(layer), int(head)

    def zoom(self, query: tuple[int, int], key: tuple[int, int]) -> None:
        """Shows a window of tokens, cut to what there is."""
        first, last = self._whole()
        cut = []
        for low, high in (query, key):
            low = int(np.clip(low, first, last - 1))
            cut.append((low, int(np.clip(high, low + 1, last))))
        self.query, self.key = cut

    def _whole(self) -> tuple[int, int]:
        scan = self.look.scans["reference"]
        return scan.first, scan.n

    # Reading ----------------------------------------------------------------------------------------------------------

    @property
    def weights(self) -> np.ndarray:
        """Exact weights [query, key] of the view."""
        return self.look.weights(self.layer, self.head, self.query, self.key, self.allele)

    def add_bed(self, name: str, text: str) -> str:
        """Adds elements from the text of a BED or GFF file; returns what was read, in words.

        Raises
        ------
        ValueError
            Nothing of it can be read.
        """
        name = Path(name).name or "elements.bed"
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            file.write_text(text, encoding="utf-8")
            read = read_annotation(file, format=None if file.suffix in (".gtf", ".gff", ".gff3") else "bed")
        self.sources.beds[name] = read
        for part in ("elements", "scores"):
            self.look.__dict__.pop(part, None)
        here = int(self.look.elements[name].sum())
        return f"{name}: {len(read):,} features, {here:,} bp of this window. {read.note}".strip()

    def table(self) -> pd.DataFrame:
        """The strongest pairs of the view, at most 500: places 0-based half-open, bases, weight."""
        look, weights = self.look, self.weights
        order = np.argsort(-np.abs(weights), axis=None, kind="stable")[:TABLE]
        query, key = np.unravel_index(order, weights.shape)
        places, bases = look.tokens.on(look.interval), look.bases(self.allele)
        columns: dict[str, Any] = {"chrom": look.interval.chrom}
        for name, index in (("query", query + self.query[0]), ("key", key + self.key[0])):
            columns |= {f"{name}_start": places[index, 0], f"{name}_end": places[index, 1]}
            columns[f"{name}_bases"] = [bases[slice(*look.tokens.spans[i])] for i in index]
        columns["weight"] = weights[query, key]
        return pd.DataFrame(columns)

    def tsv(self) -> str:
        """The table as text, with what it is in the first lines."""
        out = io.StringIO()
        out.write(
            f"# {self!r}\n# starts and ends are 0-based, half-open; query looks, key is looked at; {self.allele}\n"
        )
        self.table().to_csv(out, sep="\t", index=False)
        return out.getvalue()

    def code(self) -> str:
        """Python that computes the weights of the view once more."""
        look, sources = self.look, self.sources
        interval = look.interval
        lines = [
            "import dataclasses",
            "",
            "from ntviz import attention, models, sequence",
            "from ntviz.genome import Interval, Variant",
            "from ntviz.reference import Reference",
            "",
            f"model = models.load({sources.model.name!r})",
            f"interval = Interval({interval.chrom!r}, {interval.start}, {interval.end}, {interval.strand!r})  # 0-based, half-open: {interval.label()}",
            f"bases = Reference({str(sources.reference.path)!r}).fetch(interval).sequence",
        ]
        if len(look.sequence) > sources.trained:
            lines.insert(7, f"model = dataclasses.replace(model, max_tokens={sources.model.max_tokens})")
        window = (
            f"window=attention.Window(query={self.query}, key={self.key}, at=[({self.layer}, {self.head})])"
        )
        names = {"reference": "bases"}
        if look.place.variant is not None and self.allele != "reference":
            v = look.place.variant
            lines.append(
                f"changed = sequence.apply_variant(bases, interval, Variant({v.chrom!r}, {v.pos}, {v.ref!r}, {v.alt!r}))"
            )
            names["alternative"] = "changed"
        one = "attention.observe(model, model.tokenize({}), " + window + ").window.weights[0]"
        if self.allele == "difference":
            lines.append(f"weights = {one.format('changed')} - {one.format('bases')}")
        else:
            lines.append(f"weights = {one.format(names[self.allele])}")
        return "\n".join(lines) + "\n"

    # Showing ----------------------------------------------------------------------------------------------------------

    @cached_property
    def widget(self) -> Any:
        """The live explorer, for JupyterLab.

        Raises
        ------
        ImportError
            anywidget is not installed.
        """
        from ntviz.explore.live import Live

        return Live(self)

    def still(self) -> Any:
        """The view as a picture: a `still.Still`, which saves itself and shows itself in every surface."""
        return still(self)

    def save(self, path: Any) -> Any:
        """Writes the picture as an HTML page that opens offline."""
        return self.still().save(path)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return bundle(self, self.still())


def _beds(beds: Mapping[str, Annotation] | Sequence[str]) -> dict[str, Annotation]:
    if isinstance(beds, Mapping):
        return dict(beds)
    read = [read_annotation(path) for path in beds]
    return {one.source: one for one in read}
