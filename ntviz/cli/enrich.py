"""`ntviz enrich`: which heads of a model look at which elements of a genome, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from ntviz.cli import sharded
from ntviz.cli.messages import failing, usage

if TYPE_CHECKING:
    from ntviz.runs.commands import Enrich


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
        shard = sharded.shard_of(asked.shard)
        output(asked.out, asked.cache).check(overwrite=asked.overwrite)
        bases = Reference(asked.reference or data.bundle("chr20"))
        within = Interval.from_str(asked.within) if asked.within else None
        elements = sharded.elements(asked, bases, within, _motifs(asked.motifs))
        around = sharded.words(asked.around)
        if not around or not set(around) <= set(elements.kinds):
            raise ValueError(f"--around must be among {', '.join(elements.kinds)}, but {asked.around!r} came")
        options: dict[str, Any] = {
            "kinds": sharded.words(asked.kinds) or None,
            "nulls": () if asked.nulls == "none" else sharded.words(asked.nulls),
            **{
                name: getattr(asked, name)
                for name in ("threshold", "shifts", "bootstrap", "alpha", "batch", "special", "seed")
            },
        }
        # What can be wrong is found before any weights are loaded.
        check(elements, **options)
        loaded = models.load(asked.model, device=asked.device, dtype=asked.dtype)
        length = asked.length or min(loaded.max_bp, 6_000)
        drawn = [
            window
            for kind in around
            for window in attention.windows(
                elements, kind, length=length, n=asked.windows, reference=bases, seed=asked.seed
            )
        ]
    with sharded.going_on(), failing(OSError, MemoryError), usage(ValueError, FileExistsError):
        found = attention.enrich_file(
            asked.out,
            loaded,
            drawn,
            bases,
            elements,
            shard=shard,
            cache=asked.cache,
            overwrite=asked.overwrite,
            notes=context.obj,
            **options,
        )
    sharded.ended(found)


def _motifs(text: str) -> list[Any]:
    """Motifs of the bundle by their names."""
    from ntviz import data, motifs

    names = sharded.words(text)
    known = motifs.read(data.bundle("motifs")) if names else None
    found = [] if known is None else [motif for name in names for motif in known.named(name)[:1]]
    if len(found) < len(names):
        raise ValueError(f"--motifs must name motifs of the bundle, but {text!r} came. CTCF is one")
    return found
