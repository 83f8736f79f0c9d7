"""Whole numbers from windows: how much attention above a threshold falls on elements, as they are and under each null.

Everything that is summed over windows is an integer, so sums are the same in any order and any division of the work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import torch

from ntviz.attention import nulls
from ntviz.attention.above import Above
from ntviz.attention.interface import observe
from ntviz.attention.tabulating import ONE, WHOLE
from ntviz.genome import Interval
from ntviz.tokens import Tokens

Sums = dict[str, np.ndarray]


@dataclass(frozen=True)
class Question:
    """What is asked of every window; see `attention.enrichment` for the words.

    Raises
    ------
    ValueError
        A value is out of its range.
    """

    kinds: tuple[str, ...]
    threshold: float = 0.3
    nulls: tuple[str, ...] = ("shift", "shuffle", "twin", "distance")
    shifts: int = 200
    special: Literal["exclude", "include"] = "exclude"
    seed: int = 0

    def __post_init__(self) -> None:
        Above(self.threshold)
        unknown = [name for name in self.nulls if name not in ("shift", "shuffle", "twin", "distance")]
        if unknown or len(set(self.nulls)) < len(self.nulls):
            raise ValueError(
                f"nulls must be different ones of 'shift', 'shuffle', 'twin' and 'distance'; received {self.nulls}. "
                "Leave out those that are not wanted."
            )
        if self.special not in ("exclude", "include"):
            raise ValueError(
                f"special must be 'exclude' or 'include'; received {self.special!r}. 'exclude' counts attention from "
                "bases to bases, 'include' lets special tokens be keys and queries too, as the formula has it."
            )
        if not self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise ValueError(
                f"kinds must name different elements, at least one; received {list(self.kinds)}. Leave kinds out for "
                "all elements there are."
            )


@dataclass
class Part:
    """What was counted in some windows.

    Attributes
    ----------
    groups
        Numbers of the groups that the windows belong to.
    sums
        Whole numbers by name; heads of all layers on one axis. [group, ...], but for `WHOLE`.
    rows
        One a window, as plain data.
    """

    groups: np.ndarray
    sums: Sums = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, group: int, tally: Mapping[str, np.ndarray]) -> None:
        """Adds what one window gave."""
        at = int(np.searchsorted(self.groups, group))
        for name, values in tally.items():
            if name in WHOLE:
                self.sums[name] = self.sums[name] + values if name in self.sums else values
                continue
            if name not in self.sums:
                self.sums[name] = np.zeros((len(self.groups), *np.shape(values)), dtype=np.int64)
            self.sums[name][at] += values

    def merge(self, other: Part) -> None:
        """Adds what was counted in other windows; their groups must be among those here."""
        at = np.searchsorted(self.groups, other.groups)
        for name, values in other.sums.items():
            if name in WHOLE:
                self.sums[name] = self.sums[name] + values if name in self.sums else values
                continue
            if name not in self.sums:
                self.sums[name] = np.zeros((len(self.groups), *values.shape[1:]), dtype=np.int64)
            self.sums[name][at] += values
        self.rows += other.rows


@dataclass(frozen=True)
class Window:
    """One window and its place in the analysis."""

    index: int
    interval: Interval
    block: str
    group: int


def count(
    model: Any,
    twin: Any,
    windows: Sequence[Window],
    reference: Any,
    elements: Any,
    question: Question,
    *,
    batch: int = 1,
    done: Callable[[int], object] = lambda n: None,
) -> Part:
    """Counts in some windows; those that can't be used get a status and nothing else.

    Raises
    ------
    MemoryError
        There was not enough memory for a pass; the message says what would fit.
    """
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
    for same in ready.values():
        for start in range(0, len(same), batch):
            together = same[start : start + batch]
            for (window, tokens), seen in zip(
                together, _observed(model, twin, together, question), strict=True
            ):
                inside = np.array([elements.indicator(window.interval, kind) for kind in question.kinds])
                moves = nulls.turns(window.block, question.shifts, question.seed)
                part.add(window.group, tally(seen, tokens, inside, question, moves, window.interval.strand,
                                             model.module.device))  # fmt: skip
                done(1)
    return part


def _tokens(model: Any, window: Window, reference: Any) -> tuple[Tokens | None, dict[str, Any]]:
    interval = window.interval
    row = {"index": window.index, **asdict(interval), "status": "ok", "n_tokens": 0, "note": ""}
    try:
        found = reference.fetch(interval)
    except ValueError as error:
        return None, {**row, "status": "not in the reference", "note": str(error)}
    row["note"] = found.note
    if not found.sequence.strip("N"):
        return None, {**row, "status": "only N"}
    try:
        tokens = model.tokenize(found.sequence)
    except ValueError as error:
        return None, {**row, "status": "longer than the model's context", "note": str(error)}
    return tokens, {**row, "n_tokens": len(tokens)}


def _observed(
    model: Any, twin: Any, together: Sequence[tuple[Window, Tokens]], question: Question
) -> list[dict[str, Above.Result]]:
    above = Above(question.threshold)
    passes = {"": (model, [tokens for _, tokens in together])}
    if "shuffle" in question.nulls:
        bases = [
            nulls.shuffled(tokens.sequence, window.interval, question.seed) for window, tokens in together
        ]
        passes["shuffle_"] = (model, [model.tokenize(one) for one in bases])
    if "twin" in question.nulls:
        passes["twin_"] = (twin, passes[""][1])
    seen: list[dict[str, Above.Result]] = [{} for _ in together]
    for name, (asked, tokens) in passes.items():
        for own, observation in zip(seen, observe(asked, tokens, above=above), strict=True):
            own[name] = observation["above"]
    return seen


def tally(
    seen: Mapping[str, Above.Result],
    tokens: Tokens,
    inside: np.ndarray,
    question: Question,
    moves: np.ndarray,
    strand: str = ".",
    device: torch.device | str = "cpu",
) -> Sums:
    """The whole numbers of one window.

    Parameters
    ----------
    seen
        Counts above the threshold: of the model ("") and, where asked, "shuffle_" and "twin_".
    tokens
        Of the window.
    inside
        bool [element, base], which bases are in each element.
    moves
        [shift], how far to turn the elements, as shares of a full turn; see `nulls.turns`.

    Returns
    -------
    dict
        `sequences` and `positions` []; `element` [element], positions on it; `above`, `special`, `pairs`,
        `speaking` [head], pairs above the threshold, those whose key is a special token, both, and whether any counts; `on` [head, element]
        and `ratio`, on / above in units of 1 / `ONE`; `paired` and `mirrored` [head, element], see `Above.Result`;
        `shuffle_above`, `shuffle_on`, `twin_above`, `twin_on`; `shift_copies` [1 + shift, head, element], `on` after each
        shift, the elements as they are first, and `distance_copies`, paired - mirrored likewise; `shift_by_bin` and
        `distance_by_bin` [head, bin], `element_by_bin` [1 + shift, element, bin] and `positions_by_bin` [bin], the same
        numbers by position in the window, for what is due to position alone.
    """
    bases = np.frombuffer(tokens.sequence.encode("ascii"), dtype=np.uint8)
    known = bases != ord("N")
    shifts = nulls.offsets(moves, int(known.sum()), strand)
    if not {"shift", "distance"} & set(question.nulls):
        shifts = shifts[:0]
    counted = np.ones(len(tokens), dtype=bool) if question.special == "include" else ~tokens.is_special
    held = nulls.element_copies(inside, tokens.spans[counted], known, shifts, device)
    sums: Sums = {"sequences": np.int64(1), "positions": np.int64(counted.sum())}
    sums["element"] = held[0].sum(-1).cpu().numpy()
    for name, result in seen.items():
        counts = result.counts + result.from_special if question.special == "include" else result.counts
        counts = counts.reshape(-1, len(tokens))
        sums[f"{name}above"] = counts[:, counted].sum(-1)
        sums[f"{name}on"] = _on(counts[:, counted], held[:1])[0]
        if name == "":
            by_key = counts[:, counted]
            sums["special"] = counts[:, tokens.is_special].sum(-1)
            sums["pairs"] = counts.sum(-1)
    sums["speaking"] = (sums["above"] > 0).astype(np.int64)
    share = sums["on"] / np.maximum(sums["above"], 1)[:, None]
    sums["ratio"] = np.rint(share * ONE).astype(np.int64)
    turned = {"shift": by_key}
    if "distance" in question.nulls:
        paired, mirrored = (
            getattr(seen[""], name).reshape(-1, len(tokens))[:, counted] for name in ("paired", "mirrored")
        )
        sums["paired"], sums["mirrored"] = _on(paired, held[:1])[0], _on(mirrored, held[:1])[0]
        turned["distance"] = paired - mirrored
    turned = {name: counts for name, counts in turned.items() if name in question.nulls}
    if turned:
        bins = np.eye(nulls.BINS, dtype=np.int64)[nulls.position_bins(int(counted.sum()))]
        sums["positions_by_bin"] = bins.sum(0)
        *copies, by_bin = np.split(
            _on(np.vstack([*turned.values(), bins.T]), held),
            np.arange(1, len(turned) + 1) * len(by_key),
            axis=1,
        )
        sums["element_by_bin"] = by_bin.transpose(0, 2, 1)
        for (name, counts), own in zip(turned.items(), copies, strict=True):
            sums[f"{name}_copies"], sums[f"{name}_by_bin"] = own, counts @ bins
    return sums


def _on(counts: np.ndarray, held: torch.Tensor) -> np.ndarray:
    """Counts [row, token] that fall where each copy of each element holds, int64 [copy, row, element]."""
    copies, elements, n = held.shape
    # Whole numbers below 2^24 are exact in float32, below 2^53 in float64.
    small = held.device.type != "cuda" and int(np.abs(counts).sum(-1).max(initial=0)) < 1 << 24
    dtype = torch.float32 if small else torch.float64
    rows = torch.as_tensor(counts).to(held.device, dtype)
    found = torch.matmul(rows, held.reshape(copies * elements, n).to(dtype).T)
    return found.reshape(len(counts), copies, elements).permute(1, 0, 2).to(torch.int64).cpu().numpy()
