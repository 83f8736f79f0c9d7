"""Variants scored: `score` for a notebook, `score_file` for a whole VCF or table, in pieces that are kept."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from importlib import metadata
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
from ntviz.variants.calibration import FEWEST, NONE, THREE
from ntviz.variants.options import Options
from ntviz.variants.plan import LONG_INDEL, Mismatch
from ntviz.variants.scorer import Scored, Scorer
from ntviz.variants.survey import Piece, Survey, Table, opened, pieces, survey

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.variants.splice import SpliceScorer

    AnyScorer = Scorer | SpliceScorer

PIECE = 500
"""Records that are scored, and kept, at once."""
AGREEMENT = 0.95
"""Share of REF below which another assembly is suspected."""
_CHUNK = 2_000  # rows of a notebook's table at once
_MANY = 20  # REF compared; of fewer, each row says it
_ROWS = 25_000  # of the parquet, held before they are written
_WAYS = {
    THREE: f"fewer than {FEWEST} sampled sites have their five bases, or an end or N is near",
    NONE: f"fewer than {FEWEST} sampled sites have even their three bases, or an end or N is next to them",
}
_UNSORTED = "the records are not sorted by position, or those of a contig not side by side"
_FAR = "htslib cannot index it: a line is no record, or a POS or END beyond what an index reaches"
_OTHER = {"GRCh37": "GRCh38", "GRCh38": "GRCh37"}


def score(
    model: DNAModel, reference: Reference, what: Variant | str | Path | Iterable[Variant | str] | pd.DataFrame, *,
    background: Any = None, calibration: Any = None, head: Any = None, progress: str | None = "variants", **options: Any,
) -> pd.DataFrame:  # fmt: skip
    """One row an allele, in the order given: chrom, pos (1-based), id, ref, alt, status, kind, method, note, and scores.

    Parameters
    ----------
    model
        Any `models.DNAModel` with a mask, or a splice network.
    what
        A variant or several, as `Variant` or text ("chr20:43042364 C>T"); a DataFrame with the columns chrom, pos
        (1-based), ref, alt and perhaps id, whose other columns are kept; or the path of a .tsv, .csv or .parquet
        with these. A VCF keeps its form in `variants.score_file`.
    background, calibration, head
        From `variants.background`, adds percentiles; from `variants.calibration`, adds llr_calibrated, base_llr_calibrated and theirs;
        from `variants.learn` or `variants.Head.load`, adds `head`, its prediction.
    options
        Of `Options`: scores, frames, place, window, layer, region, both_strands, on_mismatch. Of `SpliceScorer` for a splice network:
        annotation (an `Annotation`, or the path of one), distance, mask, on_mismatch.

    A ValueError or TypeError is of the table, an option, or a single variant given as text; what is wrong with one row of many is
    its status. A UserWarning says that REF, or names of variants or contigs, speak for another assembly than the reference's.

    Examples
    --------
    The llr of a deletion of 1 bp by hand: in windows of 15 tokens, ceil(1/6) + 1 = 2 of them, each masked by itself.

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
    >>> text, row["method"], bool(abs(row["llr"] - by_hand) < 1e-4), round(float(by_hand), 2)
    ('chr20:43042360:AG>A', 'pll', True, -0.77)
    """
    scorer = scorer_of(model, reference, background=background, calibration=calibration, head=head, **options)
    table = Table.of(what)
    summary = Summary(Path(), (1, 1), survey(table), reference.assembly)
    scored = ((one, scorer.score(one.alleles, what=progress)) for one in pieces(table, _CHUNK))
    made = [(one, summary.count(one, result)) for one, result in scored]
    for doubt in summary.doubts if summary.checked >= _MANY or summary.survey.assemblies else []:
        environment.tell(doubt)
        warnings.warn(doubt, stacklevel=2)
    result = _filled(table, scorer, made)
    result.attrs.update(scoring=scorer.about, sequences=scorer.sequences)
    return result


def scorer_of(
    model: Any, reference: Reference, *, background: Any = None, calibration: Any = None, head: Any = None,
    batch_tokens: int = BATCH_TOKENS, **options: Any,
) -> AnyScorer:  # fmt: skip
    """The scorer that fits a model; see `score` for the options."""
    if not isinstance(model, SplicePredictor):
        beside = {"background": background, "calibration": calibration, "head": head}
        return Scorer(model, reference, Options(**options), **beside, batch_tokens=batch_tokens)
    from ntviz import annotation
    from ntviz.variants.splice import SpliceScorer

    if calibration is not None:
        raise ValueError(
            "A calibration is of a language model's scores; received one with a splice network. Leave it out."
        )
    genes = options.pop("annotation", None)
    if genes is None:
        advice = "Pass a GTF or GFF3, or annotation.read(data.bundle('genes'))."
        raise ValueError(f"A splice network must be told the genes; received no annotation=. {advice}")
    if not isinstance(genes, annotation.Annotation):
        options.setdefault("annotation_name", Path(genes).name)
        genes = annotation.read(genes)
    return SpliceScorer(model, reference, genes, **options)


@dataclass
class Summary:
    """What became of a file: `text` says it in words, `warnings` what is to be known of it."""

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
    calibrated: Counter[str] = field(default_factory=Counter)  # substitutions of each way that is not by five bases
    written: list[Path] = field(default_factory=list)  # none of a shard
    reason: str = ""  # why there is no index
    missing: int = 0  # pieces of other shards that are not there yet
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

    def count(self, one: Piece, scored: Scored) -> Scored:
        """Adds a piece, and gives it back with the duplicates of the whole file among its statuses."""
        places, duplicates = one.places, self.survey.duplicates
        statuses = [
            "duplicate" if status == "ok" and place in duplicates else status
            for status, place in zip(scored.statuses, places, strict=True)
        ]
        self.statuses.update(statuses)
        for record in one.records:
            if record.problem or not record.alts:
                self.statuses["malformed" if record.problem else "missing"] += 1
        first = (agree for agree, (_, number) in zip(scored.ref_agrees, places, strict=True) if number == 0)
        agrees = [agree for agree in first if agree is not None]
        self.checked, self.agree = self.checked + len(agrees), self.agree + sum(agrees)
        self.scored += int(np.isfinite(scored.values).any(axis=1).sum())
        self.long += sum(f"above {LONG_INDEL} bp" in note for note in scored.notes)
        self.calibrated.update(way for note in scored.notes for way in (THREE, NONE) if f"{way}:" in note)
        return replace(scored, statuses=statuses)

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
            lines.append(f"All pieces are there: run the same command without --shard to write {self.out.name}.")
        return "\n".join(lines)

    @property
    def doubts(self) -> list[str]:
        """What speaks for another assembly than the reference's."""
        doubts = []
        if self.checked and self.agreement < AGREEMENT:
            here = f" ({self.assembly})" if self.assembly else ""
            other = f" ({_OTHER[self.assembly]})" if self.assembly in _OTHER else ""
            doubts.append(
                f"{100 * self.agreement:.0f} % of REF agree with the reference{here}, {self.agree:,} of {self.checked:,}: is "
                f"this another assembly{other}?"
            )
        return doubts + [
            f"{_count(count, 'record')} of {other} by ID or contig, such as {first}, and the reference is "
            f"{self.assembly}: take a reference of {other}, or convert the positions."
            for other, (count, first) in self.survey.assemblies.items()
            if self.assembly not in (None, other)
        ]

    @property
    def warnings(self) -> list[str]:
        """What is to be known of the file and its scores, such as lines that cannot be read."""
        notes, surveyed = self.doubts, self.survey
        if lines := surveyed.malformed_lines:
            shown = "; ".join(f"line {line:,}: {why}" for line, why in surveyed.malformed)
            more = f"; and {more:,} more" if (more := lines - len(surveyed.malformed)) else ""
            notes.append(f"{_count(lines, 'line')} that cannot be read, passed on unchanged: {shown}{more}")
        if self.long:
            notes.append(
                f"{self.long:,} insertions or deletions above {LONG_INDEL} bp: read their scores with caution."
            )
        for way, count in self.calibrated.items():
            notes.append(f"{_count(count, 'substitution')} {way}: {_WAYS[way]}.")
        if surveyed.blank_lines:
            notes.append(f"{_count(surveyed.blank_lines, 'blank line')} left out.")
        if surveyed.crlf:
            notes.append("Lines ended in CR LF; they end in LF now.")
        if self.reason:
            notes.append(f"{self.out.name} has no index: {self.reason}.")
        return notes


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _filled(table: Table, scorer: AnyScorer, made: Iterable[tuple[Piece, Scored]]) -> pd.DataFrame:
    """The rows of a table with statuses and scores, from its pieces."""
    import pandas as pd

    words = np.full((table.records, 4), "", object)
    values = np.full((table.records, len(scorer.columns)), np.nan)
    for one, scored in made:
        rows = [row for row, _ in one.places]
        texts = scored.statuses, scored.kinds, scored.methods, scored.notes
        words[rows], values[rows] = np.array(texts, object).T, scored.values
        for row, record in enumerate(one.records, one.first):
            if record.problem:
                words[row] = "malformed", "", "", record.problem
    return table.scored(
        pd.DataFrame(words, columns=["status", "kind", "method", "note"], dtype=str),
        pd.DataFrame(values, columns=list(scorer.columns)),
    )


def score_file(
    path: str | Path, out: str | Path, scorer: AnyScorer, *, shard: tuple[int, int] = (1, 1), cache: str | Path | None = None,
    table: str | Path | None = None, with_table: bool = True, piece: int = PIECE, overwrite: bool = False,
    what: str | None = "variants", command: str = "",
) -> Summary:  # fmt: skip
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
    shard
        (i, n) from 1: only every n-th piece is scored, and nothing is written but pieces. When all shards are done, the
        run without a shard writes `out`.
    cache
        Folder of pieces, kept; None uses `out` + ".parts" and removes it in the end. Pieces are found by what they
        follow from (weights, tokens, bases, options), never by names.
    table, with_table
        Where the parquet of alleles goes, and whether there is one; None puts that of a VCF beside `out`, and makes none of a table.
    overwrite
        Whether `out` may be there already. That of a run which did not end may always.
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
    summary = Summary(out, shard, surveyed, scorer.reference.assembly)
    target = Output(out, None if cache is None else Path(cache))
    target.begin(overwrite=overwrite)
    kept, mine = target.pieces(), storage.share(-(-surveyed.records // piece), shard)
    records = sum(min(piece, surveyed.records - number * piece) for number in mine)
    progress = nullcontext() if what is None else environment.progress(total=records, what=what)
    stem = out.name.removesuffix(".gz").removesuffix(".vcf")
    beside = None if path.suffix in TABLES else out.with_name(f"{stem}.parquet")
    parquet = (Path(table) if table is not None else beside) if with_table and shard == (1, 1) else None
    alleles = nullcontext(None) if parquet is None else _parquet(parquet, scorer.columns)
    try:
        with opened(path) as file, alleles as add, progress as bar:

            def made() -> Iterator[tuple[Piece, Scored]]:
                """The pieces of this shard, scored; what is missing of others is counted."""
                for one in pieces(file, piece):
                    if one.number not in mine:
                        summary.missing += not kept.file(_name(scorer, one)).exists()
                        continue
                    scored = summary.count(one, _scored(kept, scorer, one))
                    if add is not None:
                        add(one, scored)
                    if bar is not None:
                        bar.update(len(one.records))
                    yield one, scored

            if shard != (1, 1):
                for _ in made():
                    pass
            elif isinstance(file, Table):
                summary.written = [storage.write_table(_filled(file, scorer, made()), out)]
            else:
                contigs = {name: _length(scorer.reference, name) for name in surveyed.contigs}
                header = file.header.with_info(scorer.info_lines(), _meta_lines(scorer, command), contigs)
                index = vcf.write(out, header, _annotated(made(), scorer))
                summary.written = [out] if index is None else [out, index]
                if index is None:
                    why = _FAR if surveyed.is_sorted else _UNSORTED
                    summary.reason = why if out.suffix == ".gz" else "plain text has no index"
    except Mismatch:
        # Asked to fail: nothing is to be there then.
        shutil.rmtree(target.work, ignore_errors=True)
        raise
    if shard == (1, 1):
        summary.written += [parquet] if parquet else []
        target.end()
    summary.sequences, summary.seconds = scorer.sequences, time.monotonic() - begun
    return summary


def check_output(path: Path, out: Path, table: str | Path | None = None, *, overwrite: bool = False) -> None:
    """Refuses an output that is the input, of another kind, or there already from a run that ended."""
    if (path.suffix in TABLES) != (out.suffix in TABLES):
        kind, ends = ("A table", TABLES) if path.suffix in TABLES else ("A VCF", (".vcf", ".vcf.gz"))
        must, came = f"{kind} of variants must go to {' or '.join(ends)}", f"{out.name} for {path.name}"
    elif table is not None and Path(table).absolute() in (out.absolute(), path.absolute()):
        must, came = "The parquet of alleles must be a file of its own", f"{table} twice"
    elif out.exists() and path.exists() and out.samefile(path):
        must, came = "The output must be another file than the input", f"{out} for both"
    else:
        Output(out).check(overwrite=overwrite)
        return
    raise ValueError(f"{must}; received {came}. Choose another name.")


def _name(scorer: AnyScorer, one: Piece) -> str:
    """Of a piece: what its numbers follow from; raised in front when the way of keeping them changes."""
    return f"2-{scorer.identity(one.alleles)}"


def _scored(kept: Pieces, scorer: AnyScorer, one: Piece) -> Scored:
    """The piece as it was kept, or scored now and kept."""
    name = _name(scorer, one)
    if known := kept.read(name, ["values"]):
        return Scored(**known[0] | {"columns": tuple(known[0]["columns"])} | known[1])
    scored = scorer.score(one.alleles)
    kept.write(name, {**vars(scored), "values": None}, {"values": scored.values})
    return scored


def _annotated(made: Iterable[tuple[Piece, Scored]], scorer: AnyScorer) -> Iterator[str]:
    """The lines of a VCF with scores in their INFO."""
    for one, scored in made:
        at = 0
        for record in one.records:
            where = slice(at, at + len(record.alts))
            at = where.stop
            yield record.annotated({} if record.problem else scorer.info(scored, where))


def _meta_lines(scorer: AnyScorer, command: str) -> list[str]:
    """The `##ntviz_` lines: what the scores were made with. No dates and no folders, so that bytes can be compared."""
    about, reference = dict(scorer.about), scorer.reference
    model, revision, weights = (about.pop(name) or "" for name in ("model", "revision", "weights_sha256"))
    assembly, digest = reference.assembly or "unknown", storage.sha256(reference.path)
    lines = [
        f"##ntviz_version={metadata.version('ntviz')}",
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
def _parquet(path: Path, columns: tuple[str, ...]) -> Generator[Callable[[Piece, Scored], None]]:
    """What takes pieces for the table of alleles, one row each; the file appears when all are there."""
    import pyarrow as pa
    from pyarrow import parquet

    text, whole = pa.string(), pa.int64()
    schema = pa.schema({
        "chrom": text, "pos": whole, "id": text, "ref": text, "alt": text, "record": whole, "line": whole,
        "alternative": whole, "status": text, "kind": text, "method": text, "note": text,
        **dict.fromkeys(columns, pa.float64()),
    })  # fmt: skip
    held: list[pa.Table] = []
    with storage.atomic_write(path) as handle, parquet.ParquetWriter(handle, schema) as writer:

        def add(one: Piece, scored: Scored) -> None:
            rows = [
                (record.chrom, record.pos, record.id, record.ref, alt, row, record.line, number)
                for row, record in enumerate(one.records, one.first)
                for number, alt in enumerate(record.alts)
            ]
            cells: list[Any] = [*zip(*rows, strict=True)] or [()] * 8
            cells += [scored.statuses, scored.kinds, scored.methods, scored.notes, *scored.values.T]
            # Bytes that are no UTF-8 become question marks here; the VCF keeps them.
            arrays = [
                pa.array([c.encode("utf-8", "replace").decode() for c in cell] if kind == text else cell, kind, from_pandas=True)
                for cell, kind in zip(cells, schema.types, strict=True)
            ]  # fmt: skip
            held.append(pa.Table.from_arrays(arrays, schema=schema))
            if sum(map(len, held)) >= _ROWS:
                writer.write_table(pa.concat_tables(held))
                held.clear()

        yield add
        writer.write_table(pa.concat_tables([schema.empty_table(), *held]))
