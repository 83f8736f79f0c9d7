"""A whole VCF or table scored: read in pieces that are kept, and written back with keys or columns added."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import environment
from ntviz.variants import keys, vcf
from ntviz.variants.parts import Parts
from ntviz.variants.planning import LONG_INDEL, Mismatch
from ntviz.variants.rows import TABLES, Table
from ntviz.variants.scoring import Scored, Scorer
from ntviz.variants.summary import Summary
from ntviz.variants.surveying import Piece, Survey, opened, pieces, survey

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from ntviz.variants.splicing import SpliceScorer

PIECE = 500
"""Records that are scored, and kept, at once."""
_ROWS = 25_000  # of the table, held before they are written


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
    FileNotFoundError
        There is no such file.
    vcf.VcfError
        It cannot be read as VCF, or none of its lines can.
    FileExistsError
        `out` is there, from a run that ended.
    ValueError
        `out` is `path` or `table`, or of another kind than `path`; the shard is none; or a table lacks a column.
    planning.Mismatch
        A REF is not the reference's, and `on_mismatch` is "fail"; nothing is written.
    """
    begun = time.monotonic()
    path, out = Path(path), Path(out)
    check_output(path, out, table, overwrite=overwrite)
    first, of = shard
    if not 1 <= first <= of:
        raise ValueError(
            f"A shard must be i/n with i from 1 to n; received {first}/{of}. Write 1/4 to 4/4 for four jobs."
        )
    work = _work(out)
    if shard == (1, 1):
        # Shards write nothing beside the output, and whose process is gone is only known on its own host.
        _clear(out)
    surveyed = survey(path)
    summary = Summary(path, out, shard, surveyed, scorer.reference.assembly)
    work.mkdir(parents=True, exist_ok=True)
    parts = Parts(Path(cache) if cache is not None else work)
    total = -(-surveyed.records // piece)
    mine = range(first - 1, total, of)
    with (
        opened(path) as file,
        _bar(sum(min(piece, surveyed.records - number * piece) for number in mine), what) as bar,
    ):
        for one in pieces(file, piece):
            if one.number in mine:
                try:
                    count(summary, one, _scored(parts, scorer, one))
                except Mismatch:
                    # Asked to fail: nothing is to be there then.
                    shutil.rmtree(work, ignore_errors=True)
                    raise
                bar.update(len(one.records))
            elif parts.has(scorer.identity(one.alleles)):
                summary.elsewhere += 1
    summary.sequences = scorer.sequences
    if shard == (1, 1):
        beside = None if path.suffix in TABLES else out.with_name(_stem(out) + ".parquet")
        parquet = (Path(table) if table is not None else beside) if with_table else None
        with opened(path) as file, _Rows(parquet, scorer.columns) as rows:
            made = _again(file, parts, scorer, surveyed, piece, rows)
            if isinstance(file, Table):
                _write_table(out, filled(file, scorer, surveyed, made))
                summary.written = [out]
            else:
                written = _write(file, out, made, scorer, surveyed, command)
                summary.written = [out, *([written.index] if written.index else [])]
                summary.reason = written.reason
        summary.written += [parquet] if parquet else []
        shutil.rmtree(work, ignore_errors=True)
    else:
        summary.missing = total - len(mine) - summary.elsewhere
    summary.seconds = time.monotonic() - begun
    return summary


def check_output(path: Path, out: Path, table: str | Path | None = None, *, overwrite: bool = False) -> None:
    """Refuses an output that is the input, of another kind, or there already from a run that ended.

    Raises
    ------
    FileExistsError
        It is there, and may not be replaced.
    ValueError
        It is the input, or the parquet of alleles, or a table from a VCF or the other way round.
    """
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
    if out.exists() and not overwrite and not _work(out).exists():
        raise FileExistsError(
            f"The output must not be there yet; {out} is. Choose another name, or overwrite it (--overwrite, overwrite=True)."
        )


def _work(out: Path) -> Path:
    """The folder that is there as long as a run has not ended, and holds its pieces unless they are kept elsewhere."""
    return out.with_name(f"{out.name}.parts")


def _clear(out: Path) -> None:
    """Removes what killed processes left beside the output."""
    for left in out.parent.glob(f".{_stem(out)}*.part*") if out.parent.is_dir() else ():
        owner = (
            left.name.removesuffix(".tbi")
            .removesuffix(".gz")
            .removesuffix(".part")
            .rpartition(".")[2]
            .partition("-")[0]
        )
        if owner.isdigit() and not _alive(int(owner)):
            left.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _stem(out: Path) -> str:
    return out.name.removesuffix(".gz").removesuffix(".vcf")


def _bar(total: int, what: str | None) -> Any:
    return environment.progress(total=total, what=what) if what is not None else _Silent()


class _Silent:
    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def update(self, count: int) -> None:
        pass


def _scored(parts: Parts, scorer: Scorer | SpliceScorer, one: Piece) -> Scored:
    """The piece as it was kept, or scored now and kept."""
    identity = scorer.identity(one.alleles)
    found = parts.read(identity)
    if found is None or found.columns != scorer.columns or len(found.statuses) != len(one.alleles):
        found = scorer.score(one.alleles)
        parts.write(identity, found)
    return found


def _statuses(one: Piece, scored: Scored, surveyed: Survey) -> Iterator[tuple[int, int, slice, list[str]]]:
    """(record, place in the piece, its alleles, their statuses) of the records that can be read."""
    begin = 0
    for place, record in enumerate(one.records):
        if record.problem:
            continue
        number = one.first + place
        rows = slice(begin, begin + len(record.alts))
        begin = rows.stop
        statuses = [
            "duplicate" if status == "ok" and (number, alternative) in surveyed.duplicates else status
            for alternative, status in enumerate(scored.statuses[rows])
        ]
        yield number, place, rows, statuses


def count(summary: Summary, one: Piece, scored: Scored) -> None:
    """Adds a piece to what is said at the end."""
    counts: Counter[str] = summary.statuses
    for _, place, rows, statuses in _statuses(one, scored, summary.survey):
        counts.update(statuses or ["missing"])
        if rows.start < rows.stop and scored.ref_agrees[rows.start] is not None:
            summary.checked += 1
            summary.agree += bool(scored.ref_agrees[rows.start])
        elif not one.records[place].alts:
            continue
    summary.scored += int(np.isfinite(scored.values).any(axis=1).sum()) if scored.values.size else 0
    summary.long += sum(f"above {LONG_INDEL} bp" in note for note in scored.notes)
    counts.update({"malformed": n} if (n := sum(bool(record.problem) for record in one.records)) else {})


def filled(
    table: Table, scorer: Scorer | SpliceScorer, surveyed: Survey, made: Iterable[tuple[Piece, Scored]]
) -> pd.DataFrame:
    """The rows of a table with statuses and scores, from its pieces."""
    words = {name: [""] * table.records for name in ("status", "kind", "method", "note")}
    values = np.full((table.records, len(scorer.columns)), np.nan)
    for one, scored in made:
        for place, record in enumerate(one.records):
            if record.problem:
                words["status"][one.first + place], words["note"][one.first + place] = (
                    "malformed",
                    record.problem,
                )
        for number, _, rows, (status,) in _statuses(one, scored, surveyed):
            at = rows.start
            found = status, scored.kinds[at], scored.methods[at], scored.notes[at]
            for name, word in zip(words, found, strict=True):
                words[name][number] = word
            values[number] = scored.values[at]
    return table.scored(words, values, scorer.columns)


def _write_table(out: Path, found: pd.DataFrame) -> None:
    with environment.atomic_write(out) as handle:
        if out.suffix == ".parquet":
            found.to_parquet(handle, index=False)
        else:
            handle.write(found.to_csv(index=False, sep="\t" if out.suffix == ".tsv" else ",").encode())


def _again(
    file: vcf.VcfFile | Table,
    parts: Parts,
    scorer: Scorer | SpliceScorer,
    surveyed: Survey,
    piece: int,
    rows: _Rows,
) -> Iterator[tuple[Piece, Scored]]:
    """The pieces as they were kept, whose alleles go into the parquet on the way."""
    for one in pieces(file, piece):
        scored = _scored(parts, scorer, one)
        for number, place, where, statuses in _statuses(one, scored, surveyed):
            rows.add(one.records[place], number, statuses, scored, where)
        yield one, scored


def _write(
    file: vcf.VcfFile,
    out: Path,
    made: Iterable[tuple[Piece, Scored]],
    scorer: Scorer | SpliceScorer,
    surveyed: Survey,
    command: str,
) -> vcf.Written:
    digest = environment.sha256(scorer.reference.path)
    version = environment.versions()["ntviz"]
    contigs = {name: _length(scorer, name) for name in surveyed.contigs}
    header = file.header.with_info(
        scorer.info_lines(), keys.meta_lines(scorer, digest, version, command), contigs
    )

    def lines() -> Iterator[str]:
        for one, scored in made:
            texts = [record.raw for record in one.records]
            for _, place, where, statuses in _statuses(one, scored, surveyed):
                texts[place] = one.records[place].annotated(scorer.info(scored, where, statuses))
            yield from texts

    return vcf.write(out, header, lines())


def _length(scorer: Scorer | SpliceScorer, name: str) -> int | None:
    with suppress(ValueError, TypeError):
        return len(scorer.reference.whole(name))
    return None


class _Rows:
    """The table of alleles, written some rows at a time; it appears when all are there."""

    def __init__(self, path: Path | None, columns: tuple[str, ...]) -> None:
        self.path, self.columns = path, columns
        self.held: list[tuple[Any, ...]] = []

    def __enter__(self) -> _Rows:
        if self.path is None:
            return self
        import pyarrow as pa
        from pyarrow import parquet

        text, whole = pa.string(), pa.int64()
        first = {
            "chrom": text,
            "pos": whole,
            "id": text,
            "ref": text,
            "alt": text,
            "record": whole,
            "line": whole,
        }
        words = dict.fromkeys(("status", "kind", "method", "note"), text)
        self.schema: pa.Schema = pa.schema(
            first | {"alternative": whole} | words | dict.fromkeys(self.columns, pa.float64())
        )
        self._opened = environment.atomic_write(self.path)
        self._writer = parquet.ParquetWriter(self._opened.__enter__(), self.schema)
        return self

    def add(self, record: vcf.Record, number: int, statuses: list[str], scored: Scored, where: slice) -> None:
        if self.path is None:
            return
        for alternative, (alt, status) in enumerate(zip(record.alts, statuses, strict=True)):
            at = where.start + alternative
            place = (record.chrom, record.pos, record.id, record.ref, alt, number, record.line, alternative)
            words = (status, scored.kinds[at], scored.methods[at], scored.notes[at])
            self.held.append((*place, *words, *scored.values[at].tolist()))
        if len(self.held) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        columns = list(zip(*self.held, strict=True)) if self.held else [()] * len(self.schema)
        clean = [
            _clean(values) if pa.types.is_string(kind.type) else values
            for values, kind in zip(columns, self.schema, strict=True)
        ]
        arrays = [pa.array(values, kind.type) for values, kind in zip(clean, self.schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self.schema))
        self.held = []

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self.path is None:
            return
        if kind is None:
            self._flush()
        self._writer.close()
        self._opened.__exit__(kind, error, trace)


def _clean(values: tuple[str, ...]) -> list[str]:
    """Text that parquet takes: bytes that are no UTF-8 become question marks there; the VCF keeps them."""
    return [value.encode("utf-8", "replace").decode("utf-8") for value in values]
