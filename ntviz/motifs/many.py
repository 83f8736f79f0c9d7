"""Matches of motifs in many sequences, corrected for all that was looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ntviz import environment
from ntviz.motifs.matrix import PSEUDOCOUNT, Motif
from ntviz.motifs.searching import Search
from ntviz.motifs.words import Words
from ntviz.sequence import require

if TYPE_CHECKING:
    import pandas as pd

_PIECE = 1 << 21  # bases looked at at a time


def scan_many(
    sequences: Mapping[str, str] | Sequence[str],
    motifs: Motif | Iterable[Motif],
    *,
    p: float = 1e-4,
    background: Sequence[float] | None = None,
    both_strands: bool = True,
    pseudocount: float = PSEUDOCOUNT,
) -> pd.DataFrame:
    """Matches of motifs in many sequences, with exact p-values and one correction for all that was looked at.

    Parameters
    ----------
    sequences
        Upper-case A, C, G, T, N, by name or in order. One that is shorter than a motif, or all N, has no match of it.
    motifs, p, background, both_strands, pseudocount
        As in `scan`. The background is one for all sequences, and 0.25 each when not given, so that what matches in one
        depends on no other; `composition` of the sequences joined gives their own.

    Returns
    -------
    One row a match, sorted by sequence (in the order given) and place: `sequence` (its name, or its number from 0) and
    the columns of `scan`, with q after p: the smallest false discovery rate at which Benjamini and Hochberg's rule calls
    this match. The rule takes all tests of the call together; a test is one place on one strand for one motif. `attrs`
    holds

    - ``n_tests``: a place with N is no test, nor is one that reaches out of its sequence. A motif that is too short for
      `p` was not looked for.
    - ``expected``: how many matches random bases of the background give; compare it with the number of rows.
    - ``too_short``: as in `scan`.

    Raises
    ------
    ValueError
        As in `scan`, if there is no sequence, or one of them is not clean; the message names it.
    TypeError
        If the sequences are one text, or one of them is no text.

    Notes
    -----
    Matches are the tests with the smallest p, so their ranks are those among all tests. Tests that are not listed could
    lower a q, never raise it: down to about ``expected`` over the number of rows, for more of them than chance gives. So
    no q is too small, and those well below that ratio are exact. p and q are those of random bases. Genomes are not
    random: repeats and CpG islands are full of matches. Other sequences of the same kind, or the same ones shuffled, are
    the better control.

    References
    ----------
    Benjamini & Hochberg, J R Stat Soc B 1995. FIMO's q-values estimate the share of true nulls on top; these do not.

    Examples
    --------
    >>> motif = Motif.from_sites("toy", ["GATTACA"])
    >>> found = scan_many({"a": "TTGATTACANN", "b": "CCCCCCCC", "c": "ACG"}, motif, p=0.001)
    >>> found[["sequence", "start", "strand"]].values.tolist(), found.attrs["n_tests"]
    ([['a', 2, '+']], 10)
    >>> bool(found["q"][0] == found["p"][0] * 10)
    True
    """
    import pandas as pd

    names, texts = _listed(sequences)
    search = Search.of(motifs, p, background, both_strands, pseudocount)
    tables, tests = [], np.zeros(len(search.motifs), dtype=np.int64)
    with environment.progress(total=len(texts), what="motifs", unit="sequences") as bar:
        for first, some in _pieces(texts):
            # Joined by an N, which nothing matches across.
            words = Words("N".join(some))
            begins = np.cumsum([0, *(len(text) + 1 for text in some[:-1])])
            found = search.matches(words)
            tests += search.tests(words)
            which = np.searchsorted(begins, found["start"], side="right") - 1
            found["start"] -= begins[which]
            found["end"] -= begins[which]
            order = np.lexsort((found["strand"], found["motif"], found["end"], found["start"], which))
            table = search.table(found[order])
            table.insert(0, "sequence", which[order] + first)
            tables.append(table)
            bar.update(len(some))
    table = pd.concat(tables, ignore_index=True)
    if names is not None:
        table["sequence"] = pd.Series(names, dtype=str).take(table["sequence"]).reset_index(drop=True)
    n_tests = int(tests.sum())
    table.insert(table.columns.get_loc("p") + 1, "q", adjusted(table["p"].to_numpy(), n_tests))
    table.attrs = {
        "n_tests": n_tests,
        "expected": float(tests @ search.chances),
        "too_short": search.too_short,
    }
    return table


def adjusted(p: np.ndarray, n_tests: int) -> np.ndarray:
    """Benjamini and Hochberg's adjusted p-values of the smallest p-values of so many tests.

    Examples
    --------
    >>> adjusted(np.array([0.02, 0.001, 0.03]), 10).round(4).tolist()
    [0.1, 0.01, 0.1]
    """
    order = np.argsort(p)
    raw = p[order] * n_tests / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    # From the largest p down: a larger rank may have the smaller value, which holds for all before it.
    q[order] = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1)
    return q


def _listed(sequences: Mapping[str, str] | Sequence[str]) -> tuple[list[str] | None, list[str]]:
    """Names, if they have some, and texts, each known to be clean."""
    if isinstance(sequences, str):
        raise TypeError("Sequences must be several; received one text. Pass [sequence], or use scan.")
    names = list(sequences) if isinstance(sequences, Mapping) else None
    texts = list(sequences.values() if isinstance(sequences, Mapping) else sequences)
    if not texts:
        raise ValueError("There must be a sequence to look in; received none. Pass one or more.")
    for name, text in zip(range(len(texts)) if names is None else names, texts, strict=True):
        try:
            require(text)
        except (TypeError, ValueError) as error:
            raise type(error)(f"Sequence {name!r}: {error}") from None
    return names, texts


def _pieces(texts: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Neighbouring sequences of about a piece together, with the number of the first."""
    first, size = 0, 0
    for index, text in enumerate(texts):
        if size and size + len(text) > _PIECE:
            yield first, texts[first:index]
            first, size = index, 0
        size += len(text)
    yield first, texts[first:]
