"""Elements that a table of features does not state: introns, splice sites, codons, UTRs and promoters.

A transcript is what shares contig, strand, gene_id and transcript; features that name neither gene nor transcript belong to
none. Stretches are tables [chrom, start, end], 0-based half-open; where they are worked out, coordinates of the strand "-" are
negated, so that each transcript runs from small to large.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SPLICE_SITE = 2  # bp of an intron at each of its ends
SHORTEST_INTRON = 2 * SPLICE_SITE  # bp; shorter gaps have no room for both sites
CODON = 3
PROMOTER = (1000, 100)  # bp before and after the first base of a transcript
KEY = ["chrom", "strand", "gene_id", "transcript"]


def derivable(stated: Collection[str]) -> list[str]:
    """Elements that follow from the stated ones and are not among them; intergenic has no stretches of its own."""
    found = []
    if "exon" in stated:
        found += ["intron", "splice_donor", "splice_acceptor"]
    if "exon" in stated and "CDS" in stated:
        found += ["five_prime_utr", "three_prime_utr", "start_codon", "stop_codon"]
    if "gene" in stated or "transcript" in stated:
        found += ["promoter", "intergenic"]
    return [kind for kind in found if kind not in stated]


def derived(kind: str, features: pd.DataFrame, *, starting: str, promoter: tuple[int, int], stop_in_cds: bool) -> pd.DataFrame:  # fmt: skip
    """Stretches of a kind of element that `derivable` names; promoters are of the element `starting`."""
    if kind == "promoter":
        stretches = _promoters(features[features["element"] == starting], *promoter)
    elif kind in ("intron", "splice_donor", "splice_acceptor"):
        stretches = _gaps(features, kind)
    else:
        stretches = _coding(features, kind, stop_in_cds=stop_in_cds)
    stretches = turned(stretches)[["chrom", "start", "end"]]
    return stretches.assign(start=stretches["start"].clip(lower=0)) if kind == "promoter" else stretches


def merge(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Union of stretches, sorted; those that touch become one."""
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], ends[order]
    if not len(starts):
        return starts, ends
    reached = np.maximum.accumulate(ends)
    first = np.concatenate([[True], starts[1:] > reached[:-1]])
    return starts[first], reached[np.concatenate([np.flatnonzero(first)[1:] - 1, [len(ends) - 1]])]


def joined(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """`merge` of a few intervals (start, end)."""
    starts, ends = merge(*np.array(list(pieces), np.int64).reshape(-1, 2).T)
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def merge_groups(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The first row of each group of a table, once for each stretch of the union of its rows."""
    if table.empty:
        return table
    number = table.groupby(list(keys), sort=False).ngroup().to_numpy()
    room = number * (int(table["end"].max()) + 2)  # groups far apart on one line
    starts, ends = merge(table["start"].to_numpy() + room, table["end"].to_numpy() + room)
    group, start = np.divmod(starts, int(table["end"].max()) + 2)
    return table.drop_duplicates(list(keys)).iloc[group].assign(start=start, end=start + ends - starts)


def turned(table: pd.DataFrame) -> pd.DataFrame:
    """Rows whose coordinates are negated on the strand "-"; turned twice they are as before."""
    forward = table["strand"] != "-"
    return table.assign(start=table["start"].where(forward, -table["end"]), end=table["end"].where(forward, -table["start"]))  # fmt: skip


def _promoters(starting: pd.DataFrame, before: int, after: int) -> pd.DataFrame:
    if before < 0 or after < 0 or before + after == 0:
        raise ValueError(
            f"A promoter must have bases: bp before and after the start, not negative; received ({before}, {after}). "
            f"The default is {PROMOTER}."
        )
    starting = turned(starting[starting["strand"] != "."])
    return starting.assign(start=starting["start"] - before, end=starting["start"] + after)


def _pieces(features: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    """Features of some kinds that lie in a transcript, turned, by its number and along it."""
    chosen = features["element"].isin(kinds) & ((features["transcript"] != "") | (features["gene_id"] != ""))
    pieces = features[chosen]
    pieces = pieces.assign(number=pieces.groupby(KEY, sort=False).ngroup(), length=pieces["end"] - pieces["start"])
    return turned(pieces).sort_values(["number", "start", "end"])


def _gaps(features: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Introns, the gaps between the exons of each transcript; or their first two bases (donors) or last two (acceptors)."""
    exons = _pieces(features, ["exon"])
    number, start, end = (exons[name].to_numpy() for name in ("number", "start", "end"))
    gap = np.flatnonzero((number[1:] == number[:-1]) & (start[1:] > end[:-1]))
    gaps = exons.iloc[gap].assign(start=end[gap], end=start[gap + 1])
    if kind == "intron":
        return gaps
    gaps = gaps[(gaps["strand"] != ".") & (gaps["end"] - gaps["start"] >= SHORTEST_INTRON)]
    if kind == "splice_donor":
        return gaps.assign(end=gaps["start"] + SPLICE_SITE)
    return gaps.assign(start=gaps["end"] - SPLICE_SITE)


def _coding(features: pd.DataFrame, kind: str, *, stop_in_cds: bool) -> pd.DataFrame:
    """Codons and UTRs: exons before the CDS of each transcript (5'), or after it and its stop codon (3')."""
    pieces = _pieces(features[features["strand"] != "."], ["exon", "CDS", "stop_codon"])
    exons, coding = (pieces[pieces["element"] == element] for element in ("exon", "CDS"))
    frames = _frames(coding)
    if kind == "start_codon":
        return _cut(coding, frames["length"] * 0, frames["begins"] * CODON)
    if kind == "stop_codon" and stop_in_cds:
        last = frames["length"] * frames["ends"]
        return _cut(coding, last - CODON, last)
    # Spliced bases before the CDS, and up to the end of it and of a stated stop codon.
    edges = coding.groupby("number")["start"].min().to_frame("first")
    edges["last"] = pieces[pieces["element"] != "exon"].groupby("number")["end"].max()
    spliced = {}
    for name, edge in edges.items():
        upto = np.minimum(exons["end"], edge.reindex(exons["number"]).to_numpy(float)) - exons["start"]
        bases = exons[["number"]].assign(bases=np.maximum(upto, 0)).groupby("number")["bases"].sum()
        spliced[name] = bases.reindex(edges.index, fill_value=0).astype(np.int64)
    if kind == "five_prime_utr":
        return _cut(exons, spliced["first"] * 0, spliced["first"])
    last, whole = spliced["last"], exons.groupby("number")["length"].sum().reindex(edges.index)
    if kind == "stop_codon":
        last = last[frames["ends"] & (whole >= last + CODON)]
        return _cut(exons, last, last + CODON)
    if not stop_in_cds and not (pieces["element"] == "stop_codon").any():
        last = last + CODON * frames["ends"]
    last = last[last > 0]
    return _cut(exons, last, whole.reindex(last.index))


def _before(pieces: pd.DataFrame) -> pd.Series:
    """Bases of the same transcript in the pieces before each."""
    return pieces.groupby("number")["length"].cumsum() - pieces["length"]


def _cut(pieces: pd.DataFrame, first: pd.Series, last: pd.Series) -> pd.DataFrame:
    """Bases `first` to `last` of each transcript, half-open and counted along it; none of one without numbers."""
    before, start = _before(pieces), pieces["start"]
    low, high = (ends.reindex(pieces["number"]).fillna(0).to_numpy(np.int64) - before for ends in (first, last))
    low, high = np.maximum(low, 0), np.minimum(high, pieces["length"])
    return pieces.assign(start=start + low, end=start + high)[low < high]


def _frames(coding: pd.DataFrame) -> pd.DataFrame:
    """CDS of each transcript: its length, whether it begins and ends with a codon, by its phases or else by its length."""
    before, number = _before(coding), coding["number"]
    frames = coding.groupby("number").agg(length=("length", "sum"), lacks=("incomplete", "".join))
    first = coding["phase"][before == 0].set_axis(number[before == 0]).reindex(frames.index, fill_value=-1)
    at = first.reindex(number).to_numpy()
    against = (coding["phase"] >= 0) & ((at - before - coding["phase"]) % CODON != 0)
    against = against.groupby(number).any()
    whole = (frames["length"] - first.clip(lower=0)) % CODON == 0
    first = first.clip(lower=0).where(whole, first.mask(against, -1))
    return frames.assign(
        begins=(first == 0) & ~frames["lacks"].str.contains("5") & (frames["length"] >= CODON),
        ends=whole & ~frames["lacks"].str.contains("3"),
    )
