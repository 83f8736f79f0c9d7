"""What commands that can be shared among jobs have in common: their shard, their forecast, and how they end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz.cli.saying import interruptible, note, say
from ntviz.environment import tell

if TYPE_CHECKING:
    from ntviz.genome import Interval
    from ntviz.reference import Reference

SHARD = "i/n: do every n-th piece only; then once without it, which makes the rest and writes the whole."
CACHE = "Folder of finished pieces, kept; default: OUT.parts, removed."
PLAN = "Print what it would take as JSON, and end."
RATE = "Operations a second of a matrix product, to plan for another machine; default: measured here."
ITEMSIZE = {"float32": 4, "bfloat16": 2, "float16": 2}


def shard_of(text: str) -> tuple[int, int]:
    """The numbers of a shard written i/n, counted from 1."""
    first, slash, of = text.partition("/")
    if not (slash and first.isdecimal() and of.isdecimal() and 1 <= int(first) <= int(of)):
        raise ValueError(
            f"--shard must be i/n with i from 1 to n, but {text!r} came. Write 1/4 to 4/4 for four jobs"
        )
    return int(first), int(of)


def words(text: str) -> list[str]:
    """The words of a list by commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def size_of(dtype: str) -> int:
    """Bytes of a number of a type."""
    if dtype not in ITEMSIZE:
        raise ValueError(f"--dtype must be one of {', '.join(ITEMSIZE)}, but {dtype!r} came")
    return ITEMSIZE[dtype]


def planned(forecast: Callable[[float], Any], rate: float | None, device: str, dtype: str) -> None:
    """Prints the forecast for a rate, measured on this machine unless it is given."""
    say(json.dumps(forecast(_measured(device, dtype) if rate is None else rate).plain))


@cache
def _measured(device: str, dtype: str) -> float:
    """Measured once, however many plans are asked for."""
    from ntviz.pretraining import speed

    return speed.matmul_flops(device, dtype=dtype)


def ended(found: Any) -> None:
    """Says what a shard or the whole came to."""
    note(repr(found))
    for file in getattr(found, "written", ()):
        say(str(file))


def going_on() -> contextlib.AbstractContextManager[None]:
    """Ends an interrupted command with a word on what becomes of what was finished."""
    return interruptible("what was finished is kept, and the same command goes on from there")


def annotated(
    genes: Path | None, beds: str, reference: Path | None, bases: Reference, within: Interval | None
) -> list[Any]:
    """The annotation of genes, and the elements of further files by commas, as `annotation.named` names them.

    Raises
    ------
    FileNotFoundError
        A file is not there, or none was named for a reference that is not the bundle's.
    ValueError
        Nothing of the genes lies on a contig of the bases, or nothing of a further file in the region that is looked at.
    """
    from ntviz import annotation, data
    from ntviz.annotation.combining import require_within

    if genes is None and reference is not None:
        raise FileNotFoundError(
            "--genes must name the genes of the genome that --reference is, but none came. Give a GTF, GFF3 or BED"
        )
    files = [genes or data.bundle("genes"), *map(Path, words(beds))]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise FileNotFoundError(
            f"elements must be in files, but there is none at {missing[0]}. Check --genes and --beds"
        )
    first, *more = files
    known = annotation.read(first)
    contigs = [bases.whole(name) for name in bases.contigs]
    require_within(known, contigs)
    if within is not None and not len(known.within(within)):
        tell(f"Nothing of {known.source} lies on {within.label()}.")
    return [known, *annotation.named(more, within=contigs if within is None else within).values()]
