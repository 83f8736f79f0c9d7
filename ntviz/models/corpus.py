"""What a model was trained on, as its folder and the registry say it, and whether a place is part of that."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ntviz.genome import Interval, canonical_contig

_PAPER = {
    "human-ref": "the human reference genome, all chromosomes",
    "1000g": "3,202 human genomes (1000 Genomes), all human chromosomes",
    "multi-species": "850 genomes of several species, all human chromosomes among them",
}
"""Of the Nucleotide Transformers by the end of their names (Dalla-Torre et al., Nature Methods 2025)."""

_SPLICEAI = "human chromosomes " + ", ".join(map(str, (2, 4, 6, 8, *range(10, 23), "X", "Y")))
"""Jaganathan et al. 2019; tested on 1, 3, 5, 7 and 9."""


def corpus(directory: Path, repository: str = "") -> dict[str, str]:
    """What a checkpoint was trained on, as text: corpus, held_out and machine, each where it is known."""
    for name, key in (("training.json", "facts"), ("config.json", "trained_on")):
        try:
            said = json.loads((directory / name).read_text(encoding="utf-8"))[key]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if isinstance(said, str):
            return {"corpus": said}
        if isinstance(said, dict):
            return {key: str(said[key]) for key in ("corpus", "held_out", "machine") if key in said}
    if (directory / "spliceai1.h5").is_file():
        return {"corpus": _SPLICEAI}
    return next(({"corpus": text} for end, text in _PAPER.items() if repository.endswith(end)), {})


def seen(info: dict[str, Any], place: Interval) -> str:
    """A sentence: whether a place, 0-based half-open, lies in what a model was trained on, by the `info` of the loaded model.

    Examples
    --------
    >>> mini = {"name": "mini", "training": {"corpus": "contig 20 of a.fa", "held_out": "chr20:101-200"}}
    >>> seen(mini, Interval("chr20", 120, 130))
    'chr20:121-130 was held out of the training of mini, which has never seen it.'
    >>> seen(mini, Interval("chr20", 10, 30))
    'chr20:11-30 lies in the training data of mini (contig 20 of a.fa).'
    >>> seen({"name": "x"}, Interval("chr20", 10, 30))
    'What x was trained on is not stated.'
    """
    name, told = info["name"], info.get("training") or {}
    text = told.get("corpus", "")
    if not text:
        return f"What {name} was trained on is not stated."
    contig = canonical_contig(place.chrom)
    where = place.label()
    held_out = [
        Interval.from_str(part)
        for part in re.split(r"[;,] (?=\w+:)", told.get("held_out", ""))
        if ":" in part
    ]
    near = [
        part
        for part in held_out
        if canonical_contig(part.chrom) == contig and part.start < place.end and part.end > place.start
    ]
    if any(part.start <= place.start and place.end <= part.end for part in near):
        return f"{where} was held out of the training of {name}, which has never seen it."
    listed = re.search(r"human chromosomes ([\w, ]+)", text)
    contigs = {
        canonical_contig(found)
        for found in [*re.findall(r"contig (\S+) of", text), *(listed[1].split(", ") if listed else [])]
    }
    if contig not in contigs and "all human chromosomes" not in text and "all chromosomes" not in text:
        return f"{where} is not among what {name} was trained on ({text})."
    part = "lies in part" if near else "lies"
    return f"{where} {part} in the training data of {name} ({text})."
