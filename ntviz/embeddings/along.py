"""Vectors of every token along a sequence or an interval of any length, read in tiles whose seams are measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import tiling
from ntviz.embeddings.vectors import BATCH_TOKENS
from ntviz.environment import progress
from ntviz.genome import Interval
from ntviz.tiling import Seams, Stretch
from ntviz.tokens import Vocabulary

if TYPE_CHECKING:
    from ntviz.models.protocol import DNAModel
    from ntviz.reference import Reference


@dataclass(frozen=True, eq=False)
class Along:
    """Vectors of one layer along a sequence, in the order in which it was read; made by `along`.

    Attributes
    ----------
    spans
        int64 [token, 2], 0-based half-open in bp: on the genome where there is an interval (of the strand "-" they run from right
        to left), else in the sequence.
    length
        bp that were asked for.
    seams
        How tiles overlap, and by how much vectors at their seams differ from those of a window centred on the place.
    """

    values: np.ndarray  # float32 [token, hidden]
    spans: np.ndarray
    length: int
    interval: Interval | None
    layer: int
    model: dict[str, Any]
    seams: Seams

    def __repr__(self) -> str:
        where = "a sequence" if self.interval is None else self.interval.label()
        unread = f", {self.unread:,} bp not read" if self.unread else ""
        name = self.model.get("name")
        return f"Along({len(self.values):,} tokens of {name}, layer {self.layer}, {where}{unread}. {self.seams.note})"

    @property
    def unread(self) -> int:
        """Bases in no token: N, and the rest of a run between them (or of the whole) that no whole token covers."""
        return self.length - int(np.diff(self.spans).sum())

    def per_base(self) -> np.ndarray:
        """The vector of the token of each base, float32 [base, hidden], in the order in which bases were read; NaN if in none."""
        place, starts = self.interval, self.spans[:, 0]
        if place is not None:
            starts = place.end - self.spans[:, 1] if place.strand == "-" else starts - place.start
        found = np.full((self.length, self.values.shape[1]), np.nan, np.float32)
        sizes = np.diff(self.spans)[:, 0]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        found[np.repeat(starts, sizes) + within] = np.repeat(self.values, sizes, axis=0)
        return found


def along(
    model: DNAModel, what: Interval | str, reference: Reference | None = None, *, layer: int | None = None,
    tile: int | None = None, overlap: int | Sequence[int] | None = None, limit: float = 0.5,
    sample: int = tiling.SAMPLE, seed: int = 0, batch_tokens: int = BATCH_TOKENS,
) -> Along:  # fmt: skip
    """A vector of each token along a sequence or interval, however long, with the error at the seams of its tiles.

    Tokens are those of the sequence read from its first base, and anew behind each N; tiles begin on this grid and never
    reach over N. What fits into a tile is read in one piece. Else tiles overlap by the smallest of some overlaps that
    keeps vectors at seams as near as `limit` to those of the longest window that the model reads, centred on the place; if
    none does, by the largest, and `Along.seams` says so. The ends of what is asked for are ends to the model too: ask
    for a wider interval where they matter.

    Parameters
    ----------
    model
        Any `models.DNAModel` whose tokens have one length.
    what
        An Interval (read on its strand) or a region such as "chr20:1-60,000" of a `reference`, or bases.
    layer
        0 (the embedding) to `model.layers`, the default.
    tile
        bp read at a time; all that the model reads by default.
    overlap
        bp that neighbours share, or several to try; by default from none to seven eighths of a tile.
    limit
        Largest absolute difference of any dimension at a sampled seam, as a share of the standard deviation over places; the
        mean difference is about a tenth of it.
    sample, seed
        Places at which seams are measured: three windows each for the first overlap tried, two for each further one.

    Raises
    ------
    ValueError
        A place that is not on its contig, no whole token without N, a sample larger than the interval, a limit of 0 or less, a
        tile or overlap that does not fit, tokens of several lengths, a model that does not say how much it reads.
    """
    vocabulary, chosen = model.tokenize("A").vocabulary, model.layers if layer is None else layer
    if not isinstance(vocabulary, Vocabulary):
        raise ValueError(f"Tiles need tokens of one length; {model.name} has {vocabulary.name}. Use embeddings.embed.")
    if not 0 <= chosen <= model.layers:
        raise ValueError(f"layer must be 0 (the embedding) to {model.layers} for {model.name}; received {layer}.")
    place, bases, _ = tiling.bases_of(what, reference)
    if place is not None and reference is not None:
        tiling.on_contig(reference, place)
    # A network that halves its resolution has a grid of its own.
    k, step = vocabulary.k, getattr(getattr(model, "module", None), "step", vocabulary.k)
    size, context = tiling.context_of(model, tile, step)
    parts = [tiling.whole_tokens(run, k, run.start) for run in tiling.runs(bases)]
    parts = [run for run in parts if run.end > run.start]
    if not parts:
        raise ValueError(f"A token is {k} bp without N; the {len(bases):,} bp hold none. Take a longer or another place.")  # fmt: skip

    def read(windows: Sequence[Stretch]) -> Iterator[np.ndarray]:
        """States [token, hidden] of windows, in batches."""
        n = max(1, batch_tokens // (size // k + 1))
        for at in range(0, len(windows), n):
            tokens = [model.tokenize(bases[slice(*window)]) for window in windows[at : at + n]]
            states = model.forward(tokens, outputs=("hidden_states",), layers=(chosen,)).hidden_states
            assert states is not None
            yield from (row[0, : len(one)][~one.is_special] for row, one in zip(states, tokens, strict=True))

    def at_places(work: list[tuple[int, Stretch]]) -> np.ndarray:
        rows = zip(read([window for _, window in work]), work, strict=True)
        return np.stack([states[(at - window.start) // k :][: step // k].ravel() for states, (at, window) in rows])

    seams = tiling.choose(
        at_places, parts, tile=size, context=context, step=step, tried=tiling.overlaps(size, step, overlap), limit=limit,
        sample=sample, seed=seed, unit=f"a dimension of the vectors of layer {chosen}",
    )  # fmt: skip
    every = [one for run in parts for one in tiling.tiles(run, size, seams.overlap, step)]
    parts_of = [slice((tile.first - tile.start) // k, (tile.last - tile.start) // k) for tile in every]
    states = zip(read([Stretch(tile.start, tile.end) for tile in every]), parts_of, strict=True)
    with progress(total=len(every), what=f"reading with {model.name}", unit="tiles") as bar:
        kept = []
        for rows, part in states:
            kept.append(rows[part].astype(np.float32))
            bar.update(1)
    values = np.concatenate(kept)
    starts = np.concatenate([np.arange(tile.first, tile.last, k) for tile in every])
    spans = np.stack([starts, starts + k], axis=1)
    if place is not None:
        spans = place.end - spans[:, ::-1] if place.strand == "-" else place.start + spans
    return Along(values, spans, len(bases), place, chosen, dict(model.info), seams)
