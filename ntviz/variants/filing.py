"""A whole VCF scored: read as a stream, in pieces that are kept, and written back with keys added."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntviz import environment
from ntviz.variants import keys, vcf
from ntviz.variants.parts import Parts
from ntviz.variants.planning import LONG_INDEL, Mismatch
from ntviz.variants.scoring import Scored, Scorer
from ntviz.variants.summary import Summary
from ntviz.variants.surveying import Piece, Survey, pieces, survey

if TYPE_CHECKING:
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

    Every `piece` records are scored and kept as soon as they are done. A run that was killed goes on where it stopped,
    and its bytes are those of a run that was not. Memory does not grow with the file.

    Parameters
    ----------
    path
        A VCF: plain, gzip or bgzip.
    out
        Where to; bgzip and an index if the name ends in .gz, plain text otherwise.
    scorer
        What is scored, and how.
    shard
        (i, n) from 1: only every n-th piece is scored, and nothing is written but pieces. When all shards are done, the
        run without a shard writes `out`. With 1 of 1 everything is done at once.
    cache
        Folder of pieces, kept; None uses `out` + ".parts" and removes it in the end. Pieces are found by what they
        follow from (weights, tokens, bases, options), never by names.
    table
        Where the table of alleles goes; None puts it beside `out`, ending in .parquet.
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
        There is no such VCF.
    vcf.VcfError
        It cannot be read as VCF.
    FileExistsError
        `out` is there, from a run that ended.
    ValueError
        `out` is `path`, or the shard is none.
    planning.Mismatch
        A REF is not the reference's, and `on_mismatch` is "fail"; nothing is written.
    """
    begun = time.monotonic()
    path, out = Path(path), Path(out)
    check_output(path, out, overwrite=overwrite)
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
        vcf.VcfFile(path) as file,
        _bar(sum(min(piece, surveyed.records - number * piece) for number in mine), what) as bar,
    ):
        for one in pieces(file, piece):
            if one.number in mine:
                try:
                    _count(summary, one, _scored(parts, scorer, one))
                except Mismatch:
                    # Asked to fail: nothing is to be there then.
                    shutil.rmtree(work, ignore_errors=True)
                    raise
                bar.update(len(one.records))
            elif parts.has(scorer.identity(one.alleles)):
                summary.elsewhere += 1
    summary.sequences = scorer.sequences
    if shard == (1, 1):
        parquet = Path(table) if table is not None else out.with_name(_stem(out) + ".parquet")
        _write(path, out, parquet if with_table else None, parts, scorer, surveyed, piece, command, summary)
        shutil.rmtree(work, ignore_errors=True)
    else:
        summary.missing = total - len(mine) - summary.elsewhere
    summary.seconds = time.monotonic() - begun
    return summary


def check_output(path: Path, out: Path, *, overwrite: bool = False) -> None:
    """Refuses an output that is the input, or is there already from a run that ended.

    Raises
    ------
    FileExistsError
        It is there, and may not be replaced.
    ValueError
        It is the input.
    """
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


def _count(summary: Summary, one: Piece, scored: Scored) -> None:
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


def _write(
    path: Path,
    out: Path,
    parquet: Path | None,
    parts: Parts,
    scorer: Scorer | SpliceScorer,
    surveyed: Survey,
    piece: int,
    command: str,
    summary: Summary,
) -> None:
    digest = environment.sha256(scorer.reference.path)
    version = environment.versions()["ntviz"]
    with vcf.VcfFile(path) as file, _Rows(parquet, scorer.columns) as rows:
        contigs = {name: _length(scorer, name) for name in surveyed.contigs}
        header = file.header.with_info(
            scorer.info_lines(), keys.meta_lines(scorer, digest, version, command), contigs
        )

        def lines() -> Iterator[str]:
            for one in pieces(file, piece):
                scored = _scored(parts, scorer, one)
                texts = [record.raw for record in one.records]
                for number, place, where, statuses in _statuses(one, scored, surveyed):
                    record = one.records[place]
                    texts[place] = record.annotated(scorer.info(scored, where, statuses))
                    rows.add(record, number, statuses, scored, where)
                yield from texts

        written = vcf.write(out, header, lines())
    summary.written = [out, *([written.index] if written.index else []), *([parquet] if parquet else [])]
    summary.reason = written.reason


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
