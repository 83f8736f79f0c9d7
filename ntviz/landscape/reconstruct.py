"""Masked reconstruction of an interval of any length: window by window in finished pieces, as arrays or as a file.

A run may be killed at any moment and go on, by itself or as many shards: the bytes are always the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import environment, storage
from ntviz.genome import Interval, canonical_contig
from ntviz.genome import sequence as dna
from ntviz.landscape.plan import PIECE, Options, Plan, Stretch, plan, runs, whole_tokens
from ntviz.landscape.result import Landscape, check_track
from ntviz.masking import Reader, Reading
from ntviz.models.protocol import DNAModel
from ntviz.reference import Reference
from ntviz.statistics import ratio, seed_of
from ntviz.storage import Finished, Output, Pieces, Unfinished

if TYPE_CHECKING:
    from ntviz.annotation import Annotation

SUFFIXES = (".npz", ".bedgraph")


def reconstruct(
    model: DNAModel,
    reference: Reference,
    interval: Interval | str,
    *,
    out: str | os.PathLike[str] | None = None,
    share: float | None = 0.15,
    frames: int = 1,
    both_strands: bool = False,
    window: int | None = None,
    flank: int | None = None,
    control: str | Sequence[str] = ("composition",),
    seed: int = 0,
    batch_tokens: int = 16_384,
    piece: int = PIECE,
    what: str | None = "reconstructing",
) -> Landscape:
    """What a model predicts at each base of an interval, when that base is hidden from it with its token.

    The interval is read in windows that overlap, and each base is answered for by the one window where it stands at
    least `flank` bp from an edge, N and the ends of the contig excepted. Windows and frames are anchored at the start
    of the contig, so a base has the same numbers whatever interval it is asked for in. No window reaches over N.

    Parameters
    ----------
    model
        Any `models.DNAModel` over k-mers with a mask.
    reference
        Where the bases come from.
    interval
        0-based half-open, or text such as "chr20:1-60,000"; its strand does not matter. `reference.whole(chrom)`
        is a whole chromosome.
    out
        Folder for finished pieces. A run that was killed goes on from there, and a piece that is lost or damaged is
        made again alone. The arrays of the result are then files mapped into memory, so that memory stays flat.
    share
        Share of the tokens hidden at once, up to 0.5: every (1 / share)th token, rounded, in as many passes, so that
        every token is hidden exactly once. None hides one token at a time. **The two are not the same question**: with
        a share the model sees less around each token, as it did in training, and probabilities differ base by base.
        One by one takes a pass a token, ten to twenty times as long with the default window.
    frames
        Ways of cutting the contig into tokens that are averaged, 1 to k. With 1, tokens begin at multiples of k.
    both_strands
        Whether the reverse complement is read as well, and averaged. The same tokens are hidden.
    window
        bp that the model reads at a time, rounded down to whole tokens; the most it can up to 1,536 when not given.
    flank
        bp at either end of a window that are read and not answered for, rounded down to whole tokens; a quarter of
        the window when not given, so that each base is read in two windows and answered for by one.
    control
        Any of "composition" (free) and "shuffled" (doubles the work); see `Landscape.controls`. () for none.
    seed
        Of the shuffles.
    batch_tokens
        Tokens of a forward pass at most, unless a window has more.
    piece
        bp that are finished, and written, at a time.
    what
        Name of the progress bar; None for none.

    Raises
    ------
    ValueError
        The contig is unknown; the interval is not on it or holds only N; a number is out of range; the model has
        no mask, or tokens of many lengths; the folder was made with other settings.
    OSError
        A piece cannot be written; those before it are kept.

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025, who mask tokens of windows at random and report the probability of the token.
    Ours is by base, a marginal over the k-mers, and over all bases of an interval.
    """
    options = Options(
        share=share, frames=frames, both_strands=both_strands, window=window, flank=flank, control=control,
        seed=seed, batch_tokens=batch_tokens, piece=piece,
    )  # fmt: skip
    asked = plan(model, reference, interval, options)
    folder = None if out is None else Pieces(out, asked.settings)
    made = _answer(model, reference, asked, folder, (1, 1), what)
    if folder is not None:
        return _assembled(asked, folder)
    return _landscape(asked, {name: np.concatenate([piece[name] for piece in made]) for name in asked.names})


def reconstruct_file(
    out: str | os.PathLike[str],
    model: DNAModel,
    reference: Reference,
    interval: Interval | str,
    *,
    shard: tuple[int, int] = (1, 1),
    cache: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    track: str = "probability",
    bin: int = 1,  # noqa: A002
    elements: Annotation | None = None,
    what: str | None = "reconstructing",
    notes: Sequence[str] = (),
    **options: Any,
) -> Finished | Unfinished:
    """Writes a landscape, and where elements are given its table by element.

    A run that was killed goes on where it stopped, several shards may share the folder at once, and the bytes are those
    of one run. Memory does not grow with the interval but for the table.

    Parameters
    ----------
    out
        Where to: .npz for all arrays (`Landscape.load`), or .bedgraph for one track; 0-based half-open as bedGraph is.
    model, reference, interval, options
        As of `reconstruct`.
    shard
        (i, n) from 1: only every n-th piece is made, and nothing is written but pieces. When all shards are done, the
        run without a shard writes `out`.
    cache
        Folder of pieces, kept; None uses `out` + ".parts" and removes it in the end. Pieces are found by what they
        follow from (weights, bases, options), never by names.
    overwrite
        Whether `out` may be there already. That of a run which did not end may always.
    track, bin
        Of a bedGraph; see `Landscape.bedgraph`.
    elements
        Of `x.npz` and `x.bedgraph`, `x.elements.tsv` is then `by_element` over these, and `x.json` says what it follows
        from.
    what
        Name of the progress bar; None for none.
    notes
        Sentences on the inputs, put into `x.json`.

    Raises
    ------
    ValueError, FileExistsError
        `out` has another ending, or is there from a run that ended; the model does not say which weights it has; or as
        `reconstruct`.
    """
    target = output(out, cache, track=track, bin=bin)
    storage.share(0, shard)
    if not model.info.get("weights_sha256"):
        raise ValueError(
            f"A model must say which weights it has for its pieces to be kept; info of {model.name} has no "
            "weights_sha256. Add it, or use landscape.reconstruct, which need not keep any."
        )
    asked = plan(model, reference, interval, Options(**options))
    target.begin(overwrite=overwrite)
    folder = target.pieces(asked.settings)
    _answer(model, reference, asked, folder, shard, what)
    if shard != (1, 1):
        return folder.unfinished(list(map(_name, asked.pieces)))
    # The arrays lie in the folder of pieces, which is about to go: nothing of them leaves this function.
    found, path = _assembled(asked, folder), target.path
    written = [path]
    if elements is not None:
        from ntviz.landscape.by_element import by_element

        written.append(storage.write_table(by_element(found, elements), path.with_suffix(".elements.tsv")))
        about = {"model": found.model, "interval": found.interval.label(), "settings": found.settings}
        written.append(storage.write_card(path, notes, summary=repr(found), **about))
    # What was asked for comes last: where it is, all is.
    if path.suffix == ".npz":
        found.save(path)
    else:
        found.bedgraph(path, track, bin=bin)
    target.end()
    return Finished(tuple(written), repr(found))


def output(
    out: str | os.PathLike[str],
    cache: str | os.PathLike[str] | None = None,
    *,
    track: str = "probability",
    bin: int = 1,  # noqa: A002
) -> Output:
    """Where a landscape goes, by an ending that is known."""
    check_track(track, bin)
    return Output.of(out, cache, SUFFIXES, "A landscape")


# Pieces ---------------------------------------------------------------------------------------------------------------


def _answer(
    model: DNAModel,
    reference: Reference,
    asked: Plan,
    folder: Pieces | None,
    shard: tuple[int, int],
    what: str | None,
) -> list[dict[str, np.ndarray]]:
    """The pieces of a shard, arrays by name, in order; with a folder they are kept there, and none is returned."""
    mine = [asked.pieces[number] for number in storage.share(len(asked.pieces), shard)]
    total, chrom, tiling = sum(place.end - place.start for place in mine), asked.interval.chrom, asked.tiling
    made: list[dict[str, np.ndarray]] = []
    with nullcontext() if what is None else environment.progress(total=total, what=what, unit="bp") as bar:
        for place in mine:
            cores = list(tiling.cores(place.start, place.end))
            seen = Stretch(tiling.window_of(cores[0]).start, tiling.window_of(cores[-1]).end)
            text = reference.fetch(Interval(chrom, *seen)).sequence
            # A piece is made again where it is missing, damaged, or of other bases.
            about = {"bases": hashlib.blake2b(text.encode("ascii"), digest_size=16).hexdigest()}
            kept = folder.read(_name(place), asked.names) if folder is not None else None
            if kept is None or kept[0] != about:
                arrays = _piece(model, asked, place, text, seen.start)
                if folder is None:
                    made.append(arrays)
                else:
                    folder.write(_name(place), about, arrays)
            if bar is not None:
                bar.update(place.end - place.start)
    return made


def _name(place: Stretch) -> str:
    return f"{place.start:012d}-{place.end:012d}"


def _assembled(asked: Plan, folder: Pieces) -> Landscape:
    """The landscape from a folder in which every piece is there: its arrays are read-only files mapped into memory."""
    files, names = {key: folder.folder / f"{key}.npy" for key in asked.names}, list(map(_name, asked.pieces))
    first, n = asked.interval.start, len(asked.interval)
    with ExitStack() as stack:
        made = {key: stack.enter_context(storage.beside(path)) for key, path in files.items()}
        whole = {key: np.lib.format.open_memmap(path, "w+", np.float32, (n,)) for key, path in made.items()}
        for place, (_, arrays) in zip(asked.pieces, folder.each(names, asked.names), strict=True):
            for key, values in whole.items():
                values[place.start - first : place.end - first] = arrays[key]
        for key, path in made.items():
            whole[key].flush()
            os.replace(path, files[key])
    return _landscape(asked, {key: np.load(path, mmap_mode="r") for key, path in files.items()})


def _landscape(asked: Plan, found: dict[str, np.ndarray]) -> Landscape:
    main = [found.pop(name) for name in ("probability", "correct", "entropy")]
    return Landscape(asked.interval, *main, asked.model, asked.tiling.length, found, asked.settings)


class _Sums:
    """Probabilities of the bases of a piece, added up over frames and strands."""

    def __init__(self, place: Stretch, codes: np.ndarray) -> None:
        self.place, self.codes = place, codes
        self.total, self.count = np.zeros((len(codes), 4)), np.zeros(len(codes))

    def add(self, starts: np.ndarray, rows: np.ndarray, wanted: Stretch) -> None:
        """Rows [token, k, 4] of the tokens whose first bases are at `starts`; what is not wanted is dropped."""
        places = (starts[:, None] + np.arange(rows.shape[1])).ravel()
        inside = (places >= wanted.start) & (places < wanted.end)
        at = places[inside] - self.place.start
        # Within one reading, no base is covered twice.
        self.total[at] += rows.reshape(-1, 4)[inside]
        self.count[at] += 1

    def summary(self) -> np.ndarray:
        """Probability of the reference base, whether it is the most probable, and entropy in bits, [3, base]."""
        from scipy.special import entr

        known = (self.count > 0) & (self.codes < 4)
        rows = self.total[known] / self.count[known, None]
        own = rows[np.arange(len(rows)), self.codes[known]]
        whole = np.full((3, len(self.count)), np.nan, np.float32)
        whole[:, known] = own, rows.max(axis=1) == own, entr(rows).sum(axis=1) / np.log(2)
        return whole


def readings(
    text: str, place: Stretch, wanted: Stretch, *, k: int, apart: int | None, both_strands: bool
) -> Iterator[tuple[Reading, np.ndarray]]:
    """Readings that hide every token with a wanted base exactly once a strand, and where those asked for begin on the contig.

    The text is of whole tokens without N at a place; every `apart`th token is hidden at once, or one at a time.
    """
    starts = place.start + k * np.arange(len(text) // k)
    answered = (starts < wanted.end) & (starts + k > wanted.start)
    # Numbers of tokens from the start of the contig: the same tokens are hidden together in every window.
    group = np.arange(len(starts)) if apart is None else starts // k % apart
    for reverse in (False, True) if both_strands else (False,):
        for number in np.unique(group[answered]):
            hidden = group == number
            masked, asked = (tuple(np.flatnonzero(one).tolist()) for one in (hidden, hidden & answered))
            yield Reading(text, reverse, masked, asked), starts[hidden & answered]


def _piece(model: DNAModel, asked: Plan, place: Stretch, text: str, first: int) -> dict[str, np.ndarray]:
    """The arrays of a piece; the text, from `first` on the contig, reaches as far as its windows."""
    options, contig, n = asked.options, canonical_contig(asked.interval.chrom), place.end - place.start
    plain = _Sums(place, dna.codes(text[place.start - first : place.end - first]))
    turned = _Sums(place, np.full(n, 4, np.uint8))
    composition = np.full(n, np.nan, np.float32)
    work: list[tuple[Reading, np.ndarray, Stretch, _Sums]] = []
    for core in asked.tiling.cores(place.start, place.end):
        window = asked.tiling.window_of(core)
        for run in runs(text[window.start - first : window.end - first], window.start):
            wanted = Stretch(max(core.start, place.start, run.start), min(core.end, place.end, run.end))
            if wanted.start >= wanted.end:
                continue
            inside = slice(wanted.start - place.start, wanted.end - place.start)
            own = slice(wanted.start - run.start, wanted.end - run.start)
            bases = text[run.start - first : run.end - first]
            codes = dna.codes(bases)
            # Of the base among the others of the run.
            counts = np.bincount(codes, minlength=4)[codes[own]]
            composition[inside] = ratio(counts - 1, len(bases) - 1)
            texts = [(bases, plain)]
            if "shuffled" in options.controls:
                shuffled = dna.shuffle(bases, k=2, seed=seed_of(options.seed, contig, run.start, run.end))
                texts.append((shuffled, turned))
                turned.codes[inside] = dna.codes(shuffled[own])
            for letters, sums in texts:
                for frame in range(options.frames):
                    part = whole_tokens(run, asked.k, frame)
                    tokens = letters[part.start - run.start : part.end - run.start]
                    how = {"k": asked.k, "apart": asked.apart, "both_strands": options.both_strands}
                    work += [(*one, wanted, sums) for one in readings(tokens, part, wanted, **how)]
    reader = Reader(model, batch_tokens=options.batch_tokens)
    answers = reader.masked([reading for reading, *_ in work])
    for (reading, logits), (_, starts, wanted, sums) in zip(answers, work, strict=True):
        sums.add(starts, reader.base_probs(reading, logits), wanted)
    found = dict(zip(("probability", "correct", "entropy"), plain.summary(), strict=True))
    controls = {"composition": composition, "shuffled": turned.summary()[0]}
    return found | {name: controls[name] for name in options.controls}
