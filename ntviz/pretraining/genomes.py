"""Many genomes as one corpus: a sheet of FASTA files, each with its share of the training sequences.

References
----------
Dalla-Torre et al., Nature Methods 2025: 850 genomes of all kingdoms but plants and viruses, 174 billion bases.
"""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

from ntviz.genome import Interval
from ntviz.pretraining import corpus, sheets
from ntviz.pretraining.corpus import Corpus


def read(sheet: str | os.PathLike[str], *, store: str = "shards", **options: Any) -> Corpus:
    """The corpus of all genomes of a sheet.

    Sampling is weighted and deterministic: of every 20,000 sequences in order each genome has as many as its weight
    says, to the nearest and at least one, and each of its chunks comes once before any comes again.

    Parameters
    ----------
    sheet
        Tab-separated, with the columns name (unique) and fasta (path, from the sheet's folder), and optionally weight
        (its share relative to the others; on all rows or none, where each genome then counts by its number of chunks)
        and held_out (regions such as chr20:1,000-2,000, 1-based closed, several with ";" between).
    store, options
        See `corpus.read`; "shards" by default, as many genomes fit into no memory.

    Raises
    ------
    ValueError
        The sheet is not as above, each error with the number of its line; a weight is not above 0; a genome gives no chunk.
    FileNotFoundError
        A FASTA is not there.
    """
    path = Path(sheet)
    rows = sheets.read(path, ("name", "fasta"), ("weight", "held_out"))
    files: dict[str, Path] = {}
    weights: dict[str, float] = {}
    held_out: dict[str, list[Interval]] = {}
    for number, row in rows:
        name = row["name"]
        files[name] = path.parent / row["fasta"]
        if not files[name].is_file():
            raise FileNotFoundError(
                f"Each fasta of {path} must be there; line {number} names {files[name]}. Mend the path."
            )
        if row.get("weight"):
            weights[name] = _weight(row["weight"], path, number)
        try:
            held_out[name] = [
                Interval.from_str(text.strip()) for text in row.get("held_out", "").split(";") if text.strip()
            ]
        except ValueError as error:
            raise ValueError(f"Line {number} of {path}: {error}") from error
    if weights and len(weights) < len(rows):
        bare = next(number for number, row in rows if row["name"] not in weights)
        raise ValueError(
            f"Weights of {path} must be on all rows or on none; line {bare} has none. Write one, or empty the column."
        )
    found = corpus.read(files, held_out=held_out, store=store, **options)
    chunks = found.chunks["source"].value_counts()
    empty = [name for name in files if name not in chunks.index]
    if empty:
        raise ValueError(
            f"Each genome of {path} must give a chunk; {empty[0]!r} gives none: its contigs are too short, held out or "
            "unknown. Remove it, or use shorter chunks."
        )
    return dataclasses.replace(found, weights=weights or {name: float(chunks[name]) for name in files})


def _weight(text: str, path: Path, number: int) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise ValueError(
            f"A weight of {path} must be a number above 0; line {number} has {text!r}. Mend it, or remove the row."
        )
    return weight
