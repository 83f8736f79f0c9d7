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

For `read(path, rename=REGULATORY)`. Each region counts as one element, as in Ensembl's build, from which the paper took
its own. So an enhancer that CTCF binds too (``dELS,CTCF-bound``) is an enhancer only, and open chromatin is what has no
other class; DNase-H3K4me3 and CA-H3K4me3, which are far from known starts of genes, are open chromatin. Ensembl's
promoter_flanking_region and ENCODE's Low-DNase are none of the nine and keep their names.
"""


def from_table(
    table: pd.DataFrame,
    *,
    element: str | None = None,
    kinds: Sequence[str] = (),
    source: str = "the table",
    note: str = "",
) -> Annotation:
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
    source
        Name of the table, for messages.
    note
        What to say of it in `Annotation.note`.

    Examples
    --------
    >>> import pandas as pd
    >>> peaks = from_table(pd.DataFrame({"chrom": ["chr20"], "start": [99], "end": [200]}), element="peak")
    >>> peaks
    Annotation(the table: 1 features; peak)
    """
    import pandas as pd

    needed = ["chrom", "start", "end", *([] if element is not None else ["element"])]
    missing = [column for column in needed if column not in table.columns]
    if missing:
        raise ValueError(
            f"A table of elements must have the columns {', '.join(needed)}; it lacks {', '.join(missing)}. "
            f"Name its columns so{', or pass element=' if 'element' in missing else ''}."
        )
    filled = pd.DataFrame(index=table.index)
    for column in (*COLUMNS, *(name for name in ("phase", "incomplete") if name in table.columns)):
        known = column in table.columns and not (column == "element" and element is not None)
        default = "." if column == "strand" else ""
        if known and column not in ("start", "end", "phase"):
            # pandas reads chromosome 20 as 20.0 where another row has none.
            text = table[column].where(table[column].notna(), default).astype(str)
            filled[column] = text.str.replace(r"^(\d+)\.0$", r"\1", regex=True) if column == "chrom" else text
        else:
            filled[column] = table[column] if known else default
    if element is not None:
        filled["element"] = element
    for column in ("start", "end"):
        if len(filled) and (numbers := pd.to_numeric(filled[column], errors="coerce")).mod(1).eq(0).all():
            filled[column] = numbers.astype(np.int64)
        elif len(filled):
            raise ValueError(
                f"The {column} of an element must be an integer, 0-based; received {filled[column].dtype} such as "
                f"{filled[column].iloc[0]}. Convert the column with astype(int)."
            )
    _check_rows(filled)
    known = [*kinds, element] if element is not None else kinds
    return Annotation(filled, source=source, kinds=known, notes=[note] if note else [], derive=False)


def _check_rows(table: pd.DataFrame) -> None:
    for wrong, what in (
        (table["start"] < 0, "start at 0 or later"),
        (table["start"] >= table["end"], "hold a base, its start before its end (0-based half-open)"),
        (~table["strand"].isin(STRANDS), "have the strand +, - or ."),
        (table["chrom"] == "", "name its contig"),
    ):
        if wrong.any():
            row = table[wrong].iloc[0]
            raise ValueError(
                f"An element must {what}; received {row['chrom']} {row['start']} {row['end']} {row['strand']}, "
                f"{int(wrong.sum()):,} of {len(table):,} rows. Correct or leave out these rows."
            )


def combine(*annotations: Annotation) -> Annotation:
    """One Annotation of several: its elements are the union of theirs.

    Each derives its own elements, so that exons of one and regulatory regions of another do not mix; where one states
    promoters and another derives them, both are there. Broken lines are kept, with the column `source`, and notes.

    Examples
    --------
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
        raise ValueError(
            "There must be an annotation to combine; received none. Pass what annotation.read gave."
        )
    for one in annotations:
        if not isinstance(one, Annotation):
            raise TypeError(
                f"combine takes Annotations; received {type(one).__name__}. Read files with annotation.read, and turn "
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
        Path of a BED, narrowPeak, broadPeak, gappedPeak, GFF or GTF file, plain or gzip; several; or paths or Annotations by name.
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
    found: dict[str, Annotation] = {}
    if isinstance(beds, Mapping):
        files = [(str(name), file) for name, file in beds.items()]
    else:
        files = [("", file) for file in ([beds] if isinstance(beds, str | Path | Annotation) else beds)]
    for given, file in files:
        one, path = _opened(file)
        if within is not None:
            require_within(one, [within] if isinstance(within, Interval) else within)
        for number, (name, table) in enumerate([(given, one.table)] if given else _sorted(one, path)):
            free = given or next(text for text in _names(name, path) if text not in {*found, *taken})
            found[free] = from_table(table, element=free, source=one.source, note="" if number else one.note)
    return found


def _opened(file: str | Path | Annotation) -> tuple[Annotation, Path]:
    if isinstance(file, Annotation):
        return file, Path(file.source)
    if not isinstance(file, str | Path):
        raise TypeError(
            f"beds must be paths of BED or GFF files, or paths or Annotations by name; received {type(file).__name__}. Pass a "
            "path, a list of paths or a dict."
        )
    return read(file, rename=REGULATORY), Path(file)


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
