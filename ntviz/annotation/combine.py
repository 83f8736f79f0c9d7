"""Annotations from tables, one Annotation of several, and the elements of a person's own files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ntviz.annotation.elements import COLUMNS, Annotation
from ntviz.annotation.read import read
from ntviz.genome import STRANDS, Interval, canonical_contig

if TYPE_CHECKING:
    import pandas as pd

REGULATORY: dict[str, str] = {
    # ENCODE's candidate cis-regulatory elements, registry V2 and V3; of "pELS,CTCF-bound" the part before the comma counts.
    "PLS": "promoter", "pELS": "enhancer", "dELS": "enhancer", "CTCF-only": "CTCF_binding_site",
    "DNase-H3K4me3": "open_chromatin", "DNase-only": "open_chromatin",
    # Registry V4: CA means chromatin accessibility.
    "CA-CTCF": "CTCF_binding_site", "CA-H3K4me3": "open_chromatin", "CA-TF": "TF_binding_site", "CA": "open_chromatin",
    "TF": "TF_binding_site",
    # Ensembl's Regulatory Build, GFF.
    "promoter": "promoter", "enhancer": "enhancer", "CTCF_binding_site": "CTCF_binding_site",
    "open_chromatin_region": "open_chromatin", "TF_binding_site": "TF_binding_site",
}  # fmt: skip
"""Element of the attention analysis by class of ENCODE's registry or feature of Ensembl's Regulatory Build.

For `read(path, rename=REGULATORY)`. Each region counts as one element, as in Ensembl's build, from which the paper took its
own: an enhancer that CTCF binds too (``dELS,CTCF-bound``) is an enhancer only, and open chromatin is what has no other class.
Ensembl's promoter_flanking_region and ENCODE's Low-DNase are none of the nine and keep their names.
"""


def from_table(
    table: pd.DataFrame, *, element: str | None = None, kinds: Sequence[str] = (), source: str = "the table",
    note: str = "",
) -> Annotation:  # fmt: skip
    """An Annotation of the rows of a table, such as one made by hand or a list of hits.

    Nothing is derived for the elements in it: an exon here has no introns.

    Parameters
    ----------
    table
        Columns [chrom, start, end] (0-based half-open) and element; of strand, gene, gene_id, transcript, name and origin those
        that are known. Others are left out. A start that is no integer, or a row without a base, is refused.
    element
        Element of all rows, where the table has no such column.
    kinds
        Elements to know beside those in the table.
    note
        What to say of it in `Annotation.note`.

    Examples
    --------
    >>> import pandas as pd
    >>> from_table(pd.DataFrame({"chrom": ["chr20"], "start": [99], "end": [200]}), element="peak")
    Annotation(the table: 1 features; peak)
    """
    import pandas as pd

    table = table if element is None else table.assign(element=element)
    needed = ("chrom", "start", "end", "element")
    if missing := [column for column in needed if column not in table]:
        raise ValueError(
            f"A table of elements must have the columns {', '.join(needed)}; it lacks {', '.join(missing)}. "
            f"Name its columns so{', or pass element=' if 'element' in missing else ''}."
        )
    filled = pd.DataFrame(index=table.index)
    for column in (*COLUMNS, *(name for name in ("phase", "incomplete") if name in table)):
        default = "." if column == "strand" else ""
        if column in ("start", "end", "phase"):
            filled[column] = table[column]
        elif column in table:
            filled[column] = table[column].where(table[column].notna(), default).astype(str)
        else:
            filled[column] = default
    # pandas reads chromosome 20 as 20.0 where another row has none.
    filled["chrom"] = filled["chrom"].str.replace(r"^(\d+)\.0$", r"\1", regex=True)
    for column in ("start", "end"):
        numbers = pd.to_numeric(filled[column], errors="coerce")
        if not numbers.mod(1).eq(0).all():
            raise ValueError(
                f"The {column} of an element must be an integer, 0-based; received {filled[column].dtype} such as "
                f"{filled[column].iloc[0]}. Convert the column with astype(int)."
            )
        filled[column] = numbers.astype(np.int64)
    for wrong, what in (
        (filled["start"] < 0, "start at 0 or later"),
        (filled["start"] >= filled["end"], "hold a base, its start before its end (0-based half-open)"),
        (~filled["strand"].isin(STRANDS), "have the strand +, - or ."),
        (filled["chrom"] == "", "name its contig"),
    ):
        if wrong.any():
            row = " ".join(map(str, filled.loc[wrong, ["chrom", "start", "end", "strand"]].iloc[0]))
            raise ValueError(
                f"An element must {what}; received {row}, {int(wrong.sum()):,} of {len(table):,} rows. Correct or leave out "
                f"these rows."
            )
    known = [*kinds, element] if element is not None else kinds
    return Annotation(filled, source=source, kinds=known, notes=[note] if note else [], derive=False)


def combine(*annotations: Annotation) -> Annotation:
    """One Annotation of several: its elements are the union of theirs.

    Each derives its own elements, so that exons of one and regulatory regions of another do not mix; where one states
    promoters and another derives them, both are there. Broken lines are kept, with the column `source`, and notes.

    >>> import pandas as pd
    >>> from ntviz.genome import Interval
    >>> peaks = from_table(pd.DataFrame({"chrom": ["1"], "start": [2], "end": [4]}), element="peak")
    >>> dips = from_table(pd.DataFrame({"chrom": ["chr1"], "start": [5], "end": [7]}), element="dip")
    >>> both = combine(peaks, dips)
    >>> both.kinds
    ('peak', 'dip')
    >>> both.indicator(Interval("1", 0, 8), ["peak", "dip"]).astype(int).tolist()
    [0, 0, 1, 1, 0, 1, 1, 0]
    """
    import pandas as pd

    if not annotations:
        raise ValueError("There must be an annotation to combine; received none. Pass what annotation.read gave.")
    for part in annotations:
        if not isinstance(part, Annotation):
            raise TypeError(
                f"combine takes Annotations; received {type(part).__name__}. Read files with annotation.read, and turn "
                f"tables into one with annotation.from_table."
            )
    broken = [
        part.broken if "source" in part.broken.columns else part.broken.assign(source=part.source)
        for part in annotations
    ]
    return Annotation(
        pd.concat([part.table for part in annotations], ignore_index=True),
        broken=pd.concat([part for part in broken if len(part)] or broken[:1], ignore_index=True),
        source=" and ".join(dict.fromkeys(part.source for part in annotations)),
        lines=sum(part.lines for part in annotations),
        parts=annotations,
        inferred=pd.concat([part.inferred for part in annotations]),
    )


Beds = str | Path | Annotation | Sequence[str | Path | Annotation] | Mapping[str, str | Path | Annotation]
"""What `beds=` takes, everywhere: a file, several, or files or annotations by name."""

NAMES = 12
"""Different names in the fourth column of a BED file at most, for them to be names of elements."""


def named(
    beds: Beds, *, taken: Collection[str] = (), within: Interval | Sequence[Interval] | None = None
) -> dict[str, Annotation]:
    r"""The elements of a person's own files, by name; each Annotation has that one element.

    - In a mapping each file is one element of the name given.
    - A file that says what its features are (GFF, GTF, ENCODE's cCREs) gives an element of each; `REGULATORY` renames them.
    - A BED file whose fourth column sorts its lines (2 to 12 names, each on two lines or more on average) gives an element of
      each name.
    - Any other file, such as peaks with identifiers, is one element, named as the file is without its endings.

    Two files are never one element: a name that is taken gets the file's beside it, as in ``peaks (run2/peaks.bed)``.

    Parameters
    ----------
    beds
        Path of a BED, narrowPeak, broadPeak, gappedPeak, GFF or GTF file; several; or paths or Annotations by name.
    taken
        Names that other elements have, such as those of an annotation of genes.
    within
        Where one looks: an interval, or several such as all contigs. Each file must have something there.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "peaks.bed").write_text("1\t9\t20\tpeak1\n1\t40\t60\tpeak2\n")
    >>> _ = (folder / "states.bed").write_text("1\t0\t9\topen\n1\t9\t20\tclosed\n1\t20\t30\topen\n1\t30\t40\tclosed\n")
    >>> list(named([folder / "peaks.bed", folder / "states.bed"]))
    ['peaks', 'open', 'closed']
    >>> list(named({"my peaks": folder / "states.bed"}))
    ['my peaks']
    """
    elements: dict[str, Annotation] = {}
    if isinstance(beds, Mapping):
        files = [(str(name), file) for name, file in beds.items()]
    else:
        files = [("", file) for file in ([beds] if isinstance(beds, str | Path | Annotation) else beds)]
    for given, file in files:
        if not isinstance(file, str | Path | Annotation):
            raise TypeError(
                f"beds must be paths of BED or GFF files, or paths or Annotations by name; received {type(file).__name__}. Pass a "
                "path, a list of paths or a dict."
            )
        one = file if isinstance(file, Annotation) else read(file, rename=REGULATORY)
        path = Path(one.source if isinstance(file, Annotation) else file)
        if within is not None:
            require_within(one, [within] if isinstance(within, Interval) else within)
        for number, (name, table) in enumerate([(given, one.table)] if given else _sorted(one, path)):
            free = given or next(text for text in _names(name, path) if text not in {*elements, *taken})
            elements[free] = from_table(table, element=free, source=one.source, note="" if number else one.note)
    return elements


def require_within(one: Annotation, regions: Sequence[Interval]) -> None:
    """Refuses an Annotation of which nothing lies in any of the regions."""
    contigs = {canonical_contig(name): name for name in one.table["chrom"].unique()}
    near = [region for region in regions if canonical_contig(region.chrom) in contigs]
    if not any(len(one.within(region)) for region in near):
        more = f" and {len(regions) - 3:,} more" if len(regions) > 3 else ""
        raise ValueError(
            f"A file of elements must have some where you look; nothing of {one.source} (on {', '.join([*contigs.values()][:3])}) "
            f"lies on {', '.join(region.label() for region in regions[:3])}{more}. Check its assembly, and the region."
        )


def _sorted(one: Annotation, path: Path) -> list[tuple[str, pd.DataFrame]]:
    """Names and rows of the elements of a file."""
    table = one.table
    kinds, names = table["element"].unique(), table["name"].unique()
    if list(kinds) != ["region"]:
        return [(str(kind), table[table["element"] == kind]) for kind in kinds]
    if 2 <= len(names) <= min(NAMES, len(table) / 2) and not {"", "."} & set(names):
        return [(str(name), table[table["name"] == name]) for name in names]
    return [(path.name.removesuffix(".gz").rsplit(".", 1)[0] or path.name, table)]


def _names(name: str, path: Path) -> Iterator[str]:
    """What to call an element, the first that is not taken."""
    yield name
    yield f"{name} ({path.name})"
    yield f"{name} ({path.parent.name}/{path.name})"
    yield from (f"{name} ({path.name}, {number})" for number in count(2))
