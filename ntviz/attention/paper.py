"""The elements of the attention analysis as one Annotation: from genes, regulatory regions, the bases, and motifs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ntviz.annotation import PROMOTER, Annotation, cpg_islands, from_table
from ntviz.environment import tell
from ntviz.genome import Interval, canonical_contig
from ntviz.motifs import Motif, hits

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.reference import Reference

PAPER_ELEMENTS = (
    *("five_prime_utr", "three_prime_utr", "exon", "intron"),
    *("enhancer", "promoter", "CTCF_binding_site", "open_chromatin", "TF_binding_site"),
)
"""The nine elements of Dalla-Torre et al., Nature Methods 2025."""

SITES = ("splice_donor", "splice_acceptor", "start_codon", "stop_codon")
_REGULATORY = ("enhancer", "promoter", "CTCF_binding_site", "open_chromatin", "TF_binding_site")
_OF_GENES = ("gene", "transcript", "CDS", "UTR")  # what other elements are made of
_PIECE = 1 << 23  # bases read at a time
_LENGTH = 200  # bp of the shortest CpG island


def paper_elements(
    genes: Annotation,
    reference: Reference | None = None,
    *extras: Annotation,
    motifs: Motif | Iterable[Motif] = (),
    p: float = 1e-4,
    within: Interval | None = None,
) -> Annotation:
    """Elements to ask attention about: the nine of the paper, splice sites, codons, CpG islands and motifs.

    The stretches of each kind are merged, and nothing else is in the result. `Annotation.note` says which of the nine
    are absent and why, and where promoters are from.

    Parameters
    ----------
    genes
        Exons, UTRs, codons and what follows from them.
    reference
        The bases, for ``cpg_island`` and motifs; without it there are none.
    extras
        More annotations, such as ENCODE's cCREs or Ensembl's Regulatory Build read with
        ``rename=annotation.REGULATORY``, or peaks of one's own, whose elements are all taken. Promoters that one of them
        states replace those derived from the starts of transcripts.
    motifs
        Motifs whose matches are elements, such as ``CTCF motif``.
    p
        Largest p-value of a match; see `ntviz.motifs.scan`.
    within
        Keep the elements that overlap this interval, and look for islands and motifs in it only, which is fast; else on
        all contigs that have a feature.

    Raises
    ------
    ValueError
        If none of the elements is there, motifs are given without a reference, or their matches cannot be found.
    """
    import pandas as pd

    sources = (genes, *extras)
    parts: list[pd.DataFrame] = []
    kinds: list[str] = []
    notes: list[str] = []
    own = [kind for extra in extras for kind in extra.table["element"].unique() if kind not in _OF_GENES]
    for kind in dict.fromkeys([*PAPER_ELEMENTS, *SITES, *own]):
        having = [source for source in sources if kind in source.kinds]
        if kind == "promoter" and having:
            stating = [source for source in having if (source.table["element"] == kind).any()]
            having = stating or having
            notes.append(
                f"promoter is as {' and '.join(source.source for source in stating)} states it."
                if stating
                else f"promoter is {PROMOTER[0]:,} bp before to {PROMOTER[1]:,} bp after the first base of each transcript."
            )
        if having:
            kinds.append(kind)
            parts += [source.elements(kind) for source in having]
    notes += _on_absent(kinds)
    regions = [within] if within is not None else list(_regions(sources, reference, notes))
    matching = [motifs] if isinstance(motifs, Motif) else list(motifs)
    columns = ["chrom", "start", "end", "element"]
    if reference is not None:
        kinds.append("cpg_island")
        for region in regions:
            # Pieces share as many bases as a window of an island has but one, so that none is missed.
            for start in range(region.start, region.end, _PIECE):
                piece = Interval(region.chrom, start, min(start + _PIECE + _LENGTH - 1, region.end))
                islands = cpg_islands(reference.fetch(piece).sequence, piece, length=_LENGTH)
                parts.append(islands.table[columns])
    else:
        notes.append("cpg_island is absent: it is found in the bases, and no reference was given.")
    if matching:
        if reference is None:
            raise ValueError(
                f"Motifs are looked for in bases; received {len(matching):,} motifs and no reference. Pass a Reference."
            )
        found = [hits(reference, region, matching, p=p) for region in regions]
        too_short = found[0].attrs["too_short"] if found else ()
        if too_short:
            notes.append(
                f"{len(too_short):,} motifs are too short to match with p of at most {p:g}: {', '.join(too_short[:5])}."
            )
        parts += [table[columns] for table in found]
        kinds += [f"{motif.name} motif" for motif in matching if motif.id not in too_short]
    if not kinds:
        raise ValueError(
            f"There must be an element that is asked about; {genes.source} has only {', '.join(genes.kinds) or 'nothing'}. Pass "
            f"genes with exons, or extras."
        )
    table = pd.concat(parts, ignore_index=True)
    if within is not None:
        canonical = {name: canonical_contig(name) for name in table["chrom"].unique()}
        same = table["chrom"].map(canonical) == canonical_contig(within.chrom)
        table = table[same & (table["start"] < within.end) & (table["end"] > within.start)]
        inside, total = Counter[str](), Counter[str]()
        for extra in extras:
            inside[extra.source] += len(extra.within(within))
            total[extra.source] += len(extra)
        counts = "".join(f"; {inside[name]:,} of {of:,} features of {name} do" for name, of in total.items())
        notes.append(f"Elements are those that overlap {within.label()}{counts}.")
    source = "the elements of " + " and ".join(dict.fromkeys(source.source for source in sources))
    for note in notes:
        tell(note)
    note = " ".join([*(source.note for source in sources if source.note), *notes])
    return from_table(table, source=source, note=note, kinds=list(dict.fromkeys(kinds)))


def _on_absent(kinds: Sequence[str]) -> list[str]:
    absent = [kind for kind in PAPER_ELEMENTS if kind not in kinds]
    regulatory = [kind for kind in absent if kind in _REGULATORY]
    of_genes = [kind for kind in absent if kind not in _REGULATORY]
    text = f"Of the nine elements of the paper {len(absent)} are absent."
    if regulatory:
        text += f" {', '.join(regulatory)}: no file that was given has them; ENCODE's cCREs or Ensembl's Regulatory Build would."
    if of_genes:
        text += f" {', '.join(of_genes)}: the genes have none, nor exons with CDS to derive them from."
    return [text] if absent else []


def _regions(
    sources: Sequence[Annotation], reference: Reference | None, notes: list[str]
) -> Iterator[Interval]:
    """The contigs with a feature, whole; of those that the reference lacks the features are counted."""
    if reference is None:
        return
    lacking: dict[str, int] = {}
    seen = set()
    for source in sources:
        for name, count in source.table["chrom"].value_counts(sort=False).items():
            try:
                region = reference.whole(str(name))
            except ValueError:
                lacking[str(name)] = lacking.get(str(name), 0) + int(count)
                continue
            if canonical_contig(region.chrom) not in seen:
                seen.add(canonical_contig(region.chrom))
                yield region
    if lacking:
        names = ", ".join(list(lacking)[:5]) + (f" and {len(lacking) - 5:,} more" if len(lacking) > 5 else "")
        notes.append(
            f"{sum(lacking.values()):,} features lie on contigs that the reference lacks ({names}); they have no bases."
        )
