"""What a sequence is compared with: hidden, N, shuffled, or the mean of its own pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from ntviz.attribution.asking import masked_ids
from ntviz.attribution.reading import Reader
from ntviz.attribution.targets import Target
from ntviz.sequence import shuffle
from ntviz.tokens import Tokens

BASELINES = ("mask", "n", "shuffle", "composition")


class Baseline(NamedTuple):
    """One beginning of an integral.

    `name` of `BASELINES`; `ids` int64 [piece]; `average` says that a piece is the mean of all vectors instead of its id's, bool [piece].
    """

    name: str
    ids: np.ndarray
    average: np.ndarray

    def vectors(self, reader: Reader) -> torch.Tensor:
        """[piece, channel]; where the average is asked for, that of the pieces it replaces."""
        found = reader.vectors(torch.from_numpy(self.ids).to(reader.table.device)).detach()
        places = torch.from_numpy(self.average).to(found.device)
        if bool(places.any()):
            found[places] = found[places].mean(0)
        return found


def names(reader: Reader, baseline: str | Sequence[str] | None) -> tuple[str, ...]:
    """The baselines that were asked for; of None "mask", and "shuffle" where bases are read.

    Raises
    ------
    ValueError
        None, an unknown one, one twice, or one that the model has not.
    """
    known = BASELINES[1:] if reader.pieces_are_bases else BASELINES
    if baseline is None:
        return ("shuffle",) if reader.pieces_are_bases else ("mask",)
    asked = (baseline,) if isinstance(baseline, str) else tuple(baseline)
    wrong = [name for name in asked if name not in known]
    if wrong or not asked or len(set(asked)) < len(asked):
        what = repr(wrong[0]) if wrong else repr(list(asked))
        raise ValueError(
            f"Baselines must be one or several of {', '.join(known)} for {reader.name}, each once; received {what}. Name those."
        )
    return asked


def made(
    reader: Reader, tokens: Tokens, target: Target, name: str, shuffles: int, seed: int, phase: int
) -> list[Baseline]:
    """The baselines of a name; special tokens stay, and what the target masks is masked.

    Raises
    ------
    ValueError
        A shuffle is cut into other pieces than the sequence.
    """
    ids = masked_ids(reader, tokens, target)
    nowhere = np.zeros(len(ids), dtype=bool)
    if name == "shuffle":
        found = []
        for draw in range(shuffles):
            other = reader.tokenize(shuffle(tokens.sequence, k=2, seed=seed + draw), phase)
            if not np.array_equal(other.spans, tokens.spans):
                raise ValueError(
                    f"A shuffle must be cut where the sequence is; {reader.name} cuts by what stands there. "
                    "Take baseline='mask', 'n' or 'composition'."
                )
            found.append(Baseline(name, masked_ids(reader, other, target), nowhere))
        return found
    free = ~tokens.is_special & (ids == tokens.ids)
    if name == "composition":
        # N stay, as in shuffles: they are no base to be mixed.
        return [Baseline(name, ids, free & ~tokens.is_n)]
    filled = reader.hidden_id if name == "mask" else reader.n_id(tokens)
    return [Baseline(name, np.where(free, filled, ids), nowhere)]
