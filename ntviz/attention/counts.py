"""Whole numbers from windows: how much attention above a threshold falls on elements, as they are and under each null.

Everything that is summed over windows is an integer, so sums are the same in any order and any division of the work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch

from ntviz.attention.blocks import tokens_of
from ntviz.attention.enrichment_table import ONE, WHOLE
from ntviz.attention.memory import sequences_a_pass
from ntviz.attention.observation import observe
from ntviz.attention.observers import Above
from ntviz.genome import Interval, canonical_contig
from ntviz.genome import sequence as dna
from ntviz.statistics import seed_of
from ntviz.tokens import Tokens

Sums = dict[str, np.ndarray]
NULLS = ("shift", "shuffle", "twin", "distance")
_BLOCK_LENGTH = 8  # windows
_MOST_GROUPS = 500
_PARTS = 64
_LARGEST_PART = 128  # windows
_SINGLE, _EVEN = 16, 64
BINS = 2 * (_SINGLE + _EVEN)
"""Bins of position: single tokens near the ends of a window, even ones inside."""


@dataclass(frozen=True)
class Question:
    """What is asked of every window; see `attention.enrichment` for the words."""

    kinds: tuple[str, ...]
    threshold: float = 0.3
    nulls: tuple[str, ...] = NULLS
    shifts: int = 200
    special: Literal["exclude", "include"] = "exclude"
    seed: int = 0


@dataclass
class Part:
    """What was counted in some windows: whole numbers by name, [group, ...] but for `WHOLE`; heads of all layers on one axis."""

    groups: np.ndarray
    sums: Sums = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, group: Any, sums: Mapping[str, Any], rows: Sequence[dict[str, Any]] = ()) -> None:
        """Adds what was counted in windows of one group, or of several along the first axis."""
        at = np.searchsorted(self.groups, group)
        for name, values in sums.items():
            if name in WHOLE:
                self.sums[name] = self.sums.get(name, np.int64(0)) + values
                continue
            if name not in self.sums:
                shape = (len(self.groups), *np.shape(values)[np.ndim(group) :])
                self.sums[name] = np.zeros(shape, dtype=np.int64)
            self.sums[name][at] += values
        self.rows += rows


@dataclass(frozen=True)
class Window:
    """One window and its place in the analysis."""

    index: int
    interval: Interval
    block: str
    group: int


def layout(intervals: Sequence[Interval]) -> list[list[Window]]:
    """The windows in chunks, which are counted and written at once; the order they are given in makes no difference.

    Windows that overlap share a block, up to 8 window lengths: elements are shifted together there. Blocks side by side
    make up to 500 groups, which are resampled; a chunk has whole groups.
    """
    places = [(canonical_contig(one.chrom), one.start, one.end, one.strand) for one in intervals]
    order = sorted(range(len(intervals)), key=places.__getitem__)
    block = np.zeros(len(order), dtype=np.int64)
    names: list[str] = []
    contig, first, reached = "", 0, 0
    for at, index in enumerate(order):
        own, start, end, _ = places[index]
        if own != contig or start >= reached or start - first >= _BLOCK_LENGTH * (end - start):
            contig, first, reached = own, start, end
            names.append(f"{own}:{start}-{end}")
        reached = max(reached, end)
        block[at] = len(names) - 1
    total = len(order)
    group = _runs(block, max(total / _MOST_GROUPS, 1))
    chunk = _runs(group, min(max(-(-total // _PARTS), 1), _LARGEST_PART))
    chunks: list[list[Window]] = [[] for _ in range(int(chunk.max()) + 1)]
    for at, index in enumerate(order):
        chunks[chunk[at]].append(Window(index, intervals[index], names[block[at]], int(group[at])))
    return chunks


def _runs(inner: np.ndarray, size: float) -> np.ndarray:
    """Joins neighbours of about `size` windows, [window] number; inner runs, which are sorted, stay whole."""
    starts = np.flatnonzero(np.diff(inner, prepend=-1))
    wanted = np.floor(starts / size)
    return np.cumsum(np.diff(wanted, prepend=-1) > 0)[inner] - 1


def count(
    model: Any, twin: Any, windows: Sequence[Window], reference: Any, elements: Any, question: Question,
    *, batch: int | None = None, done: Callable[[int], object] = lambda n: None,
) -> Part:  # fmt: skip
    """Counts in some windows; those that can't be used get a status and nothing else."""
    part = Part(np.unique([window.group for window in windows]))
    ready: dict[int, list[tuple[Window, Tokens]]] = {}
    for window in windows:
        tokens, row = _tokens(model, window, reference)
        part.rows.append(row)
        if tokens is None:
            done(1)
        else:
            # Windows of one size go together: no padding, so the arithmetic is that of one alone.
            ready.setdefault(len(tokens), []).append((window, tokens))
    for length, same in ready.items():
        step = batch or sequences_a_pass(model, length)
        for start in range(0, len(same), step):
            together = same[start : start + step]
            several = _observed(model, twin, together, question)
            for (window, tokens), seen in zip(together, several, strict=True):
                inside = np.array([elements.indicator(window.interval, kind) for kind in question.kinds])
                moves, strand = turns(window.block, question.shifts, question.seed), window.interval.strand
                sums = tally(seen, tokens, inside, question, moves, strand, model.module.device)
                part.add(window.group, sums)
                done(1)
    return part


def _tokens(model: Any, window: Window, reference: Any) -> tuple[Tokens | None, dict[str, Any]]:
    row = {"index": window.index, **asdict(window.interval), "status": "ok", "n_tokens": 0, "note": ""}
    try:
        bases = reference.fetch(window.interval)
    except ValueError as error:
        return None, {**row, "status": "not in the reference", "note": str(error)}
    row["note"] = bases.note
    if not bases.sequence.strip("N"):
        return None, {**row, "status": "only N"}
    try:
        tokens = tokens_of(model, bases.sequence)
    except ValueError as error:
        return None, {**row, "status": "longer than the model's context", "note": str(error)}
    return tokens, {**row, "n_tokens": len(tokens)}


def _observed(
    model: Any, twin: Any, together: Sequence[tuple[Window, Tokens]], question: Question
) -> list[dict[str, Above.Result]]:
    passes = {"": (model, [tokens for _, tokens in together])}
    if "shuffle" in question.nulls:
        # The same dinucleotides in another order; N stay where they are.
        bases = [
            dna.shuffle(tokens.sequence, k=2, seed=seed_of("shuffle", question.seed, window.interval))
            for window, tokens in together
        ]
        passes["shuffle_"] = (model, [tokens_of(model, one) for one in bases])
    if "twin" in question.nulls:
        passes["twin_"] = (twin, passes[""][1])
    above = Above(question.threshold)
    seen = {name: observe(*asked, above=above) for name, asked in passes.items()}
    return [{name: seen[name][row].above for name in passes} for row in range(len(together))]


def tally(
    seen: Mapping[str, Above.Result], tokens: Tokens, inside: np.ndarray, question: Question, moves: np.ndarray,
    strand: str = ".", device: torch.device | str = "cpu",
) -> Sums:  # fmt: skip
    """The whole numbers of one window, from what was seen of the model ("") and, where asked, "shuffle_" and "twin_".

    `inside` is bool [element, base], `moves` [shift] shares of a full turn. By name: `sequences` and `positions` [];
    `element` [element], positions on it; `above`, `special`, `pairs`, `speaking` [head], pairs above the threshold, those
    whose key is a special token, both, and whether any counts; `on` [head, element] and `ratio`, on / above in units of
    1 / `ONE`; `paired` and `mirrored` [head, element], see `Above.Result`; `shuffle_above`, `shuffle_on`, `twin_above`,
    `twin_on`; `shift_copies` [1 + shift, head, element], `on` after each shift, the elements as they are first, and
    `distance_copies`, paired - mirrored likewise; for what is due to position alone, `shift_by_bin` and
    `distance_by_bin` [head, bin], `element_by_bin` [1 + shift, element, bin] and `positions_by_bin` [bin].
    """
    known = np.frombuffer(tokens.sequence.encode("ascii"), dtype=np.uint8) != ord("N")
    # In whole bases, in the direction of reading; 0 to n - 1, all alike.
    steps = np.floor(moves * known.sum()).astype(np.int64)
    shifts = -steps % known.sum() if strand == "-" else steps
    if not {"shift", "distance"} & set(question.nulls):
        shifts = shifts[:0]
    counted = ~tokens.is_special | (question.special == "include")
    held = element_copies(inside, tokens.spans[counted], known, shifts, device)
    sums: Sums = {"sequences": np.int64(1), "positions": np.int64(counted.sum())}
    sums["element"] = held[0].sum(-1).cpu().numpy()
    for name, result in seen.items():
        counts = result.counts + result.from_special if question.special == "include" else result.counts
        counts = counts.reshape(-1, len(tokens))
        by_key = counts[:, counted]
        sums[f"{name}above"], sums[f"{name}on"] = by_key.sum(-1), _on(by_key, held[:1])[0]
        if name == "":
            sums["special"], sums["pairs"] = counts[:, tokens.is_special].sum(-1), counts.sum(-1)
            turned = {"shift": by_key} if "shift" in question.nulls else {}
    sums["speaking"] = (sums["above"] > 0).astype(np.int64)
    share = sums["on"] / np.maximum(sums["above"], 1)[:, None]
    sums["ratio"] = np.rint(share * ONE).astype(np.int64)
    if "distance" in question.nulls:
        paired, mirrored = (
            getattr(seen[""], name).reshape(-1, len(tokens))[:, counted] for name in ("paired", "mirrored")
        )
        sums["paired"], sums["mirrored"] = _on(paired, held[:1])[0], _on(mirrored, held[:1])[0]
        turned["distance"] = paired - mirrored
    if turned:
        edges = np.searchsorted(position_bins(int(counted.sum())), np.arange(BINS + 1))
        before = _summed(held.flatten(0, 1))[:, torch.as_tensor(edges, device=held.device)]
        sums["positions_by_bin"] = np.diff(edges)
        sums["element_by_bin"] = before.diff().reshape(*held.shape[:2], BINS).to(torch.int64).cpu().numpy()
        copies = np.split(_on(np.vstack(list(turned.values())), held), len(turned), axis=1)
        for (name, counts), own in zip(turned.items(), copies, strict=True):
            before = np.cumsum(np.pad(counts, ((0, 0), (1, 0))), axis=1)
            sums[f"{name}_copies"], sums[f"{name}_by_bin"] = own, np.diff(before[:, edges])
    return sums


def _on(counts: np.ndarray, held: torch.Tensor) -> np.ndarray:
    """Counts [row, token] that fall where each copy of each element holds, int64 [copy, row, element]."""
    copies, elements, n = held.shape
    # Whole numbers below 2^24 are exact in float32, below 2^53 in float64.
    small = held.device.type != "cuda" and int(np.abs(counts).sum(-1).max(initial=0)) < 1 << 24
    dtype = torch.float32 if small else torch.float64
    rows = torch.as_tensor(counts).to(held.device, dtype)
    on = torch.matmul(rows, held.reshape(copies * elements, n).to(dtype).T)
    return on.reshape(len(counts), copies, elements).permute(1, 0, 2).to(torch.int64).cpu().numpy()


def turns(block: str, shifts: int, seed: int) -> np.ndarray:
    """How far elements are turned around their window in each shift, as shares of a full turn, float64 [shift].

    The same for all windows of a block, named by its text: where windows overlap, what they share moves together.
    """
    return np.random.default_rng(seed_of("shift", seed, block)).random(shifts)


def element_copies(
    inside: np.ndarray, spans: np.ndarray, known: np.ndarray, offsets: np.ndarray, device: torch.device | str
) -> torch.Tensor:
    """Which tokens hold a base of an element, as it is and after each shift, bool [1 + shift, element, token].

    `inside` is bool [element, base] and `known` bool [base], false at N: elements turn around the known bases only.
    """
    inside_, spans_, known_, moves = (
        torch.as_tensor(one, device=device) for one in (inside, spans, known, np.append(0, offsets))
    )
    circle = inside_[:, known_]
    n = circle.shape[1]
    fixed = _summed(inside_ & ~known_)
    stays = fixed[:, spans_[:, 1]] > fixed[:, spans_[:, 0]]
    if not n:
        return stays.expand(len(moves), *stays.shape)
    twice = _summed(torch.cat([circle, circle], dim=1))
    before = _summed(known_[None])[0]
    start, size = before[spans_[:, 0]], before[spans_[:, 1]] - before[spans_[:, 0]]
    # Base p holds what stood at p - offset.
    first = (start[None] - moves[:, None]) % n
    held = twice[:, first + size] > twice[:, first]
    return (held | stays[:, None]).transpose(0, 1)


def position_bins(n: int) -> np.ndarray:
    """Bin of each of n positions of a window by its distance from the nearer end, int64 [position]; it never falls."""
    place = np.arange(n)
    away = np.minimum(place, n - 1 - place)
    inner = max(n / 2 - _SINGLE, _EVEN)
    even = _SINGLE + np.floor((away - _SINGLE) * (_EVEN / inner)).astype(np.int64)
    nearest = np.where(away < _SINGLE, away, even)
    return np.where(2 * place < n, nearest, BINS - 1 - nearest)


def _summed(rows: torch.Tensor) -> torch.Tensor:
    """How many are true before each place, int32 [row, place + 1]."""
    return torch.nn.functional.pad(torch.cumsum(rows, dim=1, dtype=torch.int32), (1, 0))
