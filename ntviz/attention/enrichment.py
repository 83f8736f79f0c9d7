"""Which heads look at which elements of the genome: the published test, and nulls that can say no."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ntviz import environment, storage
from ntviz.annotation import Annotation
from ntviz.attention import counts
from ntviz.attention.counts import NULLS, Question
from ntviz.attention.enrichment_table import Enrichment, concluded
from ntviz.attention.observers import Above
from ntviz.genome import Interval, resolve_contig
from ntviz.models.protocol import DNAModel
from ntviz.reference import Reference
from ntviz.storage import Finished, Output, Pieces, Unfinished


def enrichment(
    model: DNAModel, intervals: Any, reference: Reference, elements: Annotation, *, kinds: Sequence[str] | None = None,
    threshold: float = 0.3, nulls: Sequence[str] = NULLS, shifts: int = 200, bootstrap: int = 1000, alpha: float = 0.05,
    batch: int | None = None, special: Literal["exclude", "include"] = "exclude", seed: int = 0,
    shard: tuple[int, int] | None = None, out: str | Path | Output | None = None,
) -> Enrichment | Unfinished:  # fmt: skip
    """How much of each head's attention above a threshold falls on each element, and whether that says anything.

    p(f) is the share of pairs (query, key) above the threshold whose key holds a base of element f: as the mean over
    windows of each window's share (windows with no pair are left out, and counted), and pooled over windows. The natural
    frequency is the share of positions that hold a base of f. The published test asks whether the two differ as if
    pairs were independent draws; they are not, and with millions of them nearly everything is significant.

    Nothing here depends on the order of windows, on `batch` or on shards: sums are integers, and what is drawn depends
    on the seed and the text of a region. (Passes of different sizes may round differently on some hardware; that can
    move a pair that lies at the threshold to within rounding. None was seen on CPUs.)

    Parameters
    ----------
    model
        Any model whose attention can be observed.
    intervals
        Windows: intervals (0-based half-open), texts such as "chr20:1,001-7,000" (1-based, both ends included), or
        an object that has `intervals`. One that can't be used gets a status in `Enrichment.sequences`.
    kinds
        Elements wanted; all when None.
    threshold
        Share of a query's attention that a key must exceed. 0.3 is the paper's.
    nulls
        What to compare with. "shift": the elements turned around their window, the same way for all heads; it is what
        `significant` rests on. "shuffle": windows with shuffled bases but the same dinucleotides. "twin": the same model
        with random weights. "distance": as far from the same query on its other side. Shuffle and twin each cost as
        much as the analysis itself.
    shifts
        How often elements are turned.
    bootstrap
        Resamples behind the intervals.
    alpha
        False discovery rate of `significant`, and level of `significant_published`.
    batch
        Windows a pass, of one length; it changes time and memory only. None: one on a CPU, on a GPU as many as fill it and fit.
    special
        "exclude": from bases to bases; what `<cls>` gets stands in `to_special`. "include": `<cls>` is a key, a
        query and a position like any other, as the formula reads to the letter.
    shard
        (i, n): count only the i-th of n shares of the parts, from 1, for jobs side by side; needs `out`.
    out
        Folder to keep finished parts in, of this analysis alone, or a `storage.Output`. A run that was cut off goes on
        from there when it is run again, and a part that is lost or damaged is counted anew alone.

    Returns
    -------
    The table and what belongs to it; of a shard, `Unfinished`: run without it, or `merge`, when all are through. A MemoryError
    says what would fit.

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025, after Vig et al. 2021 (arXiv:2006.15222), who pool. The nulls are ours.
    """
    windows = windows_of(intervals)
    question = check(
        elements, kinds=kinds, nulls=nulls, bootstrap=bootstrap, alpha=alpha, batch=batch,
        threshold=float(threshold), shifts=int(shifts), special=special, seed=int(seed),
    )  # fmt: skip
    if shard is not None:
        storage.share(0, shard)
        if out is None:
            raise ValueError(
                "A shard must have a folder where all shards meet; received out=None. Pass the same out= to each."
            )
    if "twin" in nulls and not hasattr(model, "random_twin"):
        raise ValueError(
            f"The null 'twin' must have a model that can make one; {type(model).__name__} has no random_twin. "
            "Leave 'twin' out of nulls."
        )
    twin = model.random_twin(seed) if "twin" in nulls else None  # type: ignore[attr-defined]
    layout = counts.layout(windows)
    names = _names(len(layout))
    about: dict[str, Any] = {
        "format": 2,
        "model": {key: model.info.get(key) for key in ("name", "weights_sha256", "vocabulary", "dtype")},
        **{name: getattr(model, name) for name in ("max_tokens", "layers", "heads")},
        "windows": len(windows),
        "windows_sha256": storage.digest([str(window) for window in windows]),
        **vars(question) | {"kinds": list(question.kinds), "nulls": list(question.nulls)},
        "elements": _strangers(elements, reference),
        "parts": len(layout),
        "groups": 1 + max(window.group for chunk in layout for window in chunk),
    }
    folder, chunks = None, range(len(layout))
    if out is not None:
        if not about["model"]["weights_sha256"]:
            raise ValueError(
                "A model whose counts are kept must say which weights it has; info['weights_sha256'] of "
                f"{model.name} is {about['model']['weights_sha256']!r}. Leave out= away, or set it."
            )
        about |= _content(windows, reference, elements, question.kinds)
        folder = out.pieces(about) if isinstance(out, Output) else Pieces(out, about)
        mine = storage.share(len(layout), shard or (1, 1))
        chunks = [chunk for chunk in mine if folder.read(names[chunk]) is None]
    total = counts.Part(np.arange(about["groups"]))
    n = sum(len(layout[chunk]) for chunk in chunks)
    with environment.progress(total=n, what="counting attention", unit="windows") as bar:
        for chunk in chunks:
            given = (model, twin, layout[chunk], reference, elements, question)
            part = counts.count(*given, batch=batch, done=bar.update)
            if folder is None:
                total.add(part.groups, part.sums, part.rows)
            else:
                folder.write(names[chunk], part.rows, {"groups": part.groups, **part.sums})
    if folder is None:
        return concluded(total, about, bootstrap=bootstrap, alpha=alpha)
    if shard is not None:
        return folder.unfinished(names)
    return merge(folder.folder, bootstrap=bootstrap, alpha=alpha)


def _names(parts: int) -> list[str]:
    return [f"part-{chunk:05d}" for chunk in range(parts)]


def merge(out: str | Path, *, bootstrap: int = 1000, alpha: float = 0.05) -> Enrichment:
    """The table from the folder `out` of `enrichment`; needs no model and no genome.

    A FileNotFoundError where there is no analysis, a ValueError that names parts that are missing or damaged.
    """
    folder = Pieces.begun(out)
    total = counts.Part(np.arange(folder.about["groups"]))
    for rows, sums in folder.each(_names(folder.about["parts"]), ["groups"]):
        total.add(sums.pop("groups"), sums, rows)
    return concluded(total, folder.about, bootstrap=bootstrap, alpha=alpha)


def enrich_file(
    out: str | Path, model: DNAModel, intervals: Any, reference: Reference, elements: Annotation, *,
    shard: tuple[int, int] = (1, 1), cache: str | Path | None = None, overwrite: bool = False,
    notes: Sequence[str] = (), **options: Any,
) -> Finished | Unfinished:  # fmt: skip
    """Writes the table of `enrichment`, and beside it the windows and what all of it follows from.

    A run that was killed goes on where it stopped, several shards may share the folder at once, and the bytes are those
    of one run.

    Parameters
    ----------
    out
        Where to: .parquet, .tsv or .csv. Of `x.parquet`, `x.windows.parquet` says what became of each window and
        `x.json` what was asked and found.
    shard
        (i, n) from 1: only every n-th part is counted. When all shards are done, the run without a shard writes `out`.
    cache
        Folder of parts, kept, and found by what they follow from; None uses `out` + ".parts", which is removed in the end.
    overwrite
        Whether `out` may be there already. That of a run which did not end may always.
    notes
        Sentences on the inputs, put into `x.json`.
    options
        As of `enrichment`, and what it raises; a FileExistsError where `out` is there from a run that ended.
    """
    target = output(out, cache)
    storage.share(0, shard)
    check(elements, **options)
    target.begin(overwrite=overwrite)
    mine = None if shard == (1, 1) else shard
    found = enrichment(model, intervals, reference, elements, shard=mine, out=target, **options)
    if isinstance(found, Unfinished):
        return found
    path = target.path
    card = storage.write_card(path, notes, summary=found.summary, **found.about)
    windows = storage.write_table(found.sequences, path.with_suffix(f".windows{path.suffix}"))
    # What was asked for comes last: where it is, all is.
    storage.write_table(found.table, path)
    target.end()
    return Finished((path, windows, card), found.summary)


def output(out: str | Path, cache: str | Path | None = None) -> Output:
    """Where a table goes, by an ending that is known."""
    return Output.of(out, cache, storage.TABLES, "A table of attention")


def windows_of(intervals: Any) -> list[Interval]:
    """The windows, however they were given; see `enrichment`."""
    several = getattr(intervals, "intervals", intervals)
    several = [several] if isinstance(several, (str, Interval)) else list(several)
    wrong = [one for one in several if not isinstance(one, (str, Interval))]
    if wrong or not several:
        received = f"{type(wrong[0]).__name__} {wrong[0]!r}" if wrong else "none"
        raise ValueError(
            f"Windows must be intervals or texts such as 'chr20:1,001-7,000', at least one; received {received}. "
            "Pass e.g. attention.windows(...)."
        )
    return [Interval.from_str(one) if isinstance(one, str) else one for one in several]


def check(
    elements: Annotation, *, kinds: Sequence[str] | str | None = None, nulls: Sequence[str] = NULLS,
    bootstrap: int = 1000, alpha: float = 0.05, batch: int | None = None, **options: Any,
) -> Question:  # fmt: skip
    """What is asked of `enrichment`, each value in its range; parameters as there."""
    wanted = tuple(elements.kinds if kinds is None else [kinds] if isinstance(kinds, str) else kinds)
    question = Question(wanted, nulls=tuple(nulls), **options)
    Above(question.threshold)
    unknown = [kind for kind in wanted if kind not in elements.kinds]
    if unknown or not wanted or len(set(wanted)) < len(wanted):
        received = ", ".join(map(repr, unknown or wanted)) or "none"
        raise ValueError(f"kinds must be different ones of {', '.join(elements.kinds)}; received {received}.")
    if not set(nulls) <= set(NULLS) or len(set(nulls)) < len(nulls):
        raise ValueError(
            f"nulls must be different ones of {', '.join(NULLS)}; received {nulls}. Leave out what is not wanted."
        )
    if question.special not in ("exclude", "include"):
        raise ValueError(
            f"special must be 'exclude' or 'include'; received {question.special!r}. 'exclude' counts attention from "
            "bases to bases, 'include' lets special tokens be keys and queries too, as the formula has it."
        )
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1; received {alpha}. 0.05 is usual.")
    fewest = int(np.ceil(1 / alpha)) - 1
    if "shift" in nulls and question.shifts < fewest:
        raise ValueError(
            f"shifts must be at least {fewest} for alpha {alpha}: of fewer, not even the rarest is rare enough; "
            f"received {question.shifts}. 200 is a good number."
        )
    if bootstrap < 1 or (batch is not None and batch < 1):
        raise ValueError(
            f"bootstrap and batch must be at least 1; received {bootstrap} and {batch}. 1000 is usual; leave batch out."
        )
    return question


def _strangers(elements: Any, reference: Any) -> dict[str, Any]:
    """Features on contigs that the reference does not have."""
    table = elements.table
    lost = []
    for contig in dict.fromkeys(map(str, table["chrom"])):
        try:
            resolve_contig(contig, reference.contigs)
        except ValueError:
            lost.append(contig)
    strangers = int(table["chrom"].astype(str).isin(lost).sum())
    return {"features": len(table), "strangers": strangers, "contigs": lost[:20]}


def _content(windows: Any, reference: Any, elements: Any, kinds: Sequence[str]) -> dict[str, str]:
    """Digests of the bases and of the elements in all windows."""
    bases, inside = hashlib.sha256(), hashlib.sha256()
    for window in windows:
        try:
            bases.update(reference.fetch(window).sequence.encode())
        except ValueError:
            bases.update(b"absent")
        for kind in kinds:
            inside.update(np.packbits(elements.indicator(window, kind)).tobytes())
    return {"bases_sha256": bases.hexdigest(), "elements_sha256": inside.hexdigest()}
