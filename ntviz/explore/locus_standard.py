"""Which components a locus has: the standard ones that can be had, and those of the user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ntviz.annotation import Annotation, Signal, read_signal
from ntviz.annotation import read as read_annotation
from ntviz.explore.locus_annotated import Bases, Elements, Genes, Matches, Numbers, Regions
from ntviz.explore.locus_attributed import Attributed
from ntviz.explore.locus_component import Component
from ntviz.explore.locus_modelled import Expected, Probability, Received, Saturated
from ntviz.motifs import Motif
from ntviz.motifs import read as read_motifs
from ntviz.plot.words import plain
from ntviz.reference import Reference


def chosen_components(
    model: Any,
    reference: Reference,
    annotation: Annotation,
    wanted: Sequence[str | Component] | None,
    *,
    beds: Mapping[str, Annotation | str | Path],
    bedgraphs: Mapping[str, Signal | str | Path],
    motifs: str | Path | Iterable[Motif] | None,
    target: Any,
    method: str,
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
    found: list[Component] = [Genes(annotation)]
    found += [Regions(_annotation(one), plain(name)) for name, one in beds.items()]
    found += [Elements(annotation), Bases(reference)]
    if model is not None:
        if head is not None and not (0 <= head[0] < model.layers and 0 <= head[1] < model.heads):
            raise ValueError(
                f"A head must be one of {model.layers} layers by {model.heads} heads, numbered from 0; received {head}. "
                "Choose one of these."
            )
        found += [
            Expected(model, reference, **size),
            Probability(model, reference, **size),
            Received(model, reference, head=head, **size),
            Saturated(model, reference, **size),
        ]
        if target is not None:
            found.append(Attributed(model, reference, target, method=method, **size))
    if motifs is not None:
        chosen = read_motifs(motifs) if isinstance(motifs, str | Path) else motifs
        found.append(Matches(reference, chosen))
    found += [Numbers(_signal(one), plain(name)) for name, one in bedgraphs.items()]
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


def _annotation(one: Annotation | str | Path) -> Annotation:
    return one if isinstance(one, Annotation) else read_annotation(one)


def _signal(one: Signal | str | Path) -> Signal:
    return one if isinstance(one, Signal) else read_signal(one)
