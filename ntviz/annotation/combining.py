"""Annotations from tables, and one Annotation of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ntviz.annotation.elements import COLUMNS, Annotation
from ntviz.genome import STRANDS

if TYPE_CHECKING:
    import pandas as pd


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
        Columns [chrom, start, end] (0-based half-open) and element; of strand, gene, gene_id, transcript, name and
        origin those that are known. Others are left out.
    element
        Element of all rows, where the table has no such column.
    kinds
        Elements to know beside those in the table.
    source
        Name of the table, for messages.
    note
        What to say of it in `Annotation.note`.

    Raises
    ------
    ValueError
        If a column is missing, a coordinate is not an integer, a row has no base, or a strand is none of +, - and .

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
    for column in COLUMNS:
        known = column in table.columns and not (column == "element" and element is not None)
        default = "." if column == "strand" else ""
        if known and column not in ("start", "end"):
            filled[column] = table[column].where(table[column].notna(), default).astype(str)
        else:
            filled[column] = table[column] if known else default
    if element is not None:
        filled["element"] = element
    for column in ("start", "end"):
        if len(filled) and not np.issubdtype(filled[column].dtype, np.integer):
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

    Raises
    ------
    ValueError
        If there is nothing to combine.
    TypeError
        If something is not an Annotation.

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
    )
