"""Which heads look at which elements of the genome: the published test, and nulls that can say no."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from ntviz import environment
from ntviz.attention import parts
from ntviz.attention.enrichment_table import Enrichment, concluded
from ntviz.environment import Unfinished
from ntviz.genome import Interval, resolve_contig

if TYPE_CHECKING:
    from ntviz.attention.counting import Part, Question
    from ntviz.models.protocol import DNAModel
    from ntviz.reference import Reference

NULLS = ("shift", "shuffle", "twin", "distance")


class Elements(Protocol):
    """What is asked of elements; `annotation.Annotation` has it."""

    @property
    def kinds(self) -> Sequence[str]: ...
    def indicator(self, interval: Interval, element: Any, /) -> np.ndarray:
        """Which bases are in an element, bool [base], in the direction of the interval's strand."""
        ...


def enrichment(
    model: DNAModel,
    intervals: Any,
    reference: Reference,
    elements: Elements,
    *,
    kinds: Sequence[str] | None = None,
    threshold: float = 0.3,
    nulls: Sequence[str] = NULLS,
    shifts: int = 200,
    bootstrap: int = 1000,
    alpha: float = 0.05,
    batch: int = 1,
    special: Literal["exclude", "include"] = "exclude",
    seed: int = 0,
    shard: tuple[int, int] | None = None,
    out: str | Path | environment.Shelf | None = None,
) -> Enrichment | Unfinished:
    """How much of each head's attention above a threshold falls on each element, and whether that says anything.

    Parameters
    ----------
    model
        Any model whose attention can be observed.
    intervals
        Windows: intervals (0-based half-open), texts such as "chr20:1,001-7,000" (1-based, both ends included), or
        an object that has `intervals`. One that can't be used gets a status in `Enrichment.sequences`.
    reference
        Where their bases come from.
    elements
        Where the elements are.
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
        Windows a pass; it changes time and memory only.
    special
        "exclude": from bases to bases; what `<cls>` gets stands in `to_special`. "include": `<cls>` is a key, a
        query and a position like any other, as the formula reads to the letter.
    seed
        Of everything drawn.
    shard
        (i, n): count only the i-th of n shares of the parts, from 1, for jobs side by side; needs `out`.
    out
        Folder to keep finished parts in, of this analysis alone, or a `Shelf` of any. A run that was cut off goes on
        from there when it is run again, and a part that is lost or damaged is counted anew alone.

    Returns
    -------
    Enrichment
        The table and what belongs to it; of a shard, `Unfinished`: run without it, or `merge`, when all are through.

    Raises
    ------
    ValueError
        A value is out of its range, no window can be used, or `out` holds another analysis.
    MemoryError
        There was not enough memory; the message says what would fit.

    Notes
    -----
    p(f) is the share of pairs (query, key) above the threshold whose key holds a base of element f: as the mean over
    windows of each window's share (windows with no pair are left out, and counted), and pooled over windows. The natural
    frequency is the share of positions that hold a base of f. The published test asks whether the two differ as if
    pairs were independent draws; they are not, and with millions of them nearly everything is significant.

    Nothing here depends on the order of windows, on `batch` or on shards: sums are integers, and what is drawn depends
    on the seed and the text of a region. (Passes of different sizes may round differently on some hardware; that can
    move a pair that lies at the threshold to within rounding. None was seen on CPUs.)

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025, after Vig et al. 2021 (arXiv:2006.15222), who pool. The nulls are ours.
    """
    from ntviz.attention import counting

    windows = windows_of(intervals)
    question = check(
        elements,
        kinds=kinds,
        threshold=threshold,
        nulls=nulls,
        shifts=shifts,
        bootstrap=bootstrap,
        alpha=alpha,
        batch=batch,
        special=special,
        seed=seed,
    )
    if shard is not None:
        environment.share(0, shard)
        if out is None:
            raise ValueError(
                "A shard must have a folder where all shards meet; received out=None. Pass the same out= to each."
            )
    twin = _twin(model, seed) if "twin" in question.nulls else None
    layout = parts.layout(windows)
    about = {
        "format": 1,
        "model": {key: model.info.get(key) for key in ("name", "weights_sha256", "vocabulary", "dtype")},
        "max_tokens": model.max_tokens,
        "layers": model.layers,
        "heads": model.heads,
        "windows": len(windows),
        "windows_sha256": parts.digest(*windows),
        **{
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(question).items()
        },
        "elements": _strangers(elements, reference),
        "parts": layout.chunks,
        "groups": layout.groups,
    }
    folder = None
    chunks = list(range(layout.chunks))
    if out is not None:
        if not about["model"]["weights_sha256"]:
            raise ValueError(
                "A model whose counts are kept must say which weights it has; info['weights_sha256'] of "
                f"{model.name} is {about['model']['weights_sha256']!r}. Leave out= away, or set it."
            )
        about["bases_sha256"], about["elements_sha256"] = _content(
            windows, reference, elements, question.kinds
        )
        folder = parts.Folder(out.folder(about) if isinstance(out, environment.Shelf) else out, about)
        mine = environment.share(layout.chunks, shard or (1, 1))
        chunks = [chunk for chunk in mine if not folder.whole(chunk)]
    total = counting.Part(np.arange(layout.groups))
    work = [layout.of(chunk) for chunk in chunks]
    with environment.progress(total=sum(map(len, work)), what="counting attention", unit="windows") as bar:
        for chunk, several in zip(chunks, work, strict=True):
            part = counting.count(
                model, twin, several, reference, elements, question, batch=batch, done=bar.update
            )
            if folder is None:
                total.merge(part)
            else:
                folder.write(chunk, part)
    if folder is None:
        return concluded(total, about, bootstrap=bootstrap, alpha=alpha)
    if shard is not None:
        left = folder.missing()
        return Unfinished(folder.path, about["parts"] - len(left), about["parts"], tuple(left))
    return merge(folder.path, bootstrap=bootstrap, alpha=alpha)


def merge(out: str | Path, *, bootstrap: int = 1000, alpha: float = 0.05) -> Enrichment:
    """The table from a folder in which every part is there; needs neither the model nor the genome.

    Parameters
    ----------
    out
        The folder that `enrichment` was given.
    bootstrap, alpha
        As of `enrichment`.

    Raises
    ------
    FileNotFoundError
        There is no analysis in the folder.
    ValueError
        Parts are missing, the message says which, or damaged.
    """
    folder = parts.Folder.found(out)
    return concluded(_collected(folder), folder.about, bootstrap=bootstrap, alpha=alpha)


def _collected(folder: parts.Folder) -> Part:
    from ntviz.attention.counting import Part

    left = folder.missing()
    if left:
        named = ", ".join(map(str, left[:20])) + (f" and {len(left) - 20} more" if len(left) > 20 else "")
        raise ValueError(
            f"All {folder.about['parts']} parts must be in {folder.path}; {len(left)} are missing: {named} (from 0). "
            "Run the analysis again with the same out=: only these are counted."
        )
    total = Part(np.arange(folder.about["groups"]))
    for chunk in range(folder.about["parts"]):
        total.merge(folder.read(chunk))
    return total


def windows_of(intervals: Any) -> list[Interval]:
    """The windows, however they were given; see `enrichment`.

    Raises
    ------
    ValueError
        One is no interval, or there is none.
    """
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


def _kinds(elements: Elements, kinds: Sequence[str] | None) -> tuple[str, ...]:
    wanted = tuple(elements.kinds) if kinds is None else (kinds,) if isinstance(kinds, str) else tuple(kinds)
    unknown = [kind for kind in wanted if kind not in elements.kinds]
    if unknown:
        raise ValueError(
            f"kinds must be among the elements there are: {', '.join(elements.kinds)}; received {unknown[0]!r}. "
            "Take one of these, or add the element to the annotation."
        )
    return wanted


def check(
    elements: Elements,
    *,
    kinds: Sequence[str] | None = None,
    threshold: float = 0.3,
    nulls: Sequence[str] = NULLS,
    shifts: int = 200,
    bootstrap: int = 1000,
    alpha: float = 0.05,
    batch: int = 1,
    special: Literal["exclude", "include"] = "exclude",
    seed: int = 0,
) -> Question:
    """What is asked of `enrichment`, each value in its range; parameters as there.

    Raises
    ------
    ValueError
        One is not.
    """
    from ntviz.attention.counting import Question

    question = Question(
        _kinds(elements, kinds), float(threshold), tuple(nulls), int(shifts), special, int(seed)
    )
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1; received {alpha}. 0.05 is usual.")
    fewest = int(np.ceil(1 / alpha)) - 1
    if "shift" in question.nulls and question.shifts < fewest:
        raise ValueError(
            f"shifts must be at least {fewest} for alpha {alpha}: of fewer, not even the rarest is rare enough; "
            f"received {question.shifts}. 200 is a good number."
        )
    if bootstrap < 1 or batch < 1:
        raise ValueError(
            f"bootstrap and batch must be at least 1; received {bootstrap} and {batch}. 1000 and 1 are usual."
        )
    return question


def _twin(model: Any, seed: int) -> Any:
    made = getattr(model, "random_twin", None)
    if made is None:
        raise ValueError(
            f"The null 'twin' must have a model that can make one; {type(model).__name__} has no random_twin. "
            "Leave 'twin' out of nulls."
        )
    return made(seed)


def _strangers(elements: Any, reference: Any) -> dict[str, Any]:
    """Features on contigs that the reference does not have."""
    table = getattr(elements, "table", None)
    if table is None:
        return {"features": None, "strangers": 0, "contigs": []}
    lost = []
    for contig in dict.fromkeys(map(str, table["chrom"])):
        try:
            resolve_contig(contig, reference.contigs)
        except ValueError:
            lost.append(contig)
    strangers = int(table["chrom"].astype(str).isin(lost).sum())
    return {"features": len(table), "strangers": strangers, "contigs": lost[:20]}


def _content(
    windows: Sequence[Interval], reference: Any, elements: Elements, kinds: Sequence[str]
) -> tuple[str, str]:
    """Digests of the bases and of the elements in all windows."""
    bases, inside = hashlib.sha256(), hashlib.sha256()
    for window in windows:
        try:
            bases.update(reference.fetch(window).sequence.encode())
        except ValueError:
            bases.update(b"absent")
        for kind in kinds:
            inside.update(np.packbits(elements.indicator(window, kind)).tobytes())
    return bases.hexdigest(), inside.hexdigest()
