"""Variants scored: `score` for a notebook, `score_file` for a whole VCF or table, in pieces that are kept."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import environment, storage
from ntviz.genome import Variant
from ntviz.masking import BATCH_TOKENS
from ntviz.models.protocol import DNAModel, SplicePredictor
from ntviz.reference import Reference
from ntviz.storage import TABLES, Output, Pieces
from ntviz.variants import vcf
from ntviz.variants.alleles import STATUSES
from ntviz.variants.options import Options
from ntviz.variants.plan import LONG_INDEL, Mismatch
from ntviz.variants.scorer import Scored, Scorer
from ntviz.variants.survey import Piece, Survey, Table, opened, pieces, survey

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.variants.splice import SpliceScorer

PIECE = 500
"""Records that are scored, and kept, at once."""
AGREEMENT = 0.95
"""Share of REF below which another assembly is suspected."""
_CHUNK = 2_000  # rows of a notebook's table at once
_MANY = 20  # REF compared; of fewer, each row says it
_ROWS = 25_000  # of the parquet, held before they are written
_OTHER = {"GRCh37": "GRCh38", "GRCh38": "GRCh37"}


# A table --------------------------------------------------------------------------------------------------------------


def score(
    model: DNAModel,
    reference: Reference,
    what: Variant | str | Path | Iterable[Variant | str] | pd.DataFrame,
    *,
    background: Any = None,
    progress: str | None = "variants",
    **options: Any,
) -> pd.DataFrame:
    """One row an allele, in the order given: chrom, pos (1-based), id, ref, alt, status, kind, method, note, and scores.

    Parameters
    ----------
    model
        Any `models.DNAModel` with a mask, or a splice network.
    reference
        Bases.
    what
        A variant or several, as `Variant` or text ("chr20:43042364 C>T"); a DataFrame with the columns chrom, pos
        (1-based), ref, alt and perhaps id, whose other columns are kept; or the path of a .tsv, .csv or .parquet
        with these. A VCF keeps its form in `variants.score_file`.
    background
        From `variants.background`; adds percentiles.
    progress
        Name of the progress bar; None for none.
    options
        Of `Options`: scores, frames, place, window, layer, region, both_strands, on_mismatch. Of `SpliceScorer` for a splice network:
        annotation (an `Annotation`, or the path of one), distance, mask, on_mismatch.

    Raises
    ------
    ValueError, TypeError
        The table lacks a column, the file is of another kind, an option is unknown, or a single variant given as text
        is none. What is wrong with one row of many is its status.

    Warns
    -----
    UserWarning
        REF, or names of variants or contigs, speak for another assembly than the reference's.

    Examples
    --------
    The llr of a deletion of 1 bp by hand: in windows of 15 tokens, ceil(1/6) + 1 = 2 of them, each masked by itself.

    >>> import numpy as np
    >>> from dataclasses import replace
    >>> from ntviz import data, models
    >>> from ntviz.genome import Interval
    >>> model, reference = models.load("ntviz-mini", device="cpu"), Reference(data.bundle("chr20"))
    >>> def bases(start, end):
    ...     return reference.fetch(Interval("chr20", start, end)).sequence
    >>> def pll(sequence, first):
    ...     tokens, total = model.tokenize(sequence), 0.0
    ...     for place in (1 + first, 2 + first):  # one place further, as <cls> comes first
    ...         masked = tokens.ids.copy()
    ...         masked[place] = model.mask_id
    ...         logits = model.forward(replace(tokens, ids=masked)).logits[0, place].astype(float)
    ...         total += logits[tokens.ids[place]] - np.log(np.exp(logits).sum())
    ...     return total
    >>> at = 43_042_360  # from 0; no neighbour is the same base, so it is left-aligned
    >>> begin = at // 6 * 6 - 7 * 6  # its token is in the middle of the window: number 7, from 0
    >>> ref = bases(begin, begin + 90)
    >>> same_begin = bases(begin, at) + bases(at + 1, begin + 91)
    >>> same_end = bases(begin - 1, at) + bases(at + 1, begin + 90)
    >>> by_hand = (pll(same_begin, 7) - pll(ref, 7) + pll(same_end, 6) - pll(ref, 6)) / 2
    >>> text = f"chr20:{at}:{bases(at - 1, at + 1)}>{bases(at - 1, at)}"
    >>> row = score(model, reference, text, scores="llr", window=90, both_strands=False, progress=None).iloc[0]
    >>> text, row["kind"], row["method"], bool(abs(row["llr"] - by_hand) < 1e-4), round(float(by_hand), 2)
    ('chr20:43042360:AG>A', 'deletion', 'pll', True, -0.77)
    """
    scorer = scorer_of(model, reference, background=background, **options)
    table = Table.of(what)
    summary = Summary(Path(), Path(), (1, 1), survey(table), reference.assembly)
    made = [(one, scorer.score(one.alleles, what=progress)) for one in pieces(table, _CHUNK)]
    for one, scored in made:
        summary.count(one, scored)
    for doubt in summary.doubts if summary.checked >= _MANY or summary.survey.assemblies else []:
        environment.tell(doubt)
        warnings.warn(doubt, stacklevel=2)
    result = _filled(table, scorer, summary.survey, made)
    result.attrs.update(scoring=scorer.about, sequences=scorer.sequences)
    return result


def scorer_of(
    model: Any,
    reference: Reference,
    *,
    background: Any = None,
    batch_tokens: int = BATCH_TOKENS,
    **options: Any,
) -> Scorer | SpliceScorer:
    """The scorer that fits a model; see `score` for the options."""
    if not isinstance(model, SplicePredictor):
        return Scorer(model, reference, Options(**options), background=background, batch_tokens=batch_tokens)
    from ntviz import annotation
    from ntviz.variants.splice import SpliceScorer

    genes = options.pop("annotation", None)
    if genes is None:
        raise ValueError(
            "A splice network must be told the genes; received no annotation=. Pass a GTF or GFF3, or "
            "annotation.read(data.bundle('genes'))."
        )
    if not isinstance(genes, annotation.Annotation):
        options.setdefault("annotation_name", Path(genes).name)
        genes = annotation.read(genes)
    return SpliceScorer(model, reference, genes, **options)


# What became of it ----------------------------------------------------------------------------------------------------


@dataclass
class Summary:
    """What became of a file, for the person who asked: `text` says it in words, `warnings` what is to be known of it."""

    path: Path
    out: Path
    shard: tuple[int, int]
    survey: Survey
    assembly: str | None  # of the reference, where it is known
    # Alleles of each status; lines without an alternative count as one "missing", malformed lines as one "malformed".
    statuses: Counter[str] = field(default_factory=Counter)
    scored: int = 0  # alleles with a score
    checked: int = 0  # records whose REF could be compared with the reference
    agree: int = 0  # those where they are equal
    long: int = 0  # insertions and deletions above 50 bp that have a score
    written: list[Path] = field(default_factory=list)  # none of a shard
    reason: str = ""  # why there is no index
    elsewhere: int = 0  # pieces of other shards that are there
    missing: int = 0  # and that are not
    sequences: int = 0  # that the model read in this run
    seconds: float = 0.0

    @property
    def considered(self) -> int:
        """Alleles, and lines that hold none."""
        return sum(self.statuses.values())

    @property
    def agreement(self) -> float:
        """Share of REF that are the reference's; nan where none could be compared."""
        return self.agree / self.checked if self.checked else float("nan")

    def count(self, one: Piece, scored: Scored) -> None:
        """Adds a piece."""
        self.statuses.update(_statuses(one, scored, self.survey))
        at = 0
        for record in one.records:
            if record.problem or not record.alts:
                self.statuses["malformed" if record.problem else "missing"] += 1
            elif (agrees := scored.ref_agrees[at]) is not None:
                self.checked += 1
                self.agree += agrees
            at += len(record.alts)
        self.scored += int(np.isfinite(scored.values).any(axis=1).sum())
        self.long += sum(f"above {LONG_INDEL} bp" in note for note in scored.notes)

    @property
    def text(self) -> str:
        """All of it in words, a line each."""
        part = "" if self.shard == (1, 1) else f"shard {self.shard[0]} of {self.shard[1]}: "
        width = max(map(len, self.statuses), default=0)
        lines = [
            f"{part}{self.considered:,} alleles considered, {self.scored:,} scored, from {self.survey.records:,} records "
            f"({self.sequences:,} sequences read, {self.seconds:.1f} s)",
            *(f"  {n:>9,}  {name:<{width}}  {STATUSES[name]}" for name, n in self.statuses.most_common()),
            *self.warnings,
        ]
        if part and self.missing:
            lines.append(f"{self.missing:,} pieces of other shards are missing still.")
        elif part:
            lines.append(
                f"All pieces are there: run the same command without --shard to write {self.out.name}."
            )
        return "\n".join(lines)

    @property
    def doubts(self) -> list[str]:
        """What speaks for another assembly than the reference's."""
        said = []
        if self.checked and self.agreement < AGREEMENT:
            here = f" ({self.assembly})" if self.assembly else ""
            other = f" ({_OTHER[self.assembly]})" if self.assembly in _OTHER else ""
            said.append(
                f"{100 * self.agreement:.0f} % of REF agree with the reference{here}, {self.agree:,} of {self.checked:,}: is "
                f"this another assembly{other}?"
            )
        for other, (count, first) in self.survey.assemblies.items():
            if self.assembly not in (None, other):
                said.append(
                    f"{_count(count, 'record')} of {other} by ID or contig, such as {first}, and the reference is "
                    f"{self.assembly}: take a reference of {other}, or convert the positions."
                )
        return said

    @property
    def warnings(self) -> list[str]:
        """What is to be known of the file and its scores, such as lines that cannot be read."""
        said = self.doubts
        if lines := self.survey.malformed_lines:
            shown = "; ".join(f"line {line:,}: {why}" for line, why in self.survey.malformed)
            more = lines - len(self.survey.malformed)
            also = f"; and {more:,} more" if more else ""
            said.append(f"{_count(lines, 'line')} that cannot be read, passed on unchanged: {shown}{also}")
        if self.long:
            count = _count(self.long, "insertion or deletion", "insertions or deletions")
            said.append(f"{count} above {LONG_INDEL} bp: read their scores with caution.")
        if self.survey.blank_lines:
            said.append(f"{_count(self.survey.blank_lines, 'blank line')} left out.")
        if self.survey.crlf:
            said.append("Lines ended in CR LF; they end in LF now.")
        if self.reason:
            said.append(f"{self.out.name} has no index: {self.reason}.")
        return said


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _statuses(one: Piece, scored: Scored, surveyed: Survey) -> list[str]:
    """The statuses of a piece's alleles, as the whole file has them."""
    places = [
        (row, alternative)
        for row, record in enumerate(one.records, one.first)
        for alternative in range(len(record.alts))
    ]
    return [
        "duplicate" if status == "ok" and place in surveyed.duplicates else status
        for status, place in zip(scored.statuses, places, strict=True)
    ]


def _rows(one: Piece, scored: Scored, surveyed: Survey) -> pd.DataFrame:
    """One row an allele of a piece: where it stands, what became of it, and its scores."""
    import pandas as pd

    places = [
        (record.chrom, record.pos, record.id, record.ref, alt, row, record.line, alternative)
        for row, record in enumerate(one.records, one.first)
        for alternative, alt in enumerate(record.alts)
    ]
    # Bytes that are no UTF-8 become question marks here; the VCF keeps them.
    places = [
        [cell.encode("utf-8", "replace").decode() if isinstance(cell, str) else cell for cell in row]
        for row in places
    ]
    columns = ["chrom", "pos", "id", "ref", "alt", "record", "line", "alternative"]
    words = {
        "status": _statuses(one, scored, surveyed),
        "kind": scored.kinds,
        "method": scored.methods,
        "note": scored.notes,
    }
    tables = [
        pd.DataFrame(places, columns=columns),
        pd.DataFrame(words),
        pd.DataFrame(scored.values, columns=list(scored.columns)),
    ]
    return pd.concat(tables, axis=1)


def _filled(
    table: Table, scorer: Scorer | SpliceScorer, surveyed: Survey, made: Iterable[tuple[Piece, Scored]]
) -> pd.DataFrame:
    """The rows of a table with statuses and scores, from its pieces."""
    import pandas as pd

    words = pd.DataFrame("", index=range(table.records), columns=["status", "kind", "method", "note"])
    values = np.full((table.records, len(scorer.columns)), np.nan)
    for one, scored in made:
        rows = _rows(one, scored, surveyed)
        words.iloc[rows["record"]] = rows[words.columns].to_numpy()
        values[rows["record"]] = scored.values
        for number, record in enumerate(one.records, one.first):
            if record.problem:
                words.loc[number, ["status", "note"]] = "malformed", record.problem
    return table.scored(words, pd.DataFrame(values, columns=list(scorer.columns)))


# A file ---------------------------------------------------------------------------------------------------------------


def score_file(
    path: str | Path,
    out: str | Path,
    scorer: Scorer | SpliceScorer,
    *,
    shard: tuple[int, int] = (1, 1),
    cache: str | Path | None = None,
    table: str | Path | None = None,
    with_table: bool = True,
    piece: int = PIECE,
    overwrite: bool = False,
    what: str | None = "variants",
    command: str = "",
) -> Summary:
    """Scores a VCF: the same records in the same order with scores in their INFO, an index, and a parquet of alleles.

    Of a table (.tsv, .csv, .parquet) the same rows come out, in the same order, with the columns of `variants.score`.

    Every `piece` records are scored and kept as soon as they are done. A run that was killed goes on where it stopped,
    and its bytes are those of a run that was not. Memory does not grow with a VCF; a table is held whole.

    Parameters
    ----------
    path
        A VCF: plain, gzip or bgzip; or a table.
    out
        Where to; bgzip and an index if the name ends in .gz, plain text otherwise. Tables become tables, of any of the three kinds.
    scorer
        What is scored, and how.
    shard
        (i, n) from 1: only every n-th piece is scored, and nothing is written but pieces. When all shards are done, the
        run without a shard writes `out`. With 1 of 1 everything is done at once.
    cache
        Folder of pieces, kept; None uses `out` + ".parts" and removes it in the end. Pieces are found by what they
        follow from (weights, tokens, bases, options), never by names.
    table
        Where the parquet of alleles goes; None puts that of a VCF beside `out`, and makes none of a table.
    with_table
        Whether there is one.
    piece
        Records of a piece.
    overwrite
        Whether `out` may be there already. That of a run which did not end may always.
    what
        Name of the progress bar; None for none.
    command
        Put into the header.

    Raises
    ------
    ValueError, FileNotFoundError, FileExistsError
        What is read or written cannot be (`vcf.VcfError`), or a REF is not the reference's and `on_mismatch` is "fail"
        (`Mismatch`); nothing is written.
    """
    begun = time.monotonic()
    path, out = Path(path), Path(out)
    check_output(path, out, table, overwrite=overwrite)
    storage.share(0, shard)
    surveyed = survey(path)
    summary = Summary(path, out, shard, surveyed, scorer.reference.assembly)
    target = Output(out, None if cache is None else Path(cache))
    target.begin(overwrite=overwrite)
    kept = target.pieces()
    total = -(-surveyed.records // piece)
    mine = storage.share(total, shard)
    records = sum(min(piece, surveyed.records - number * piece) for number in mine)
    progress = nullcontext() if what is None else environment.progress(total=records, what=what)
    with opened(path) as file, progress as bar:
        for one in pieces(file, piece):
            if one.number in mine:
                try:
                    summary.count(one, _scored(kept, scorer, one))
                except Mismatch:
                    # Asked to fail: nothing is to be there then.
                    shutil.rmtree(target.work, ignore_errors=True)
                    raise
                if bar is not None:
                    bar.update(len(one.records))
            elif kept.file(_name(scorer, one)).exists():
                summary.elsewhere += 1
    summary.sequences = scorer.sequences
    if shard == (1, 1):
        stem = out.name.removesuffix(".gz").removesuffix(".vcf")
        beside = None if path.suffix in TABLES else out.with_name(f"{stem}.parquet")
        parquet = (Path(table) if table is not None else beside) if with_table else None
        with opened(path) as file, _parquet(parquet, scorer.columns) as add:

            def made() -> Iterator[tuple[Piece, Scored]]:
                """The pieces as they were kept, whose alleles go into the parquet on the way."""
                for one in pieces(file, piece):
                    scored = _scored(kept, scorer, one)
                    if parquet is not None:
                        add(_rows(one, scored, surveyed))
                    yield one, scored

            if isinstance(file, Table):
                summary.written = [storage.write_table(_filled(file, scorer, surveyed, made()), out)]
            else:
                header = file.header.with_info(
                    scorer.info_lines(),
                    _meta_lines(scorer, command),
                    {name: _length(scorer.reference, name) for name in surveyed.contigs},
                )
                written = vcf.write(out, header, _annotated(made(), scorer, surveyed))
                summary.written = [out, *([written.index] if written.index else [])]
                summary.reason = written.reason
        summary.written += [parquet] if parquet else []
        target.end()
    else:
        summary.missing = total - len(mine) - summary.elsewhere
    summary.seconds = time.monotonic() - begun
    return summary


def check_output(path: Path, out: Path, table: str | Path | None = None, *, overwrite: bool = False) -> None:
    """Refuses an output that is the input, of another kind, or there already from a run that ended."""
    if (path.suffix in TABLES) != (out.suffix in TABLES):
        kind, ends = ("A table", TABLES) if path.suffix in TABLES else ("A VCF", (".vcf", ".vcf.gz"))
        raise ValueError(
            f"{kind} of variants must go to {' or '.join(ends)}; received {out.name} for {path.name}. Choose another name."
        )
    if table is not None and Path(table).absolute() in (out.absolute(), path.absolute()):
        raise ValueError(
            f"The parquet of alleles must be a file of its own; received {table} twice. Choose another name."
        )
    if out.exists() and path.exists() and out.samefile(path):
        raise ValueError(
            f"The output must be another file than the input; received {out} for both. Choose another name."
        )
    Output(out).check(overwrite=overwrite)


def _name(scorer: Scorer | SpliceScorer, one: Piece) -> str:
    """Of a piece: what its numbers follow from; raised in front when the way of keeping them changes."""
    return f"2-{scorer.identity(one.alleles)}"


def _scored(kept: Pieces, scorer: Scorer | SpliceScorer, one: Piece) -> Scored:
    """The piece as it was kept, or scored now and kept."""
    name = _name(scorer, one)
    if found := kept.read(name, ["values"]):
        texts, arrays = found
        return Scored(**texts | {"columns": tuple(texts["columns"])} | arrays)
    scored = scorer.score(one.alleles)
    kept.write(name, {**vars(scored), "values": None}, {"values": scored.values})
    return scored


def _annotated(
    made: Iterable[tuple[Piece, Scored]], scorer: Scorer | SpliceScorer, surveyed: Survey
) -> Iterator[str]:
    """The lines of a VCF with scores in their INFO."""
    for one, scored in made:
        statuses, at = _statuses(one, scored, surveyed), 0
        for record in one.records:
            where = slice(at, at + len(record.alts))
            at = where.stop
            yield (
                record.raw
                if record.problem
                else record.annotated(scorer.info(scored, where, statuses[where]))
            )


def _meta_lines(scorer: Scorer | SpliceScorer, command: str) -> list[str]:
    """The `##ntviz_` lines: what the scores were made with. No dates and no folders, so that bytes can be compared."""
    about, reference = dict(scorer.about), scorer.reference
    model, revision, weights = (about.pop(name) or "" for name in ("model", "revision", "weights_sha256"))
    assembly, digest = reference.assembly or "unknown", storage.sha256(reference.path)
    lines = [
        f"##ntviz_version={environment.versions()['ntviz']}",
        f'##ntviz_model=<Name="{model}",Revision="{revision}",WeightsSHA256="{weights}",Tokens={about["vocabulary"]}>',
        f'##ntviz_reference=<File="{reference.path.name}",Assembly={assembly},SHA256={digest}>',
        f"##ntviz_window={about['window_bp']} bp around the variant",
        f"##ntviz_options={json.dumps(about, sort_keys=True)}",
        f"##ntviz_coordinates=POS counts from 1; scores are of the alternative against the reference, {scorer.unit}",
    ]
    return [*lines, f"##ntviz_command={command}"] if command else lines


def _length(reference: Reference, name: str) -> int | None:
    with suppress(ValueError, TypeError):
        return len(reference.whole(name))
    return None


@contextmanager
def _parquet(path: Path | None, columns: tuple[str, ...]) -> Generator[Callable[[pd.DataFrame], None]]:
    """What takes `_rows` for the table of alleles; the file appears when all are there."""
    if path is None:
        yield lambda rows: None
        return
    import pandas as pd
    import pyarrow as pa
    from pyarrow import parquet

    text, whole = pa.string(), pa.int64()
    schema = pa.schema({
        "chrom": text, "pos": whole, "id": text, "ref": text, "alt": text, "record": whole, "line": whole,
        "alternative": whole, "status": text, "kind": text, "method": text, "note": text,
        **dict.fromkeys(columns, pa.float64()),
    })  # fmt: skip
    held: list[pd.DataFrame] = []
    with storage.atomic_write(path) as handle, parquet.ParquetWriter(handle, schema) as writer:

        def flush() -> None:
            rows = pd.concat(held) if held else pd.DataFrame(columns=schema.names)
            writer.write_table(pa.Table.from_pandas(rows, schema, preserve_index=False))
            held.clear()

        def add(rows: pd.DataFrame) -> None:
            held.append(rows)
            if sum(map(len, held)) >= _ROWS:
                flush()

        yield add
        flush()
