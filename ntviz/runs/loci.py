"""Genes and regions that a run is asked for, held to its annotation and its reference before anything is computed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz import data
from ntviz.environment import lines_of
from ntviz.genome import Interval, resolve_contig

if TYPE_CHECKING:
    from ntviz.annotation import Annotation

# A whole value: a column, or between the quotes of GTF or behind the sign of GFF3.
_VALUE = re.compile(r"[\"=:,\t]([^\s\";=,]+)(?=[\";,\t]|$)")


@lru_cache(maxsize=4)
def _begun(path: Path) -> tuple[set[str], Iterator[tuple[int, str]]]:
    return set(), lines_of(path)


def _holds(path: Path, name: str) -> bool:
    """Whether a name is among the values of a file, read as far as needed: most are found before parsing would have begun."""
    seen, lines = _begun(path)
    return name in seen or any(seen.update(values := _VALUE.findall(line)) or name in values for _, line in lines)


@lru_cache(maxsize=2)
def _annotation(path: Path) -> Annotation:
    from ntviz import annotation

    return annotation.read(path)


def check(values: Mapping[str, Any], base: str | Path = ".") -> None:
    """Refuses a gene that the annotation lacks, and a region that is not on its contig; a ValueError offers near names.

    `values` are a notebook's parameters or a command's options, by name. A `gene` is looked for in `genes`, and a `region`, which
    goes before it, or `within`, in the index of `fasta` or `reference` where there is one; empty: the bundle's. Others are left.
    """
    base, region = Path(base), str(values.get("region") or values.get("within") or "")
    file = next((values[name] or data.bundle("chr20") for name in ("fasta", "reference") if name in values), None)
    if region:
        if file is not None and (index := Path(f"{base / file}.fai")).is_file() and ":" in region:
            _check_region(region, index)
    elif (gene := values.get("gene")) and "genes" in values:
        path = base / (values["genes"] or data.bundle("genes"))
        if path.is_file() and (path.suffix in (".bb", ".bigbed") or not _holds(path, gene)):
            _annotation(path).gene(gene)


def _check_region(region: str, index: Path) -> None:
    place = Interval.from_str(region)
    rows = (line.split("\t") for line in index.read_text(encoding="utf-8").splitlines())
    contigs = {row[0]: int(row[1]) for row in rows if len(row) > 1}
    name = resolve_contig(place.chrom, contigs)
    if place.end > contigs[name] or place.start < 0:
        where = f"{region} is not: {name} has {contigs[name]:,} bp. Correct it, or name the reference that it is of"
        raise ValueError(f"a region must lie on its contig, but {where}")
