"""Which components a locus has: the standard ones that can be had, and those of the user."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from ntviz.annotation import Annotation, Beds, Signal, named, read_signal
from ntviz.explore.locus_annotated import Bases, Elements, Genes, Matches, Numbers, Regions
from ntviz.explore.locus_attributed import Attributed
from ntviz.explore.locus_component import Component
from ntviz.explore.locus_modelled import Expected, Hiding, Probability, Received, Saturated
from ntviz.motifs import Motif
from ntviz.motifs import read as read_motifs
from ntviz.plot.words import plain
from ntviz.reference import Reference

Signals = str | Path | Iterable[str | Path] | Mapping[str, Signal | str | Path]
RESERVED = ("genes", "elements", "bases", "expected bases", "probability", "attention", "saturation", "attribution", "motifs")
"""Names that a user's file does not take."""


def chosen_components(
    model: Any,
    reference: Reference,
    annotation: Annotation,
    wanted: Sequence[str | Component] | None,
    *,
    beds: Beds,
    bedgraphs: Signals,
    motifs: str | Path | Iterable[Motif] | None,
    target: Any,
    attribution: str,
    head: tuple[int, int] | None,
    window: int | None,
) -> list[Component]:
    """Components from top to bottom, as `explore.locus` takes and names them.

    Raises
    ------
    ValueError
        One is unknown, two have one name, the head is none, or what `explore.locus` says of its target and files.
    """
    size = {} if window is None else {"window": window}
    regions, numbers = file_components(beds, bedgraphs, taken=RESERVED)
    found: list[Component] = [Genes(annotation), *regions, Elements(annotation), Bases(reference)]
    if model is not None:
        if head is not None and not (0 <= head[0] < model.layers and 0 <= head[1] < model.heads):
            raise ValueError(
                f"A head must be one of {model.layers} layers by {model.heads} heads, numbered from 0; received {head}. "
                "Choose one of these."
            )
        hiding = Hiding(model, reference, **size)
        found += [
            Expected(hiding),
            Probability(model, reference, **size),
            Received(model, reference, head=head, **size),
            Saturated(hiding),
        ]
        if target is not None:
            found.append(Attributed(model, reference, target, method=attribution, **size))
    if motifs is not None:
        found.append(Matches(reference, read_motifs(motifs) if isinstance(motifs, str | Path) else motifs))
    found += numbers
    if wanted is not None:
        found = _picked(found, wanted)
    names = [one.name for one in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(
            f"Each component must have a name of its own; received {twice!r} {names.count(twice)} times. Give your file or "
            "component another."
        )
    return found


def file_components(beds: Beds, bedgraphs: Signals, *, taken: Collection[str]) -> tuple[list[Component], list[Component]]:
    """Components of a user's elements, and of numbers a base; in a mapping they have the names given, else those of the files."""
    regions = {plain(name): one for name, one in named(beds, taken=taken).items()}
    numbers: dict[str, Signal | str | Path] = {}
    if isinstance(bedgraphs, Mapping):
        numbers = {plain(name): one for name, one in bedgraphs.items()}
    else:
        for path in [bedgraphs] if isinstance(bedgraphs, str | Path) else bedgraphs:
            stem = plain(Path(path).name.removesuffix(".gz").rsplit(".", 1)[0])
            names = (stem if n == 1 else f"{stem} ({n})" for n in count(1))
            numbers[next(name for name in names if name not in {*taken, *regions, *numbers})] = path
    signals = {name: one if isinstance(one, Signal) else read_signal(one) for name, one in numbers.items()}
    return [Regions(one, name) for name, one in regions.items()], [Numbers(one, name) for name, one in signals.items()]


def _picked(standard: list[Component], wanted: Sequence[str | Component]) -> list[Component]:
    known = {one.name: one for one in standard}
    picked: list[Component] = []
    for one in wanted:
        if isinstance(one, str):
            if one not in known:
                raise ValueError(
                    f"A component must be one of {', '.join(known)}; received {one!r}. Attribution needs target=, motifs "
                    "need motifs=, and all that is the model's needs a model."
                )
            picked.append(known[one])
        elif isinstance(one, Component):
            picked.append(one)
        else:
            raise TypeError(
                f"A component must have name, longest, pieces, compute and tracks; received {type(one).__name__}. See "
                "explore.Component."
            )
    return picked
