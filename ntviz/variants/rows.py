"""A table of variants: a record a row, as those of a VCF, and the same rows back with statuses and scores."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz.environment import encoding_of, lines_of
from ntviz.genome import Variant
from ntviz.variants.alleles import Allele
from ntviz.variants.vcf import Record, VcfError

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".tsv", ".csv", ".parquet")
_NAMES = {
    "chrom": ("chrom", "#chrom", "chr", "chromosome", "contig", "seqname"),
    "pos": ("pos", "position", "start_1based"),
    "id": ("id", "rsid", "name", "variant_id"),
    "ref": ("ref", "reference", "reference_allele", "ref_allele"),
    "alt": ("alt", "alternative", "alternate", "alt_allele", "alternate_allele"),
}
_GAPS = ("", ".", "NA", "N/A", "NaN", "nan", "None", "<NA>", "NULL", "null")
"""What R, pandas and databases write where there is nothing."""
_INSERTED = (
    "REF is '-': VEP puts the bases before POS and MAF after it; write the base before them in both alleles"
)


class Table:
    """The rows of a table, as often as one asks for them; see `vcf.VcfFile`, whose place it takes.

    Parameters
    ----------
    given
        Columns chrom, pos (1-based), ref, alt and perhaps id, under these or other usual names, and any others. ALT "-" is a
        deletion of all of REF. Numbers may be floats (20.0), as pandas has them beside a gap.
    line
        Of the file that holds the first row; 1 where there is none.

    Raises
    ------
    vcf.VcfError
        A column is missing.
    """

    blank_lines, crlf = 0, False

    def __init__(self, given: pd.DataFrame, line: int = 1) -> None:
        by_name = {str(name).strip().lower(): name for name in given.columns}
        self.given, self._line, self.records = given, line, len(given)
        self._taken = {}
        for wanted, names in _NAMES.items():
            known = [by_name[name] for name in names if name in by_name]
            if not known and wanted != "id":
                advice = (
                    "Rename the column"
                    if len(by_name) > 1
                    else "Put tabs between columns in .tsv, commas in .csv"
                )
                raise VcfError(
                    f"A table of variants must have the columns chrom, pos, ref, alt (id if there is one); it lacks {wanted} among "
                    f"{', '.join(map(str, given.columns))}. {advice}; positions count from 1, as in VCF."
                )
            self._taken[wanted] = known[0] if known else None
        self.texts = {
            wanted: [_text(value) for value in given[name]] if name is not None else [""] * len(given)
            for wanted, name in self._taken.items()
        }

    @classmethod
    def of(cls, what: Any) -> Table:
        """The table of a DataFrame, of the path of one, or of variants as text or `Variant`.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        vcf.VcfError
            The file cannot be read as a table.
        ValueError
            The name of the file is that of no table, or text is no variant.
        TypeError
            `what` is nothing of the above.
        """
        import pandas as pd

        if isinstance(what, pd.DataFrame):
            return cls(what)
        path = Path(what) if isinstance(what, Path | str) else None
        if path is not None and (isinstance(what, Path) or path.suffix in TABLES):
            if path.suffix not in TABLES:
                raise ValueError(
                    f"A table of variants must end in {', '.join(TABLES)}; received {path.name}. Use variants.score_file "
                    "for VCF."
                )
            if not path.is_file():
                raise FileNotFoundError(
                    f"A table of variants must exist; there is no file {str(path)!r}. Check the path."
                )
            try:
                if path.suffix == ".parquet":
                    return cls(pd.read_parquet(path))
                separator = "\t" if path.suffix == ".tsv" else ","
                # Comments come first in MAF and in a VCF that is called .tsv; #CHROM and #chr are names of a column.
                comments = next((n for n, line in lines_of(path) if not re.match("##|#version", line)), 1) - 1
                # Contigs such as 01 are text, whatever they look like.
                given = pd.read_csv(
                    path,
                    sep=separator,
                    dtype=str,
                    keep_default_na=False,
                    encoding=encoding_of(path),
                    encoding_errors="replace",
                    skiprows=comments,
                )
            except VcfError:
                raise
            except (ValueError, OSError) as error:
                raise VcfError(
                    f"A table of variants must be {path.suffix[1:]} that can be read, with names of columns first; {path.name} is "
                    f"not: {str(error).splitlines()[0][:120]}. Write it again, or correct that line."
                ) from error
            return cls(given, line=2 + comments)
        variants: Iterable[Any] = [what] if isinstance(what, str | Variant) else what
        try:
            rows = [(*Allele.of(one), one if isinstance(one, str) else "") for one in variants]
        except AttributeError as error:
            raise TypeError(
                f"Variants must be text, Variant, a DataFrame or a path; received {type(what).__name__}. Pass one of these."
            ) from error
        return cls(pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt", "id"]))

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def __iter__(self) -> Iterator[Record]:
        names = ("chrom", "pos", "id", "ref", "alt")
        for number, (chrom, pos, name, ref, alt) in enumerate(zip(*map(self.texts.get, names), strict=True)):
            problem = ""
            if (position := _position(pos)) < 0:
                problem = f"POS is {pos[:20]!r}, not a whole number"
            elif not ref.isalpha():
                problem = _INSERTED if ref == "-" else f"REF is {ref[:20]!r}, not bases"
            if problem:
                yield Record(number + self._line, "", problem)
            else:
                yield Record(number + self._line, "", "", chrom, position, name or ".", ref, (alt,))

    def scored(
        self, words: dict[str, list[str]], values: np.ndarray, columns: tuple[str, ...]
    ) -> pd.DataFrame:
        """One row an allele: the columns of a variant, these words, whatever else was given, and scores [row, column]."""
        import pandas as pd

        first = {name: self.texts[name] for name in ("chrom", "pos", "id", "ref", "alt")}
        first["id"] = [name or "." for name in first["id"]]
        result = pd.DataFrame(first | words, index=self.given.index)
        result["pos"] = np.array([_position(text) for text in first["pos"]], dtype=np.int64)
        others = self.given.drop(columns=[name for name in self._taken.values() if name is not None])
        scores = pd.DataFrame(values, columns=list(columns), index=self.given.index)
        clash = [name for name in others if name in result or name in scores]
        return pd.concat([result, others.drop(columns=clash), scores], axis=1)


def _text(value: Any) -> str:
    """A cell as text: empty where there is nothing, and whole numbers without the .0 of pandas.

    >>> [_text(value) for value in (20.0, float("nan"), None, "20.0", "NA", "chrX")]
    ['20', '', '', '20', '', 'chrX']
    """
    text = "" if value is None else str(value).strip()
    return "" if text in _GAPS else re.sub(r"^(\d+)\.0+$", r"\1", text)


def _position(text: str) -> int:
    """The position that a text says: 1000, 1,000, 1e+03, as R writes it; -1 where it says none."""
    if re.fullmatch(r"(\d{1,3}(,\d{3})+|\d+)", text):
        return int(text.replace(",", ""))
    try:
        number = float(text)
    except ValueError:
        return -1
    return int(number) if number.is_integer() and number >= 0 else -1
