"""`ntviz benchmark`: run a matrix of models, tasks and methods, list tasks, show the leaderboard."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument

from ntviz.cli import sharded
from ntviz.cli.messages import FAILED, aligned, cell_text, failing, note, say, tabulated, usage
from ntviz.storage import atomic_write

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.runs.commands import Matrix

_HELP = "Benchmark: models by tasks by methods, with controls and baselines."
benchmark_app = typer.Typer(help=_HELP, no_args_is_help=True)


def run(context: typer.Context, asked: Matrix) -> None:
    """Fill the matrix: done cells are never redone, a failed one is a row that says why.

    Writes results.parquet and report.html. Exit code: 0 all cells are done, 1 some failed, 2 the arguments were wrong,
    130 it was interrupted.
    """
    from ntviz import benchmark
    from ntviz.cli.benchmark_report import report

    out, names = asked.out, sharded.split(asked.models)
    with sharded.going_on(), usage(OSError, ValueError):
        shard = sharded.shard_of(asked.shard)
        settings = benchmark.Settings(
            layers=tuple(map(int, sharded.split(asked.layers))) or None,
            n_folds=asked.folds,
            **{name: getattr(asked, name) for name in ("pooling", "refold", "permutations", "steps", "train_cap")},
        )
        usual = [*(["logistic"] if names else []), "kmer", "gc", "majority"]
        table = benchmark.run(
            out, tasks=benchmark.expand(sharded.split(asked.tasks)), models=names,
            methods=sharded.split(asked.methods) or usual, settings=settings,
            seeds=list(map(int, sharded.split(asked.seeds))), twins=asked.twins, shard=shard,
            device=asked.device, dtype=asked.dtype, say=note,
        )  # fmt: skip
    failed = table[table["status"] == "failed"]
    if shard[1] == 1 and (table["status"] == "ok").any():
        with failing(OSError, ValueError):
            board = benchmark.leaderboard(out)
            command = shlex.join(["ntviz", *sys.argv[1:]])
            page = report(board, benchmark.comparisons(out), benchmark.layer_scores(out), command)
            with atomic_write(out / "report.html", "w") as handle:
                handle.write(page)
            say(shown(board.overall))
            say(str(out / "report.html"))
    for row in failed.itertuples(index=False):
        note(f"failed: {row.task}, {row.model or '-'}, {row.method}: {row.error}")
    if len(failed):
        raise typer.Exit(FAILED)


sharded.register(benchmark_app, "benchmark", run)


@benchmark_app.command()
def tasks() -> None:
    """List the tasks that come with ntviz."""
    from ntviz.benchmark.chr20 import TASKS

    rows = [
        (name, about["kind"], f"{about['length']:,} bp", f"{about['train']:,}",
         f"{about['test']:,}" if "test" in about else "by folds", ", ".join(about["classes"]))
        for name, about in TASKS.items()
    ]  # fmt: skip
    say(aligned(rows, ("task", "kind", "length", "train", "test", "classes")))


@benchmark_app.command()
def check(task: Annotated[str, Argument(help="A name of `ntviz benchmark tasks`, or a file or folder.")]) -> None:
    """Check a task: counts, balance, duplicates on both strands, copies across the split, shortcuts, constructed negatives.

    Exit code: 0 nothing failed, 1 a check failed, 2 there is no such task.
    """
    from ntviz import benchmark

    with usage(OSError, ValueError):
        read = benchmark.find_task(task)
    with failing(ImportError):
        checks = benchmark.check(read)
    say(repr(read))
    for text in read.notes:
        note(text)
    worst = ("fail", "warning", "unknown", "pass")
    table = checks.table.sort_values("status", key=lambda column: column.map(worst.index), kind="stable")
    say(shown(table[["status", "check", "part", "value", "limit", "n", "note"]]))
    say(repr(checks))
    if checks.status == "fail":
        raise typer.Exit(FAILED)


@benchmark_app.command()
def show(out: Annotated[Path, Argument(help="Folder of a matrix.")]) -> None:
    """Show the leaderboard of a matrix."""
    from ntviz import benchmark

    with usage(OSError, ValueError):
        board = benchmark.leaderboard(out)
    say(shown(board.overall))
    say()
    columns = "task entry value low high twin p selectivity missing_controls note"
    say(shown(board.tasks[columns.split()]))
    if len(board.failed):
        note(f"{len(board.failed)} cells failed or are not done")


def shown(table: pd.DataFrame) -> str:
    """A table as aligned text, numbers to three places and what is missing as a dash."""
    return tabulated(table.map(cell_text))
