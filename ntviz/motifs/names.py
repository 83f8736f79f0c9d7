"""Names for motifs by TOMTOM: which known motif each is most like, how sure that is, and what family it speaks of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntviz import environment
from ntviz.motifs.matrix import Motif, listed
from ntviz.motifs.meme import Motifs
from ntviz.statistics import false_discovery

if TYPE_CHECKING:
    import pandas as pd

TARGETS = 25  # fewer columns than those of so many motifs are no null; memelite warns below it
WIDEST = 64  # bp of a query; memory grows with the third power
_SHORTEST = 4  # bp of a query after trimming
_BATCH = 256  # queries at a time
_BUNDLED = "motifs/JASPAR2026_CORE_vertebrates.families.tsv"
_COLUMNS = ("motif", "name", "class", "family")
_KINDS = {
    **dict.fromkeys(("query", "status", "target", "name"), "str"),
    **dict.fromkeys(("p", "e", "q", "p_shuffled"), "float64"),
    **{"strand": "str", "offset": "Int64", "overlap": "Int64", "class": "str", "family": "str"},
    **{"consensus": "str", "agreeing": "Int64", "significant": "Int64"},
}
_MATCHED = ("query", "rank", "target", "name", "p", "e", "significant", "strand", "offset", "overlap", "class", "family")  # fmt: skip
_OF_BEST = ["target", "name", "strand", "offset", "overlap", "class", "family"]


class Family(NamedTuple):
    """Structural class and family of a protein's DNA-binding domain; of a complex joined by ``::``, empty if not known."""

    group: str
    family: str

    @property
    def families(self) -> tuple[str, ...]:
        """The families one by one; none where it is not known."""
        return tuple(part for part in self.family.split("::") if part)


def families(path: str | Path | None = None) -> dict[str, Family]:
    """Class and family of motifs, by identifier, as TFClass (Wingender et al., Nucleic Acids Research 2018) names them.

    `path` is a table separated by tabs with the columns motif, name, class and family, in UTF-8; that of the bundle's
    JASPAR 2026 motifs when not given. What is no such table is a ValueError that names the line.

    Examples
    --------
    >>> known = families()
    >>> len(known), known["MA0139.2"].family
    (1019, 'More than 3 adjacent zinc fingers')
    >>> known["MA0065.3"].families
    ('Thyroid hormone receptor-related factors (NR1)', 'RXR-related receptors (NR2)')
    """
    path = environment.data_dir() / _BUNDLED if path is None else Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"A table of families must exist; received {path}, and there is none. Check the path; `python data/build.py` "
            f"makes the bundle's."
        )
    try:
        lines = path.read_text(encoding=environment.encoding_of(path)).splitlines() or [""]
    except UnicodeDecodeError as error:
        raise ValueError(f"A table of families must be text in UTF-8; {path.name} is not ({error}).") from error
    if tuple(lines[0].split("\t")) != _COLUMNS:
        raise ValueError(
            f"A table of families must begin with the columns {', '.join(_COLUMNS)}; {path.name} begins with {lines[0][:60]!r}."
        )
    found: dict[str, Family] = {}
    for number, line in enumerate(lines[1:], start=2):
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != len(_COLUMNS) or not fields[0]:
            raise ValueError(
                f"Line {number} of {path.name} must hold {len(_COLUMNS)} fields, the first a motif; received {line[:60]!r}."
            )
        if fields[0] in found:
            raise ValueError(
                f"Each motif must be there once; line {number} of {path.name} has {fields[0]!r} again. Remove one of them."
            )
        found[fields[0]] = Family(fields[2], fields[3])
    return found


@dataclass(frozen=True, eq=False)
class Names:
    """What `name` found.

    `table` has a row a query. `status` is ``named``; ``no match``, where nothing is alike enough; ``uninformative`` or ``too
    wide``, where nothing was compared. Of what is named: target, name, strand, offset, overlap, class and family of the best
    match, `significant` (how many matches are), and `consensus` with `agreeing`: the family that most of the best significant
    ones have, and how many. p, e, q and p_shuffled are those of the nearest motif in any case. `matches` holds the nearest
    few of each query that was compared, best first, significant or not.
    """

    table: pd.DataFrame
    matches: pd.DataFrame


def name(
    motifs: Motif | Iterable[Motif], targets: Motifs, *, families: Mapping[str, Family] | None = None, q: float = 0.1,
    top: int = 5, min_information: float = 0.25, min_mean_information: float = 0.8, shuffles: int = 100, seed: int = 0,
) -> Names:  # fmt: skip
    """Names of motifs by TOMTOM, of ``ntviz[motifs]``: the known motif that each is most like, or that there is none.

    Parameters
    ----------
    motifs, targets
        A motif, or several with different identifiers; known motifs, 25 or more, such as those of the bundle.
    families
        Class and family by identifier of target, such as ``motifs.families()``; another version of a matrix serves as well.
    q
        Largest false discovery rate of names, over the queries of this call.
    top
        How many of the nearest targets to list for each query, and the most of them that vote on its family.
    min_information, min_mean_information
        Bits below which a query's columns are cut off at both ends; bits a column that must be left, or with fewer than 4
        columns a query is ``uninformative``.
    shuffles, seed
        Copies of each query with its columns in another order, which are compared too; 0 for none.

    Returns
    -------
    Names. For each query and target, p is the probability that random columns of the targets align as well, somewhere, on
    either strand; e = p times the number of targets. A query's q is Benjamini and Hochberg's over the queries, from the e of
    its nearest target (1 at most). Matches are significant that have e of at most `q` times the share of queries that are
    named. `p_shuffled` is the control: the share of the query's shuffles, itself among them, that are as much like
    something. offset is the position of the query's first column, as given, in the target, turned where strand is ``-``.

    Notes
    -----
    Measured against JASPAR 2026 (1,019 matrices), with e of at most 0.05: of its own matrices with columns shuffled, 7 in
    100 are like something; of random ones of 0.65 bits a column 9 to 35, of 0.3 bits up to 98, hence
    `min_mean_information`. Resampled from 20 sites, with their own matrix taken out, 77 in 100 find something (45 of C2H2
    zinc fingers); the nearest has the query's family in 77 of 100, and so has the vote. A name says which known motif looks
    alike, and nothing of which protein binds.

    References
    ----------
    Gupta et al., Genome Biology 2007 (TOMTOM, with complete scores, as in Tanaka et al., Bioinformatics 2011), as memelite
    computes it. Benjamini & Bogomolov, J R Stat Soc B 2014, for tests within the groups that were selected.
    """
    import pandas as pd

    if not 0 < q <= 1:
        raise ValueError(f"q must be above 0 and at most 1; received {q}. 0.1 is usual.")
    if top < 1 or shuffles < 0:
        raise ValueError(f"top must be at least 1 and shuffles at least 0; received {top} and {shuffles}.")
    chosen = list(motifs if isinstance(motifs, Motifs) else Motifs(listed(motifs)))
    known = list(targets)
    cores = [motif.core(min_information) for motif in chosen]
    table = pd.DataFrame({"query": [motif.id for motif in chosen], "status": "no match"})
    for row, (motif, (start, end)) in enumerate(zip(chosen, cores, strict=True)):
        if end - start < _SHORTEST or motif.information[start:end].mean() < min_mean_information:
            table.loc[row, "status"] = "uninformative"
        elif end - start > WIDEST:
            table.loc[row, "status"] = "too wide"
    places = np.flatnonzero(table["status"] == "no match")
    if not len(places):
        return Names(_typed(table), pd.DataFrame(columns=list(_MATCHED)))
    columns = [chosen[place].probabilities[slice(*cores[place])] for place in places]
    like = compare(columns, known)
    e = like.p * len(known)
    # Of equals the longer overlap, then the order of the targets.
    order = np.lexsort((np.broadcast_to(np.arange(len(known)), e.shape), -like.overlap, like.p))[:, :top]
    nearest = np.take_along_axis(e, order[:, :1], axis=1)[:, 0]
    rate = false_discovery(np.minimum(nearest, 1))
    named = rate <= q
    significant = (e <= q * named.mean()) & named[:, None]
    families = families or {}
    unversioned = {identifier.partition(".")[0]: family for identifier, family in families.items()}
    kinds = [families.get(motif.id, unversioned.get(motif.id.partition(".")[0], Family("", ""))) for motif in known]
    row, which = np.repeat(np.arange(len(places)), order.shape[1]), order.ravel()
    lefts = np.array([cores[place][0] for place in places])
    matches = pd.DataFrame({
        "query": table["query"].to_numpy()[places[row]], "rank": np.tile(np.arange(1, order.shape[1] + 1), len(places)),
        "target": [known[target].id for target in which], "name": [known[target].name for target in which],
        "p": like.p[row, which], "e": e[row, which], "significant": significant[row, which],
        "strand": np.where(like.turned[row, which], "-", "+"), "offset": like.offset[row, which] - lefts[row],
        "overlap": like.overlap[row, which], "class": [kinds[target].group for target in which],
        "family": [kinds[target].family for target in which],
    })  # fmt: skip
    first = matches[matches["rank"] == 1].set_index("query")
    control = _shuffled(columns, known, nearest / len(known), shuffles, seed)
    votes = [
        Counter(family for j in near if mine[j] for family in kinds[j].families).most_common(1) or [("", 0)]
        for near, mine in zip(order, significant, strict=True)
    ]
    best = first[_OF_BEST].assign(significant=significant.sum(axis=1))
    best["consensus"], best["agreeing"] = zip(*(vote for (vote,) in votes), strict=True)
    table.loc[places[named], "status"] = "named"
    table = table.join(first[["p", "e"]].assign(q=rate, p_shuffled=control), on="query")
    return Names(_typed(table.join(best[named], on="query")), matches)


def _shuffled(columns: list[np.ndarray], known: list[Motif], p: np.ndarray, shuffles: int, seed: int) -> np.ndarray:
    """Share of each query's shuffles, itself among them, whose nearest motif is as near; nan without shuffles."""
    if not shuffles:
        return np.full(len(columns), np.nan)
    rng = np.random.default_rng(seed)
    copies = [query[rng.permutation(len(query))] for query in columns for _ in range(shuffles)]
    nearest = compare(copies, known, "TOMTOM, columns shuffled").p.min(axis=1).reshape(len(columns), shuffles)
    return (1 + (nearest <= p[:, None]).sum(axis=1)) / (1 + shuffles)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """All columns of `Names.table`, with what is missing as "", nan or <NA>."""
    table = table.reindex(columns=list(_KINDS)).astype(object)
    texts = [column for column, kind in _KINDS.items() if kind == "str"]
    table[texts] = table[texts].fillna("")
    return table.astype(_KINDS)


class Likeness(NamedTuple):
    """The best alignment of each query with each target, arrays [query, target].

    `p` is the probability that as many columns drawn from all targets align as well somewhere on either strand; `turned`
    says whether the target is turned around; `offset` is the position of the query's first column in the target, negative
    where the query begins before; `overlap` counts the columns that lie on each other.
    """

    p: np.ndarray
    turned: np.ndarray
    offset: np.ndarray
    overlap: np.ndarray


def compare(queries: Sequence[np.ndarray], targets: Sequence[Motif], what: str = "TOMTOM") -> Likeness:
    """Likeness of queries, each probabilities [position, base], and 25 targets or more, by memelite."""
    if len(targets) < TARGETS:
        raise ValueError(
            f"TOMTOM must have {TARGETS} targets or more, because their columns are its null; received {len(targets):,}. "
            f"Pass a whole collection, such as the bundle's, with your own motifs added."
        )
    tomtom = environment.need("memelite", "motifs").tomtom
    # Columns last. Both directions of each target are passed as targets, so that a tie is the one as given.
    ways = [np.ascontiguousarray(motif.probabilities.T) for motif in targets]
    ways += [np.ascontiguousarray(way[::-1, ::-1]) for way in ways]
    found = []
    progress = environment.progress(total=len(queries), what=what, unit="motifs")
    with progress as bar, ThreadPoolExecutor(1) as pool:
        for first in range(0, len(queries), _BATCH):
            some = [np.ascontiguousarray(query.T) for query in queries[first : first + _BATCH]]
            answer = pool.submit(tomtom, some, ways, reverse_complement=False)
            # Compiled code says nothing while it is made, so it is made beside a bar that does.
            while wait([answer], timeout=0.5).not_done:
                bar.update(0, note="" if first else "compiling where this is the first time, a minute or two")
            bar.note = ""
            found.append(answer.result())
            bar.update(len(some))
    p, _, offset, overlap, _ = np.concatenate(found, axis=1)
    p = np.where(np.isnan(p), 1.0, p)  # what cannot be computed is no likeness
    half = len(targets)
    turned = p[:, half:] < p[:, :half]
    best, offset, overlap = (np.where(turned, x[:, half:], x[:, :half]) for x in (p, offset, overlap))
    # Of two directions, as if independent.
    return Likeness(best * (2 - best), turned, offset.astype(np.int64), overlap.astype(np.int64))
