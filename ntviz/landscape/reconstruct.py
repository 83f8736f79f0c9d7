"""Masked reconstruction of an interval of any length: window by window in finished pieces, as arrays or as a file.

A run may be killed at any moment and go on, by itself or as many shards: the bytes are always the same.
"""

# ruff: noqa: A002  bins are called bin
from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ntviz import environment, storage
from ntviz.annotation import Annotation
from ntviz.genome import Interval, canonical_contig
from ntviz.genome import sequence as dna
from ntviz.landscape.by_element import by_element
from ntviz.landscape.result import Landscape, check_track, cuts
from ntviz.masking import Reader, Reading
from ntviz.models.protocol import DNAModel
from ntviz.reference import Reference
from ntviz.statistics import ratio, seed_of
from ntviz.storage import AnyPath, Finished, Output, Pieces, Unfinished
from ntviz.tiling import LIMIT, SAMPLE, Seams, Stretch, choose, on_contig, overlaps, runs, whole_tokens
from ntviz.tokens import Vocabulary

SUFFIXES = (".npz", ".bedgraph")
CONTROLS = ("composition", "shuffled")
LAPTOP_BP = 1_536
"""Longest window by default: the cost of a pass grows with it, and faster than it."""
PIECE = 250_000
"""bp that are finished, and written, at a time."""


def reconstruct(
    model: DNAModel, reference: Reference, interval: Interval | str, *, out: AnyPath | None = None,
    what: str | None = "reconstructing", **options: Any,
) -> Landscape:  # fmt: skip
    """What a model predicts at each base of an interval, when that base is hidden from it with its token.

    The interval is read in windows that overlap, and each base is answered for by the one window where it stands at
    least `flank` bp from an edge, N and the ends of the contig excepted. Windows and frames are anchored at the start
    of the contig, so a base has the same numbers whatever interval it is asked for in. No window reaches over N.

    Parameters
    ----------
    model
        Any `models.DNAModel` over k-mers with a mask.
    interval
        0-based half-open, or text such as "chr20:1-60,000"; its strand does not matter. `reference.whole(chrom)`
        is a whole chromosome.
    out
        Folder for finished pieces. A run that was killed goes on from there, and a piece that is lost or damaged is
        made again alone. The arrays of the result are then files mapped into memory.
    what
        Name of the progress bar; None for none.
    options
        Those that follow, with seed (of shuffling) and batch_tokens; `Options` has their defaults.
    share
        Share of the tokens hidden at once, up to 0.5: every (1 / share)th token, in as many passes, so that every token is
        hidden exactly once. None hides one token at a time, ten to twenty times as long. **The two are not the same
        question**: with a share the model sees less around each token, as in training, and probabilities differ.
    frames
        Ways of cutting the contig into tokens that are averaged, 1 to k. With 1, tokens begin at multiples of k.
    both_strands
        Whether the reverse complement is read as well, and averaged. The same tokens are hidden.
    window
        bp that the model reads at a time, rounded down to whole tokens; the most it can up to 1,536 when not given.
    flank
        bp at either end of a window that are read and not answered for, rounded down to whole tokens; a quarter of
        the window when not given, so that each base is read in two windows and answered for by one.
    limit
        When given, the error at the edges of flanks is measured against windows centred on the place, see `seams`, and is in
        `settings["seams"]`. Without a `flank`, the shortest that keeps the error under this share of the spread is taken.
    sample
        Places at which that is measured.
    control
        Any of "composition" (free) and "shuffled" (doubles the work); see `Landscape.controls`. () for none.
    piece
        bp that are finished, and written, at a time.

    References
    ----------
    Dalla-Torre et al., Nature Methods 2025, who mask tokens of windows at random and report the probability of the token.
    Ours is by base, a marginal over the k-mers, and over all bases of an interval.
    """
    asked = _planned(model, reference, interval, Options(**options))
    folder = None if out is None else Pieces(out, asked.settings)
    made = _answer(model, reference, asked, folder, (1, 1), what)
    if folder is not None:
        return _assembled(asked, folder)
    return _landscape(asked, {name: np.concatenate([piece[name] for piece in made]) for name in asked.names})


def reconstruct_file(
    out: AnyPath, model: DNAModel, reference: Reference, interval: Interval | str, *, shard: tuple[int, int] = (1, 1),
    cache: AnyPath | None = None, overwrite: bool = False, track: str = "probability", bin: int = 1,
    elements: Annotation | None = None, what: str | None = "reconstructing", notes: Sequence[str] = (), **options: Any,
) -> Finished | Unfinished:  # fmt: skip
    """Writes a landscape, and where elements are given its table by element.

    A run that was killed goes on where it stopped, several shards may share the folder at once, and the bytes are those
    of one run. Memory does not grow with the interval but for the table.

    Parameters
    ----------
    out
        Where to: .npz for all arrays (`Landscape.load`), or .bedgraph for one track; 0-based half-open as bedGraph is.
    shard
        (i, n) from 1: only every n-th piece is made. When all shards are done, the run without a shard writes `out`.
    cache
        Folder of pieces, kept, and found by what they follow from; None uses `out` + ".parts", which is removed in the end.
    overwrite
        Whether `out` may be there already. That of a run which did not end may always.
    track, bin
        Of a bedGraph; see `Landscape.bedgraph`.
    elements
        Of `x.npz`, `x.elements.tsv` is then `by_element` over these, and `x.json` says what it follows from.
    notes
        Sentences on the inputs, put into `x.json`.
    options
        As of `reconstruct`, and what it raises; a FileExistsError where `out` is there from a run that ended.
    """
    target = output(out, cache, track=track, bin=bin)
    storage.share(0, shard)
    if not model.info.get("weights_sha256"):
        raise ValueError(
            f"A model must say which weights it has for its pieces to be kept; info of {model.name} has no "
            "weights_sha256. Add it, or use landscape.reconstruct, which need not keep any."
        )
    asked = _planned(model, reference, interval, Options(**options))
    target.begin(overwrite=overwrite)
    folder = target.pieces(asked.settings)
    _answer(model, reference, asked, folder, shard, what)
    if shard != (1, 1):
        return folder.unfinished(list(map(_name, asked.pieces)))
    # The arrays lie in the folder of pieces, which is about to go: nothing of them leaves this function.
    found, path = _assembled(asked, folder), target.path
    written = [path]
    if elements is not None:
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


def output(out: AnyPath, cache: AnyPath | None = None, *, track: str = "probability", bin: int = 1) -> Output:
    """Where a landscape goes, by an ending that is known."""
    check_track(track, bin)
    return Output.of(out, cache, SUFFIXES, "A landscape")


# What is asked, checked -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Options:
    """How tokens are hidden, in what windows, and with what controls; as of `reconstruct`."""

    share: float | None = 0.15
    frames: int = 1
    both_strands: bool = False
    window: int | None = None
    flank: int | None = None
    control: str | Sequence[str] = ("composition",)
    seed: int = 0
    batch_tokens: int = 16_384
    piece: int = PIECE
    limit: float | None = None
    sample: int = SAMPLE

    def __post_init__(self) -> None:
        if self.share is not None and not 0 < self.share <= 0.5:
            raise ValueError(
                f"share must lie above 0 and up to 0.5 of the tokens; received {self.share}. Use 0.15 as in training, or "
                "None to hide one token at a time."
            )
        given = (self.control,) if isinstance(self.control, str) else self.control
        if unknown := set(given) - set(CONTROLS):
            raise ValueError(f"A control must be one of {', '.join(CONTROLS)}; received {unknown.pop()!r}. Use () for none.")  # fmt: skip
        if self.batch_tokens < 1 or self.piece < 1:
            raise ValueError(
                f"batch_tokens and piece must be at least 1; received {self.batch_tokens} and {self.piece} bp. Leave them out."
            )

    @property
    def apart(self) -> int | None:
        """Every which token is hidden at once; None: one at a time."""
        return None if self.share is None else round(1 / self.share)

    @property
    def controls(self) -> tuple[str, ...]:
        """Names of the controls, always in the same order."""
        return tuple(name for name in CONTROLS if name == self.control or name in tuple(self.control))


@dataclass(frozen=True)
class Plan:
    """All that the numbers of a landscape follow from, but for bases and weights.

    Windows overlap and are anchored at the start of the contig, so that no base depends on where an interval begins. Of a
    window `flank` bp at either end are read and not answered for; the rest, the core, is. Cores touch.
    """

    model: str  # its name
    interval: Interval  # without strand
    options: Options
    window: int
    flank: int
    length: int  # of the contig
    k: int
    settings: dict[str, Any]  # the same as plain data, and which weights; batches change nothing
    seams: Seams | None = None

    @property
    def core(self) -> int:
        return self.window - 2 * self.flank

    @property
    def names(self) -> tuple[str, ...]:
        """Of the arrays."""
        return "probability", "correct", "entropy", *self.options.controls

    @property
    def pieces(self) -> list[Stretch]:
        """Finished, and written, one at a time; cut at every multiple of whole cores."""
        size = max(1, self.options.piece // self.core) * self.core
        return [Stretch(*piece) for piece in cuts(self.interval.start, self.interval.end, size)]

    def windows(self, start: int, end: int) -> list[tuple[Stretch, Stretch]]:
        """The cores that hold a base of start to end, and what is read for each: it and its flanks, as far as the contig goes."""
        cores = [Stretch(at, at + self.core) for at in range(start // self.core * self.core, end, self.core)]
        flank, length = self.flank, self.length
        return [(one, Stretch(max(0, one.start - flank), min(length, one.end + flank))) for one in cores]


def plan(model: Any, reference: Reference, interval: Interval | str, options: Options) -> Plan:
    """The plan for a model, with every number in its range; a ValueError as of `reconstruct`."""
    place = Interval.from_str(interval) if isinstance(interval, str) else interval
    length, k = check_place(reference, place), _bases_of_a_token(model)
    place = Interval(place.chrom, place.start, place.end)
    if not 1 <= options.frames <= k:
        raise ValueError(f"frames must lie in 1 to {k}, the bases of a token; received {options.frames}. Use 1 or {k}.")
    usual = min(model.max_bp, LAPTOP_BP)
    given = usual if options.window is None else options.window
    window = given // k * k
    if not 3 * k <= window <= model.max_bp:
        raise ValueError(
            f"A window must have 3 tokens, {3 * k} bp, to the {model.max_bp:,} bp that {model.name} reads; received "
            f"{given:,}. Leave it out for {usual:,}."
        )
    flank, most = (window // 4 if options.flank is None else options.flank) // k * k, (window - k) // 2
    if not 0 <= flank <= most:
        raise ValueError(
            f"Two flanks must leave a token of the window of {window:,} bp; received flanks of {options.flank} bp. Use at "
            f"most {most // k * k:,}."
        )
    settings = {
        "format": 1, "model": model.name, "weights": model.info.get("weights_sha256"), "dtype": model.info.get("dtype"),
        "contig": canonical_contig(place.chrom), "contig_length": length, "start": place.start, "end": place.end,
        "window": window, "flank": flank, "tokens_apart": options.apart, "frames": options.frames,
        "both_strands": options.both_strands, "controls": list(options.controls), "seed": options.seed,
        "piece": options.piece,
    }  # fmt: skip
    return Plan(model.name, place, options, window, flank, length, k, settings)


def _planned(model: DNAModel, reference: Reference, interval: Interval | str, options: Options) -> Plan:
    """The plan, its flank chosen by what it costs where a limit is given."""
    asked = plan(model, reference, interval, options)
    if options.limit is None:
        return asked
    measured = seams(model, reference, asked)
    if not measured.sample:  # runs are short, but windows may end within one
        return replace(asked, seams=replace(measured, overlap=2 * asked.flank))
    return replace(plan(model, reference, interval, replace(options, flank=measured.overlap // 2)), seams=measured)


def seams(model: DNAModel, reference: Reference, asked: Plan) -> Seams:
    """What flanks cost: probabilities of reference bases at the edge of what a window answers for, and in its middle.

    Both windows are of the plan's length and hide the same tokens; in the first frame only, whatever is averaged. Places are of the
    interval and of a window to each side.
    """
    options, k, place = asked.options, asked.k, asked.interval
    first, last = max(0, place.start - asked.window), min(asked.length, place.end + asked.window)
    text, reader = (
        reference.fetch(Interval(place.chrom, first, last)).sequence,
        Reader(model, batch_tokens=options.batch_tokens),
    )
    parts = [part for run in runs(text, first) if len(range(*(part := whole_tokens(run, k, 0))))]
    how: dict[str, Any] = {"k": k, "apart": options.apart, "both_strands": options.both_strands}

    def read(work: list[tuple[int, Stretch]]) -> np.ndarray:
        sums, jobs = [], []
        for at, window in work:
            here = Stretch(at, at + k)
            sums.append(_Sums(here, dna.codes(text[at - first : at - first + k])))
            bases = text[window.start - first : window.end - first]
            jobs += [(*one, here, sums[-1]) for one in readings(bases, window, here, **how)]
        _answered(reader, jobs)
        return np.stack([one.summary()[0] for one in sums])

    tried = overlaps(asked.window, k, None if options.flank is None else 2 * asked.flank)
    return choose(
        read, parts, tile=asked.window, context=asked.window, step=k, tried=tried, limit=LIMIT if options.limit is None else options.limit,
        sample=options.sample, seed=options.seed, unit="the probability of a reference base",
    )  # fmt: skip


def check_place(reference: Reference, interval: Interval) -> int:
    """The length of the contig; refuses what is not on it or holds only N, and reads no further than the first base."""
    length = on_contig(reference, interval)
    for start, end in cuts(interval.start, interval.end, 1_000_000):
        if reference.fetch(Interval(interval.chrom, start, end)).sequence.strip("N"):
            return length
    raise ValueError(f"An interval must hold a base that is known; {interval.label()} holds only N. Choose another region.")  # fmt: skip


def _bases_of_a_token(model: Any) -> int:
    """The k of a model with a mask over k-mers; others are refused."""
    try:
        vocabulary = model.tokenize("A").vocabulary
        _ = model.mask_id
    except (AttributeError, ValueError) as error:
        raise ValueError(
            f"A landscape needs a model that was trained with a mask; {getattr(model, 'name', model)} has none ({error})."
        ) from error
    if not isinstance(vocabulary, Vocabulary):
        raise ValueError(f"A landscape needs tokens of one length, k bases each; {model.name} has {vocabulary.name}.")
    return vocabulary.k


# Pieces ---------------------------------------------------------------------------------------------------------------


def _answer(
    model: DNAModel, reference: Reference, asked: Plan, folder: Pieces | None, shard: tuple[int, int], what: Any
) -> list[dict[str, np.ndarray]]:
    """The pieces of a shard, arrays by name, in order; with a folder they are kept there, and none is returned."""
    mine = [asked.pieces[number] for number in storage.share(len(asked.pieces), shard)]
    total, chrom = sum(place.end - place.start for place in mine), asked.interval.chrom
    made: list[dict[str, np.ndarray]] = []
    with nullcontext() if what is None else environment.progress(total=total, what=what, unit="bp") as bar:
        for place in mine:
            windows = [window for _, window in asked.windows(*place)]
            seen = Stretch(windows[0].start, windows[-1].end)
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
    """The landscape from a folder with every piece: its arrays are read-only files mapped into memory."""
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


def _landscape(asked: Plan, arrays: dict[str, np.ndarray]) -> Landscape:
    main = [arrays.pop(name) for name in ("probability", "correct", "entropy")]
    about = {"seams": asdict(asked.seams) | {"note": asked.seams.note}} if asked.seams else {}
    return Landscape(asked.interval, *main, asked.model, asked.length, arrays, asked.settings | about)


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


_Work = tuple[Reading, np.ndarray, Stretch, _Sums]


def readings(
    text: str, place: Stretch, wanted: Stretch, *, k: int, apart: int | None, both_strands: bool
) -> Iterator[tuple[Reading, np.ndarray]]:
    """Readings that hide every token with a wanted base exactly once a strand, and where those asked for begin on the contig."""
    starts = place.start + k * np.arange(len(text) // k)
    answered = (starts < wanted.end) & (starts + k > wanted.start)
    # Numbers of tokens from the start of the contig: the same tokens are hidden together in every window.
    group = np.arange(len(starts)) if apart is None else starts // k % apart
    for reverse in (False, True) if both_strands else (False,):
        for number in np.unique(group[answered]):
            hidden = group == number
            masked, asked = (tuple(np.flatnonzero(one).tolist()) for one in (hidden, hidden & answered))
            yield Reading(text, reverse, masked, asked), starts[hidden & answered]


def _answered(reader: Reader, work: list[_Work]) -> None:
    """Reads, and adds what is wanted to the sums of each."""
    answers = reader.masked([reading for reading, *_ in work])
    for (reading, logits), (_, starts, wanted, sums) in zip(answers, work, strict=True):
        sums.add(starts, reader.base_probs(reading, logits), wanted)


def _piece(model: DNAModel, asked: Plan, place: Stretch, text: str, first: int) -> dict[str, np.ndarray]:
    """The arrays of a piece; the text, from `first` on the contig, reaches as far as its windows."""
    options, contig, n = asked.options, canonical_contig(asked.interval.chrom), place.end - place.start
    plain = _Sums(place, dna.codes(text[place.start - first : place.end - first]))
    turned = _Sums(place, np.full(n, 4, np.uint8))
    composition = np.full(n, np.nan, np.float32)
    how: dict[str, Any] = {"k": asked.k, "apart": options.apart, "both_strands": options.both_strands}
    work: list[_Work] = []
    for core, window in asked.windows(*place):
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
                    work += [(*one, wanted, sums) for one in readings(tokens, part, wanted, **how)]
    _answered(Reader(model, batch_tokens=options.batch_tokens), work)
    controls = {"composition": composition, "shuffled": turned.summary()[0]}
    arrays = [*plain.summary(), *(controls[name] for name in options.controls)]
    return dict(zip(asked.names, arrays, strict=True))
