"""`ntviz enrich` and `ntviz landscape`: what a model looks at, and what it reconstructs, by genomic element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ntviz.cli.messages import failing, usage
from ntviz.cli.sharded import ended, going_on, shard_of, split
from ntviz.environment import tell

if TYPE_CHECKING:
    from ntviz.genome import Interval
    from ntviz.reference import Reference
    from ntviz.runs.commands import Enrich, Landscape

_SAME = ("threshold", "shifts", "bootstrap", "alpha", "batch", "special", "seed")


def enrich(context: typer.Context, asked: Enrich) -> None:
    """Ask which heads look at which elements: shares of attention on each, beside shifted, shuffled and random ones.

    Windows are drawn around elements of a reference. Killed at any moment and run again, it goes on where it stopped. Exit
    code: 0 all was done, 1 it failed, 2 the arguments were wrong, 130 it was interrupted.
    """
    from ntviz import attention, data, models
    from ntviz.attention.enrichment import check, output
    from ntviz.genome import Interval
    from ntviz.reference import Reference

    with usage(OSError, ValueError):
        shard = shard_of(asked.shard)
        output(asked.out, asked.cache).check(overwrite=asked.overwrite)
        bases = Reference(asked.reference or data.bundle("chr20"))
        within = Interval.from_str(asked.within) if asked.within else None
        elements = _elements(asked, bases, within, _motifs(asked.motifs))
        around = split(asked.around)
        if not around or not set(around) <= set(elements.kinds):
            raise ValueError(f"--around must be among {', '.join(elements.kinds)}, but {asked.around!r} came")
        options: dict[str, Any] = {name: getattr(asked, name) for name in _SAME}
        options["kinds"] = split(asked.kinds) or None
        options["nulls"] = () if asked.nulls == "none" else split(asked.nulls)
        # What can be wrong is found before any weights are loaded.
        check(elements, **options)
        loaded = models.load(asked.model, device=asked.device, dtype=asked.dtype)
        length = asked.length or min(loaded.max_bp, 6_000)
        drawn: dict[str, Any] = {"length": length, "n": asked.windows, "reference": bases, "seed": asked.seed}
        windows = [window for kind in around for window in attention.windows(elements, kind, **drawn)]
    with going_on(), failing(OSError, MemoryError), usage(ValueError, FileExistsError):
        result = attention.enrich_file(
            asked.out, loaded, windows, bases, elements, shard=shard, cache=asked.cache, overwrite=asked.overwrite,
            notes=context.obj, **options,
        )  # fmt: skip
    ended(result)


def landscape(context: typer.Context, asked: Landscape) -> None:
    """Hide each base of a region from a model, and keep what it expects there.

    bedGraph counts from 0, as it is defined. Killed at any moment and run again, it goes on where it stopped. Exit code: 0
    all was done, 1 it failed, 2 the arguments were wrong, 130 it was interrupted.
    """
    from ntviz import data, models
    from ntviz.genome import Interval
    from ntviz.landscape import reconstruct_file
    from ntviz.landscape.reconstruct import Options, check_place, output
    from ntviz.reference import Reference

    with usage(OSError, ValueError):
        shard = shard_of(asked.shard)
        output(asked.out, asked.cache, track=asked.track, bin=asked.bin).check(overwrite=asked.overwrite)
        bases = Reference(asked.reference or data.bundle("chr20"))
        place = Interval.from_str(asked.region) if ":" in asked.region else bases.whole(asked.region)
        # What can be wrong is found before any weights are loaded.
        check_place(bases, place)
        given: dict[str, Any] = {field.name: getattr(asked, field.name) for field in fields(Options)}
        given["share"] = asked.share or None
        given["control"] = () if asked.control == "none" else split(asked.control)
        options = Options(**given)
        elements = _elements(asked, bases, place) if asked.by_element else None
        loaded = models.load(asked.model, device=asked.device, dtype=asked.dtype)
    with going_on(), failing(OSError, MemoryError), usage(ValueError, FileExistsError):
        result = reconstruct_file(
            asked.out, loaded, bases, place, shard=shard, cache=asked.cache, overwrite=asked.overwrite,
            track=asked.track, bin=asked.bin, elements=elements, notes=context.obj, **vars(options),
        )  # fmt: skip
    ended(result)


def _motifs(text: str) -> list[Any]:
    """Motifs of the bundle by their names."""
    from ntviz import data, motifs

    names = split(text)
    known = motifs.read(data.bundle("motifs")) if names else None
    found = [] if known is None else [motif for name in names for motif in known.named(name)[:1]]
    if len(found) < len(names):
        raise ValueError(f"--motifs must name motifs of the bundle, but {text!r} came. CTCF is one")
    return found


def _elements(asked: Any, bases: Reference, within: Interval | None, motifs: Sequence[Any] = ()) -> Any:
    """The elements of `--genes` and of the further files of `--beds`, as `attention.paper_elements` derives them."""
    from ntviz import annotation, attention, data
    from ntviz.annotation.combine import require_within

    if asked.genes is None and asked.reference is not None:
        why = "none came. Give a GTF, GFF3 or BED"
        raise FileNotFoundError(f"--genes must name the genes of the genome that --reference is, but {why}")
    first, *more = files = [asked.genes or data.bundle("genes"), *map(Path, split(asked.beds))]
    if missing := [str(file) for file in files if not file.is_file()]:
        hint = "Check --genes and --beds"
        raise FileNotFoundError(f"elements must be in files, but there is none at {missing[0]}. {hint}")
    known = annotation.read(first)
    contigs = [bases.whole(name) for name in bases.contigs]
    require_within(known, contigs)
    if within is not None and not len(known.within(within)):
        tell(f"Nothing of {known.source} lies on {within.label()}.")
    others = annotation.named(more, within=contigs if within is None else within).values()
    return attention.paper_elements(known, bases, *others, motifs=motifs, within=within)
