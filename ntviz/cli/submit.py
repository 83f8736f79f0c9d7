"""`ntviz submit`: a sheet of samples as jobs, on this machine or on a cluster."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from ntviz.cli.messages import FAILED, INTERRUPTED, aligned, failing, note, say, usage

if TYPE_CHECKING:
    from ntviz.runs.submitting import Submission

_SHOWN = 10


def submit(
    sheet: Annotated[Path, Argument(metavar="SHEET", help="Table with tabs: sample, run, shards, memory, minutes, gpu_model; other columns are parameters or options.")],
    out: Annotated[Path, Option(help="Folder of all results; the same command goes on where it stopped.")],
    profile: Annotated[str, Option(help="local, slurm, or a folder with a Snakemake profile's config.yaml.")] = "local",
    dry_run: Annotated[bool, Option("--dry-run", help="Show the jobs, how each stands and what it asks for, and end.")] = False,
    keep: Annotated[bool, Option("--keep", help="Leave results whose inputs, weights, command or ntviz have changed, and name them.")] = False,
    pack: Annotated[int, Option(help="Rows of one notebook that one job runs, one after the other in one kernel.")] = 1,
    pilot: Annotated[str, Option(metavar="SAMPLE", help="Run this row first: twice its time and 1.5 times its memory are what others of its notebook ask for.")] = "",
    unlock: Annotated[bool, Option("--unlock", help="Go on although a submission was killed here: take away its lock.")] = False,
    jobs: Annotated[int | None, Option(help="Jobs at once; default: as the profile says.")] = None,
    cores: Annotated[int | None, Option(help="Cores of a job.")] = None,
    gpus: Annotated[int | None, Option(help="GPUs of a job.")] = None,
    partition: Annotated[str | None, Option(help="Slurm partition.")] = None,
    account: Annotated[str | None, Option(help="Slurm account.")] = None,
    slurm: Annotated[str | None, Option(metavar="OPTIONS", help="More options of sbatch, such as '--qos=short --constraint=a100'.")] = None,
    memory: Annotated[int | None, Option(metavar="MB", help="Memory of a job whose row has none.")] = None,
    minutes: Annotated[int | None, Option(help="Walltime of a job whose row has none.")] = None,
    kernel: Annotated[str | None, Option(help="Kernel of notebooks; default: this Python, on Slurm ntviz-gpu.")] = None,
) -> None:  # fmt: skip
    """Run every sample of a sheet: notebooks and commands, in shards, with one table and one page of all reports.

    Everything in the sheet is checked before a job starts. What is done is not done again, unless its command, the
    content of its files, the weights of its models or the version of ntviz have changed; a lost shard alone is redone.
    Exit code: 0 all is done, 1 a job failed, 2 the sheet or the arguments were wrong, 130 it was interrupted.
    """
    from ntviz.runs import submitting
    from ntviz.runs.jobs import BAD

    given = {
        "jobs": jobs, "cores": cores, "gpus": gpus, "partition": partition, "account": account, "memory_mb": memory,
        "minutes": minutes, "kernel": kernel, "slurm": slurm,
    }  # fmt: skip
    with usage(OSError, ValueError), failing(submitting.EngineError):
        submission = submitting.prepare(sheet, out, profile=profile, given=given, keep=keep, pack=pack, pilot=pilot)
    for job in submission.every_job if keep else ():
        if not job.why and job.changes:
            note(f"kept: {job.sample}, {job.name}: {'; '.join(job.changes)}")
    if dry_run:
        say(_table(submission))
        say(_sum(submission))
        return
    note(_sum(submission))
    with failing(submitting.EngineError, subprocess.CalledProcessError, OSError):
        code = submitting.start(submission, unlock=unlock)
    failed = [job for job in submission.every_job if job.state in BAD]
    for job in failed[:_SHOWN]:
        note(f"{job.state}: {job.sample}, {job.name}: {job.failure().splitlines()[0]}\n  log: {job.log}")
    if len(failed) > _SHOWN:
        note(f"and {len(failed) - _SHOWN} more jobs")
    for file in (submitting.TABLE, submitting.INDEX):
        say(str(submission.folder / file))
    if code == INTERRUPTED:
        note("ntviz: interrupted; what was finished is kept, and the same command goes on from there")
    elif failed:
        note(f"ntviz: {len(failed)} jobs failed; mend what is said above, and the same command runs these alone")
    elif code == FAILED:
        note("ntviz: Snakemake ended without a job that failed; its reason is above")
    if code:
        raise typer.Exit(code)


def _table(submission: Submission) -> str:
    rows = []
    for job in submission.every_job:
        sample = submission.config["samples"][job.sample]
        run = Path(sample["words"][1]).stem if sample["notebook"] else sample["run"]
        asks = f"{sample['memory_mb']:,} MB, {sample['minutes']:,} min"
        rows.append((job.sample, run, job.name, job.state, asks, job.why))
    return aligned(rows, ("sample", "run", "job", "state", "asked for", "why"))


def _sum(submission: Submission) -> str:
    done, total = sum(not job.why for job in submission.every_job), len(submission.every_job)
    asked, pilot, packs = (submission.config[name] for name in ("job", "pilot", "packs"))
    gpus = f" and {asked['gpus']} GPU each" if asked["gpus"] else " each"
    each = f"{asked['jobs']:,} at once, {asked['cores']} cores{gpus}"
    lines = [f"{total:,} jobs, {done:,} done, {total - done:,} to do, {each}"]
    if sizes := list(map(len, packs.values())):
        lines += [f"{sum(sizes):,} rows in {len(sizes):,} jobs of at most {max(sizes)}"]
    if pilot:
        known = "what it will measure"
        if not submission.unmeasured:
            known = f"{pilot.get('memory_mb', 0):,} MB and {pilot['minutes']:,} min"
        lines += [f"{len(pilot['left']):,} rows ask for {known}, by the pilot {pilot['sample']}"]
    return "\n".join(lines)
