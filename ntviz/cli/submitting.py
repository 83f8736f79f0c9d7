"""`ntviz submit`: a sheet of samples as jobs, on this machine or on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ntviz.cli.saying import INTERRUPTED, aligned, failing, note, say, usage
from ntviz.environment.reporting import duration

if TYPE_CHECKING:
    from ntviz.runs.submitting import Outcome, Submission

_SHOWN = 10


def submit(
    sheet: Annotated[
        Path,
        typer.Argument(
            metavar="SHEET",
            help="Table with tabs: sample, run, shards; other columns are parameters or options.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of all results; the same command goes on where it stopped.")
    ],
    profile: Annotated[
        str, typer.Option(help="local, slurm, or a folder with a Snakemake profile's config.yaml.")
    ] = "local",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show the jobs, their forecast time (without starting up) and memory, and end."
        ),
    ] = False,
    jobs: Annotated[int | None, typer.Option(help="Jobs at once; default: as the profile says.")] = None,
    cores: Annotated[int | None, typer.Option(help="Cores of a job.")] = None,
    gpus: Annotated[int | None, typer.Option(help="GPUs of a job.")] = None,
    partition: Annotated[str | None, typer.Option(help="Slurm partition.")] = None,
    account: Annotated[str | None, typer.Option(help="Slurm account.")] = None,
    memory: Annotated[
        int | None,
        typer.Option(metavar="MB", help="Memory of a job at least; more where its forecast says so."),
    ] = None,
    minutes: Annotated[
        int | None, typer.Option(help="Walltime of a job at least; more where its forecast says so.")
    ] = None,
    kernel: Annotated[
        str | None, typer.Option(help="Kernel of notebooks; default: this Python, on Slurm ntviz-gpu.")
    ] = None,
) -> None:
    """Run every sample of a sheet: notebooks and commands, in shards, with one table and one page of all reports.

    Everything in the sheet is checked before a job starts. What is done is not done again; a lost shard alone is redone.
    Exit code: 0 all is done, 1 a job failed, 2 the sheet or the arguments were wrong, 130 it was interrupted.
    """
    from ntviz.runs import heads, submitting

    given = {
        "cores": cores,
        "gpus": gpus,
        "partition": partition,
        "account": account,
        "memory_mb": memory,
        "minutes": minutes,
        "kernel": kernel,
    }
    with usage(OSError, ValueError), failing(submitting.EngineError):
        submission = submitting.prepare(sheet, out, profile=profile, at_once=jobs, given=given)
    if dry_run:
        say(_table(submission))
        say(_sum(submission))
        return
    note(_sum(submission))
    with failing(heads.HeldError, submitting.EngineError, OSError):
        outcome = submitting.start(submission)
    for job in outcome.failed[:_SHOWN]:
        note(f"{job.state}: {job.sample}, {job.name}: {job.failure().splitlines()[0]}\n  log: {job.log}")
    if len(outcome.failed) > _SHOWN:
        note(f"and {len(outcome.failed) - _SHOWN} more jobs")
    for file in ("table.parquet", "index.html"):
        if (submission.folder / file).is_file():
            say(str(submission.folder / file))
    if outcome.code:
        note(_ending(outcome))
        raise typer.Exit(outcome.code)


def _ending(outcome: Outcome) -> str:
    if outcome.code == INTERRUPTED:
        return "ntviz: interrupted; what was finished is kept, and the same command goes on from there"
    if outcome.failed:
        return f"ntviz: {len(outcome.failed)} jobs failed; mend what is said above, and the same command runs these alone"
    return f"ntviz: Snakemake failed without a job that failed; it says why in {outcome.engine_log}"


def _table(submission: Submission) -> str:
    rows = []
    for job in submission.every_job:
        sample = submission.config["samples"][job.sample]
        seconds, memory = submission.forecast_of(job)
        rows.append(
            (
                job.sample,
                Path(sample["command"][1]).stem if sample["notebook"] else sample["run"],
                job.name,
                job.state,
                "-" if seconds is None else _time(seconds),
                "-" if memory is None else f"{memory / 1e6:,.0f} MB",
                f"{sample['memory_mb']:,} MB, {sample['minutes']:,} min",
                submission.forecasts[job.sample].basis,
            )
        )
    return aligned(rows, ("sample", "run", "job", "state", "time", "memory", "asked for", "forecast from"))


def _time(seconds: float) -> str:
    if seconds < 1:
        return "under 1 s"
    return f"{seconds:.0f} s" if seconds < 60 else duration(seconds)


def _sum(submission: Submission) -> str:
    todo = [job for job in submission.every_job if not job.finished]
    known = [seconds for job in todo if (seconds := submission.forecast_of(job)[0]) is not None]
    job = submission.config["job"]
    asks = f"{job['cores']} cores" + (f" and {job['gpus']} GPU each" if job["gpus"] else " each")
    total = len(submission.every_job)
    text = f"{total:,} jobs, {total - len(todo):,} done, {len(todo):,} to do, {submission.at_once:,} at once, {asks}"
    if known:
        text += f"; {_time(sum(known) / submission.at_once)} at least"
    if len(known) < len(todo):
        text += f"; no forecast for {len(todo) - len(known):,}"
    return text
