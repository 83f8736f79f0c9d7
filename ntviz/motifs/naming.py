"""Names for motifs: which known motif each is most like, how sure that is, and what family it speaks of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ntviz.motifs.families import Family
from ntviz.motifs.many import adjusted
from ntviz.motifs.matrix import Motif
from ntviz.motifs.meme import Motifs
from ntviz.motifs.tomtom import WIDEST, compare

if TYPE_CHECKING:
    import pandas as pd

_SHORTEST = 4  # bp of a query after trimming
_UNKNOWN = Family("", "")
_OF_BEST = ("target", "name", "strand", "offset", "overlap", "class", "family")
_TABLE = {
    "query": str,
    "status": str,
    "target": str,
    "name": str,
    "p": float,
    "e": float,
    "q": float,
    "p_shuffled": float,
    "strand": str,
    "offset": "Int64",
    "overlap": "Int64",
    "class": str,
    "family": str,
    "consensus": str,
    "agreeing": "Int64",
    "significant": "Int64",
}
_MATCHES = {
    "query": str,
    "rank": int,
    "target": str,
    "name": str,
    "p": float,
    "e": float,
    "significant": bool,
    "strand": str,
    "offset": int,
    "overlap": int,
    "class": str,
    "family": str,
}


@dataclass(frozen=True, eq=False)
class Pair:
    """A query beside its target, as they align.

    Attributes
    ----------
    query
        The motif as it was given.
    target
        The known motif, turned around where its strand is ``-``.
    offset
        Position of the query's first column in `target`; negative where the query begins before it.
    """

    query: Motif
    target: Motif
    offset: int

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities [position, base] of both in one frame, with NaN where one of them is not: two logos to stack."""
        start = min(0, self.offset)
        end = max(len(self.target), self.offset + len(self.query))
        frames = []
        for motif, at in ((self.query, self.offset), (self.target, 0)):
            frame = np.full((end - start, 4), np.nan)
            frame[at - start : at - start + len(motif)] = motif.probabilities
            frames.append(frame)
        return frames[0], frames[1]


@dataclass(frozen=True, eq=False)
class Names:
    """What `name` found.

    Attributes
    ----------
    table
        One row a query, in order. `status` says ``named``; ``no match``, where nothing is alike enough; ``uninformative``
        or ``too wide``, where nothing was compared. Of what is named: target, name, strand, offset and overlap of the
        best match, its class and family, `significant` (how many matches are), and `consensus` with `agreeing`: the
        family that most of the best significant ones have, and how many. p, e, q and p_shuffled are those of the
        nearest motif, also where it is no match.
    matches
        The nearest few of each query that was compared, best first, significant or not.
    queries, targets
        The motifs.
    """

    table: pd.DataFrame
    matches: pd.DataFrame
    queries: Motifs
    targets: Motifs

    def pair(self, query: str, rank: int = 1) -> Pair:
        """A query and one of its nearest motifs side by side; rank 1 is the nearest.

        Raises
        ------
        ValueError
            If there is no such query, or it has no match of this rank.
        """
        motif = self.queries[query]
        mine = self.matches[(self.matches["query"] == motif.id) & (self.matches["rank"] == rank)]
        if mine.empty:
            listed = int((self.matches["query"] == motif.id).sum())
            raise ValueError(
                f"A pair must be one of the matches listed; {motif.id} has {listed}, and rank {rank} was asked for. Take "
                f"another rank, or name again with a larger top."
            )
        row = mine.iloc[0]
        target = self.targets[row["target"]]
        return Pair(
            motif, target if row["strand"] == "+" else target.reverse_complement(), int(row["offset"])
        )


def name(
    motifs: Motif | Iterable[Motif],
    targets: Motifs,
    *,
    families: Mapping[str, Family] | None = None,
    q: float = 0.1,
    top: int = 5,
    min_information: float = 0.25,
    min_mean_information: float = 0.8,
    shuffles: int = 100,
    seed: int = 0,
) -> Names:
    """Names of motifs by TOMTOM: the known motif that each is most like, or that there is none.

    The first call on a machine compiles for a minute or two. Then it is 1 ms a motif against a thousand, and `shuffles`
    times as much for the control.

    Parameters
    ----------
    motifs
        A motif, or several with different identifiers; none give empty tables.
    targets
        Known motifs, 25 or more, such as ``motifs.read(data.bundle("motifs"))``.
    families
        Class and family by identifier of target, such as ``motifs.families()``; that of another version of a matrix
        serves as well. Without it, both are empty.
    q
        Largest false discovery rate of names, over the queries of this call.
    top
        How many of the nearest targets to list for each query, and the most of them that vote on its family.
    min_information
        Bits below which a query's columns are cut off at both ends before anything is compared.
    min_mean_information
        Bits a column that are left then at the least; below, or with fewer than 4 columns, a query is ``uninformative``.
    shuffles
        Copies of each query with its columns in another order, which are compared too; 0 for none.
    seed
        Of these orders.

    Returns
    -------
    Names. For each query and target, p is the probability that random columns of the targets align as well as they do,
    somewhere, on either strand; e = p times the number of targets is how many targets as good chance gives. A query's q
    is Benjamini and Hochberg's over the queries, from the e of its nearest target (1 at most), and it is named where that
    is at most `q`. Then as many matches are significant as have e of at most `q` times the share of queries that are
    named. `p_shuffled` is the control: the share of the query's shuffles, itself among them, that are as much like
    something; it cannot be below 1 / (shuffles + 1), and is large for a motif that is much the same in any order. offset
    is the position of the query's first column, as given, in the target, turned where strand is ``-``.

    Raises
    ------
    ImportError
        If memelite is not installed; it comes with ``ntviz[motifs]``.
    ValueError
        If there are fewer than 25 targets, two queries share an identifier, or a number is out of its range.

    Notes
    -----
    One q over all pairs of queries and targets would be no rate of wrong names: the motifs of JASPAR are many times the
    same, true queries bring tens of discoveries each, and so raise the limit for all others. Of 200 column-shuffled
    matrices, each 2 among 18 true ones, 133 would have got a name at 0.1 in that way, and 21 get one in this.

    What was measured against JASPAR 2026 (1,019 matrices), with e of at most 0.05:

    - of its own matrices with columns shuffled, 7 in 100 are like something; of these, 1 in 6 like itself. Of random
      matrices of 1 bit a column, 4 in 100 are;
    - columns that say little lie beside each other in many known motifs, which TOMTOM's null does not know: of random
      matrices of 0.65 bits a column 9 to 35 in 100 are like something, of 0.3 bits up to 98. Hence `min_mean_information`;
    - resampled from 20 sites, with their own matrix taken out, 77 in 100 find something (91 that are not of C2H2 zinc
      fingers, 45 of those that are). The nearest has a family of the query's in 77 of 100 and its class in 90; a vote of
      the nearest 3, 5 or 10 that are significant gets 76 to 77. So the vote is a second opinion, and not a better one.
      Members of a family of zinc fingers bind different sites: there it says little.

    A name says which known motif looks alike, and nothing of which protein binds.

    References
    ----------
    Gupta et al., Genome Biology 2007 (TOMTOM, with complete scores, as in Tanaka et al., Bioinformatics 2011), as memelite
    computes it: scores in 100 bins, medians in 1,000 bins, like target columns merged. Benjamini & Bogomolov, J R Stat
    Soc B 2014, for tests within the groups that were selected.
    """
    chosen = (
        motifs if isinstance(motifs, Motifs) else Motifs([motifs] if isinstance(motifs, Motif) else motifs)
    )
    if not 0 < q <= 1:
        raise ValueError(f"q must be above 0 and at most 1; received {q}. 0.1 is usual.")
    if top < 1 or shuffles < 0:
        raise ValueError(
            f"top must be at least 1 and shuffles at least 0; received {top} and {shuffles}. 5 and 100 are usual."
        )
    known = list(targets)
    kinds = _kinds(known, families or {})
    cut = [_cut(motif, min_information, min_mean_information) for motif in chosen]
    rows: list[dict] = [
        {"query": motif.id, "status": one.status} for motif, one in zip(chosen, cut, strict=True)
    ]
    places = [place for place, one in enumerate(cut) if one.status == "no match"]
    matches: list[dict] = []
    if places:
        columns = [cut[place].columns for place in places]
        like = compare(columns, known)
        e = like.p * len(known)
        # Of equals the longer overlap, then the order of the targets.
        order = np.lexsort((np.broadcast_to(np.arange(len(known)), e.shape), -like.overlap, like.p))[:, :top]
        nearest = e[np.arange(len(e)), order[:, 0]]
        rate = adjusted(np.minimum(nearest, 1), len(nearest))
        significant = (e <= q * (rate <= q).mean()) & (rate <= q)[:, None]
        control = _shuffled(columns, known, nearest / len(known), shuffles, seed)
        for at, place in enumerate(places):
            listed = [
                {
                    "query": rows[place]["query"],
                    "rank": rank,
                    "target": known[j].id,
                    "name": known[j].name,
                    "p": like.p[at, j],
                    "e": e[at, j],
                    "significant": significant[at, j],
                    "strand": "-" if like.turned[at, j] else "+",
                    "offset": like.offset[at, j] - cut[place].left,
                    "overlap": like.overlap[at, j],
                    "class": kinds[j].group,
                    "family": kinds[j].family,
                }
                for rank, j in enumerate(order[at].tolist(), start=1)
            ]
            matches += listed
            first = listed[0]
            row = {"p": first["p"], "e": first["e"], "q": rate[at], "p_shuffled": control[at]}
            if rate[at] <= q:
                consensus, agreeing = _vote([kinds[j] for j in order[at].tolist() if significant[at, j]])
                row |= {key: first[key] for key in _OF_BEST}
                row |= {"status": "named", "significant": significant[at].sum()}
                row |= {"consensus": consensus, "agreeing": agreeing}
            rows[place] |= row
    return Names(_typed(rows, _TABLE), _typed(matches, _MATCHES), chosen, targets)


@dataclass(frozen=True, eq=False)
class _Cut:
    """Columns of a query that are compared, how many were cut off on the left, and what is known so far."""

    status: str
    columns: np.ndarray
    left: int


def _cut(motif: Motif, min_information: float, min_mean_information: float) -> _Cut:
    start, end = motif.core(min_information)
    columns = motif.probabilities[start:end]
    if end - start < _SHORTEST or motif.information[start:end].mean() < min_mean_information:
        return _Cut("uninformative", columns, start)
    return _Cut("no match" if end - start <= WIDEST else "too wide", columns, start)


def _kinds(known: list[Motif], families: Mapping[str, Family]) -> list[Family]:
    """Class and family of each motif; those of another version of its matrix where its own are not there."""
    unversioned = {identifier.partition(".")[0]: family for identifier, family in families.items()}
    return [families.get(motif.id, unversioned.get(motif.id.partition(".")[0], _UNKNOWN)) for motif in known]


def _shuffled(
    columns: list[np.ndarray], known: list[Motif], p: np.ndarray, shuffles: int, seed: int
) -> np.ndarray:
    """Share of each query's shuffles, itself among them, whose nearest motif is as near; nan without shuffles."""
    if not shuffles:
        return np.full(len(columns), np.nan)
    rng = np.random.default_rng(seed)
    copies = [query[rng.permutation(len(query))] for query in columns for _ in range(shuffles)]
    nearest = compare(copies, known, "TOMTOM, columns shuffled").p.min(axis=1).reshape(len(columns), shuffles)
    return (1 + (nearest <= p[:, None]).sum(axis=1)) / (1 + shuffles)


def _vote(voters: list[Family]) -> tuple[str, int]:
    """The family that most have and how many do; of equals that of the nearest, and none where none is known."""
    votes = Counter(family for voter in voters for family in voter.families)
    return votes.most_common(1)[0] if votes else ("", 0)


def _typed(rows: list[dict], columns: Mapping[str, type | str]) -> pd.DataFrame:
    import pandas as pd

    missing = {str: "", float: np.nan, "Int64": None}
    return pd.DataFrame(
        {
            column: pd.Series([row.get(column, missing.get(kind)) for row in rows], dtype=kind)
            for column, kind in columns.items()
        }
    )
