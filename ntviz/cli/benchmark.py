"""`ntviz benchmark`: run a matrix of models, tasks and methods, list tasks, show the leaderboard."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument

from ntviz.cli import sharded
from ntviz.cli.messages import FAILED, aligned, cell_text, failing, note, say, usage
from ntviz.storage import atomic_write

if TYPE_CHECKING:
    import pandas as pd

    from ntviz.runs.commands import Matrix

benchmark_app = typer.Typer(
    help="Benchmark: models by tasks by methods, with controls and baselines.", no_args_is_help=True
)


def run(context: typer.Context, asked: Matrix) -> None:
    """Fill the matrix: done cells are never redone, a failed one is a row that says why.

    Writes results.parquet and report.html. Exit code: 0 all cells are done, 1 some failed, 2 the arguments were wrong,
    130 it was interrupted.
    """
    from ntviz import benchmark
    from ntviz.cli.benchmark_report import report

    out, names = asked.out, sharded.words(asked.models)
    with sharded.going_on(), usage(OSError, ValueError):
        shard = sharded.shard_of(asked.shard)
        settings = benchmark.Settings(
            layers=tuple(int(layer) for layer in sharded.words(asked.layers)) or None,
            pooling=asked.pooling,
            n_folds=asked.folds,
            refold=asked.refold,
            permutations=asked.permutations,
            steps=asked.steps,
            train_cap=asked.train_cap,
        )
        usual = [*(["logistic"] if names else []), "kmer", "gc", "majority"]
        table = benchmark.run(
            out,
            tasks=benchmark.expand(sharded.words(asked.tasks)),
            models=names,
            methods=sharded.words(asked.methods) or usual,
            settings=settings,
            seeds=[int(seed) for seed in sharded.words(asked.seeds)],
            twins=asked.twins,
            shard=shard,
            device=asked.device,
            dtype=asked.dtype,
            say=note,
        )
    failed = table[table["status"] == "failed"]
    if shard[1] == 1 and (table["status"] == "ok").any():
        with failing(OSError, ValueError):
            board = benchmark.leaderboard(out)
            page = out / "report.html"
            command = shlex.join(["ntviz", *sys.argv[1:]])
            pairs, by_layer = benchmark.comparisons(out), benchmark.layer_scores(out)
            with atomic_write(page) as handle:
                handle.write(report(board, pairs, by_layer, command).encode("utf-8"))
            say(shown(board.overall))
            say(str(page))
    for row in failed.itertuples(index=False):
        note(f"failed: {row.task}, {row.model or '-'}, {row.method}: {row.error}")
    if len(failed):
        raise typer.Exit(FAILED)


sharded.register(benchmark_app, "benchmark", run)


@benchmark_app.command()
def tasks() -> None:
    """List the tasks that come with ntviz."""
    from ntviz.benchmark.chr20 import TASKS

    rows = []
    for name, about in TASKS.items():
        held = f"{about['test']:,}" if "test" in about else "by folds"
        sizes = f"{about['length']:,} bp", f"{about['train']:,}", held
        rows.append((name, about["kind"], *sizes, ", ".join(about["classes"])))
    say(aligned(rows, ("task", "kind", "length", "train", "test", "classes")))


@benchmark_app.command()
def check(
    task: Annotated[
        str, Argument(help="A name of `ntviz benchmark tasks`, or a file or folder of examples.")
    ],
) -> None:
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
    say(
        shown(
            board.tasks[
                [
                    "task",
                    "entry",
                    "value",
                    "low",
                    "high",
                    "twin",
                    "p",
                    "selectivity",
                    "missing_controls",
                    "note",
                ]
            ]
        )
    )
    if len(board.failed):
        note(f"{len(board.failed)} cells failed or are not done")


def shown(table: pd.DataFrame) -> str:
    """A table as aligned text, numbers to three places and what is missing as a dash."""
    return aligned(
        [[cell_text(value) for value in row] for row in table.itertuples(index=False)], list(table.columns)
    )
