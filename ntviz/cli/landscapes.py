"""`ntviz landscape`: what a model reconstructs at each base of a region, up to a chromosome."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import typer

from ntviz.cli import sharded
from ntviz.cli.messages import failing, usage

if TYPE_CHECKING:
    from ntviz.runs.commands import Landscape


def landscape(context: typer.Context, asked: Landscape) -> None:
    """Hide each base of a region from a model, and keep what it expects there.

    bedGraph counts from 0, as it is defined. Killed at any moment and run again, it goes on where it stopped. Exit code: 0
    all was done, 1 it failed, 2 the arguments were wrong, 130 it was interrupted.
    """
    from ntviz import data, landscape, models
    from ntviz.genome import Interval
    from ntviz.landscape.plan import Options, check_place
    from ntviz.landscape.reconstruct import output as output_of
    from ntviz.reference import Reference

    with usage(OSError, ValueError):
        shard = sharded.shard_of(asked.shard)
        output = output_of(asked.out, asked.cache, track=asked.track, bin=asked.bin)
        output.check(overwrite=asked.overwrite)
        bases = Reference(asked.reference or data.bundle("chr20"))
        place = Interval.from_str(asked.region) if ":" in asked.region else bases.whole(asked.region)
        # What can be wrong is found before any weights are loaded.
        check_place(bases, place)
        given: dict[str, Any] = {field.name: getattr(asked, field.name) for field in fields(Options)}
        given |= {
            "share": asked.share or None,
            "control": () if asked.control == "none" else sharded.words(asked.control),
        }
        options = Options(**given)
        elements = sharded.elements(asked, bases, place) if asked.by_element else None
        loaded = models.load(asked.model, device=asked.device, dtype=asked.dtype)
    with sharded.going_on(), failing(OSError, MemoryError), usage(ValueError, FileExistsError):
        found = landscape.reconstruct_file(
            asked.out,
            loaded,
            bases,
            place,
            shard=shard,
            cache=asked.cache,
            overwrite=asked.overwrite,
            track=asked.track,
            bin=asked.bin,
            elements=elements,
            notes=context.obj,
            **vars(options),
        )
    sharded.ended(found)
