"""The elements of the attention analysis as one Annotation: from genes, regulatory regions, the bases, and motifs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from ntviz.annotation import PROMOTER, Annotation, cpg_islands, from_table
from ntviz.environment import tell
from ntviz.genome import Interval, canonical_contig
from ntviz.motifs import Motif, hits
from ntviz.reference import Reference

_REGULATORY = ("enhancer", "promoter", "CTCF_binding_site", "open_chromatin", "TF_binding_site")
PAPER_ELEMENTS = ("five_prime_utr", "three_prime_utr", "exon", "intron", *_REGULATORY)
"""The nine elements of Dalla-Torre et al., Nature Methods 2025."""

SITES = ("splice_donor", "splice_acceptor", "start_codon", "stop_codon")
_OF_GENES = ("gene", "transcript", "CDS", "UTR")  # what other elements are made of
_PIECE = 1 << 23  # bases read at a time
_LENGTH = 200  # bp of the shortest CpG island


def paper_elements(
    genes: Annotation, reference: Reference | None = None, *extras: Annotation, motifs: Motif | Iterable[Motif] = (),
    p: float = 1e-4, within: Interval | None = None,
) -> Annotation:  # fmt: skip
    """Elements to ask attention about: the nine of the paper, splice sites, codons, CpG islands and motifs.

    The stretches of each kind are merged. `Annotation.note` says which of the nine are absent and why.

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
    """
    sources, columns = (genes, *extras), ["chrom", "start", "end", "element"]
    parts, kinds, notes = list[pd.DataFrame](), list[str](), list[str]()
    own = [kind for extra in extras for kind in extra.table["element"].unique() if kind not in _OF_GENES]
    for kind in dict.fromkeys([*PAPER_ELEMENTS, *SITES, *own]):
        having = [source for source in sources if kind in source.kinds]
        if kind == "promoter" and having:
            derived = f"{PROMOTER[0]:,} bp before to {PROMOTER[1]:,} bp after the first base of each transcript"
            stating = [source for source in having if (source.table["element"] == kind).any()]
            said = f"as {' and '.join(source.source for source in stating)} states it" if stating else derived
            having, notes = stating or having, [*notes, f"promoter is {said}."]
        if having:
            kinds.append(kind)
            parts += [source.elements(kind) for source in having]
    if absent := [kind for kind in PAPER_ELEMENTS if kind not in kinds]:
        regulatory = ", ".join(kind for kind in absent if kind in _REGULATORY)
        of_genes = ", ".join(kind for kind in absent if kind not in _REGULATORY)
        notes.append(f"Of the nine elements of the paper {len(absent)} are absent.")
        lacking = f"{regulatory}: no file that was given has them; ENCODE's cCREs or Ensembl's Regulatory Build would."
        notes += [lacking] * bool(regulatory)
        notes += [f"{of_genes}: the genes have none, nor exons with CDS to derive them from."] * bool(of_genes)
    regions = [within] if within is not None else _regions(sources, reference, notes)
    matching = [motifs] if isinstance(motifs, Motif) else list(motifs)
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
        tables = [hits(reference, region, matching, p=p) for region in regions]
        if too_short := tables[0].attrs["too_short"] if tables else ():
            few = ", ".join(too_short[:5])
            notes.append(f"{len(too_short):,} motifs are too short to match with p of at most {p:g}: {few}.")
        parts += [table[columns] for table in tables]
        kinds += [f"{motif.name} motif" for motif in matching if motif.id not in too_short]
    if not kinds:
        raise ValueError(
            f"There must be an element that is asked about; {genes.source} has only {', '.join(genes.kinds) or 'nothing'}. "
            "Pass genes with exons, or extras."
        )
    table = pd.concat(parts, ignore_index=True)
    if within is not None:
        canonical = {name: canonical_contig(name) for name in table["chrom"].unique()}
        same = table["chrom"].map(canonical) == canonical_contig(within.chrom)
        table = table[same & (table["start"] < within.end) & (table["end"] > within.start)]
        do = [f"; {len(extra.within(within)):,} of {len(extra):,} features of {extra.source} do" for extra in extras]
        notes.append(f"Elements are those that overlap {within.label()}{''.join(do)}.")
    source = "the elements of " + " and ".join(dict.fromkeys(source.source for source in sources))
    for note in notes:
        tell(note)
    note = " ".join([*(source.note for source in sources if source.note), *notes])
    return from_table(table, source=source, note=note, kinds=list(dict.fromkeys(kinds)))


def _regions(sources: Sequence[Annotation], reference: Reference | None, notes: list[str]) -> list[Interval]:
    """The contigs with a feature, whole; of those that the reference lacks the features are counted."""
    found, lacking = dict[str, Interval](), Counter[str]()
    for source in sources if reference is not None else ():
        for name, count in source.table["chrom"].value_counts(sort=False).items():
            try:
                region = reference.whole(str(name))
            except ValueError:
                lacking[str(name)] += int(count)
                continue
            found.setdefault(canonical_contig(region.chrom), region)
    if lacking:
        names = ", ".join(list(lacking)[:5]) + (f" and {len(lacking) - 5:,} more" if len(lacking) > 5 else "")
        many = f"{lacking.total():,} features"
        notes.append(f"{many} lie on contigs that the reference lacks ({names}); they have no bases.")
    return list(found.values())
