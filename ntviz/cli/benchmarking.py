"""`ntviz benchmark`: run a matrix of models, tasks and methods, list tasks, show the leaderboard."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ntviz import environment
from ntviz.cli import sharded
from ntviz.cli.saying import FAILED, aligned, cell_text, failing, note, say, usage

if TYPE_CHECKING:
    import pandas as pd

benchmark_app = typer.Typer(
    help="Benchmark: models by tasks by methods, with controls and baselines.", no_args_is_help=True
)


@benchmark_app.command()
def run(
    out: Annotated[
        Path, typer.Option(help="Folder of the matrix; the same command goes on where it stopped.")
    ],
    models: Annotated[
        str, typer.Option(help="Names of `ntviz models` or checkpoint directories, by commas.")
    ] = "",
    tasks: Annotated[
        str,
        typer.Option(
            help="Names of `ntviz benchmark tasks`, files or folders; chr20 stands for all that come with ntviz. "
            "DIR@revised or FILE#TASK@original: held to what was published."
        ),
    ] = "chr20",
    methods: Annotated[
        str,
        typer.Option(
            help="logistic, mlp, ia3, lora, full, head; majority, gc, kmer, local31, cnn, bpnet, bpnet-large."
        ),
    ] = "",
    folds: Annotated[int, typer.Option(help="Folds by region where a task has no test part.")] = 10,
    refold: Annotated[
        bool, typer.Option("--refold", help="Use folds even where there is a test part.")
    ] = False,
    layers: Annotated[
        str, typer.Option(help="Layers that probes choose from, such as 0,2,4; default: all.")
    ] = "",
    pooling: Annotated[str, typer.Option(help="mean, max or cls.")] = "mean",
    permutations: Annotated[int, typer.Option(help="Permuted labels of each probe; 0: none.")] = 20,
    steps: Annotated[
        int | None, typer.Option(help="Training steps at most; default: each method's own.")
    ] = None,
    train_cap: Annotated[int | None, typer.Option(help="Examples to learn from at most.")] = None,
    seeds: Annotated[str, typer.Option(help="Each cell is done once a seed.")] = "0",
    twins: Annotated[bool, typer.Option(help="Probe a random twin of each model too.")] = True,
    shard: Annotated[str, typer.Option(help=sharded.SHARD)] = "1/1",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    plan: Annotated[bool, typer.Option("--plan", help=sharded.PLAN)] = False,
    rate: Annotated[float | None, typer.Option(help=sharded.RATE)] = None,
) -> None:
    """Fill the matrix: done cells are never redone, a failed one is a row that says why.

    Writes results.parquet and report.html. Exit code: 0 all cells are done, 1 some failed, 2 the arguments were wrong,
    130 it was interrupted.
    """
    from ntviz import benchmark
    from ntviz.cli.benchmark_report import report

    names = sharded.words(models)
    wanted = sharded.words(methods) or [*(["logistic"] if names else []), "kmer", "gc", "majority"]
    with sharded.going_on(), usage(OSError, ValueError):
        number = sharded.shard_of(shard)
        size = sharded.size_of(dtype)
        settings = benchmark.Settings(
            layers=tuple(int(layer) for layer in sharded.words(layers)) or None,
            pooling=pooling,
            n_folds=folds,
            refold=refold,
            permutations=permutations,
            steps=steps,
            train_cap=train_cap,
        )
        given: dict[str, Any] = {
            "tasks": benchmark.expand(sharded.words(tasks)),
            "models": names,
            "methods": wanted,
            "settings": settings,
            "seeds": [int(seed) for seed in sharded.words(seeds)],
            "twins": twins,
        }
        if plan:
            sharded.planned(
                lambda measured: benchmark.forecast(**given, rate=measured, itemsize=size),
                rate,
                device,
                dtype,
            )
            return
        table = benchmark.run(out, **given, shard=number, device=device, dtype=dtype, say=note)
    failed = table[table["status"] == "failed"]
    if number[1] == 1 and (table["status"] == "ok").any():
        with failing(OSError, ValueError):
            board = benchmark.leaderboard(out)
            page = out / "report.html"
            command = shlex.join(["ntviz", *sys.argv[1:]])
            pairs, by_layer = benchmark.comparisons(out), benchmark.layer_scores(out)
            with environment.atomic_write(page) as handle:
                handle.write(report(board, pairs, by_layer, command).encode("utf-8"))
            say(shown(board.overall))
            say(str(page))
    for row in failed.itertuples(index=False):
        note(f"failed: {row.task}, {row.model or '-'}, {row.method}: {row.error}")
    if len(failed):
        raise typer.Exit(FAILED)


@benchmark_app.command()
def tasks() -> None:
    """List the tasks that come with ntviz."""
    from ntviz import benchmark
    from ntviz.benchmark import chr20

    rows = []
    for name in chr20.NAMES:
        task = benchmark.find_task(name)
        low, _ = task.lengths
        held = f"{len(task.test):,}" if task.test is not None else "by folds"
        rows.append((name, task.kind, f"{low:,} bp", f"{len(task.train):,}", held, ", ".join(task.classes)))
    say(aligned(rows, ("task", "kind", "length", "train", "test", "classes")))


@benchmark_app.command()
def check(
    task: Annotated[
        str, typer.Argument(help="A name of `ntviz benchmark tasks`, or a file or folder of examples.")
    ],
) -> None:
    """Check a task: counts, balance, duplicates on both strands, copies across the split, shortcuts.

    Exit code: 0 nothing failed, 1 a check failed, 2 there is no such task.
    """
    from ntviz import benchmark

    with usage(OSError, ValueError):
        read = benchmark.find_task(task)
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
def show(out: Annotated[Path, typer.Argument(help="Folder of a matrix.")]) -> None:
    """Show the leaderboard of a matrix."""
    from ntviz import benchmark

    with usage(OSError, ValueError):
        board = benchmark.leaderboard(out)
    say(shown(board.overall))
    say()
    say(
        shown(
            board.tasks[
                ["task", "entry", "value", "low", "high", "twin", "p", "selectivity", "missing_controls", "note"]
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
