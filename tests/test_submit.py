"""`ntviz submit` with a real Snakemake on this machine: what is run, what is redone, what is said when something fails."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from ntviz import data
from ntviz.reference import Reference
from ntviz.runs import job, jobs, kernel, submitting
from ntviz.runs.manifest import Manifest

PARAMETERS = 'profile: str = "ci"  # size\ncount: int = 3  # how many\nseconds: float = 0.0  # to wait\n'
COUNTING = "from ntviz import runs\n\nrun = runs.current(profile=profile)\nrun.record(total=2 * count)"
CHECKED = 'assert count != 7, "seven is not <b>counted</b>"'
WAITING = "import time\n\ntime.sleep(seconds)"
SINFO = "#!/bin/sh\nprintf 'gpu*\\nlong\\n'\n"


@pytest.fixture
def notebook(make_notebook):
    return make_notebook("# What is counted?", COUNTING, WAITING, CHECKED, parameters=PARAMETERS)


@pytest.fixture
def write(tmp_path):
    def make(*rows):
        path = tmp_path / "sheet.tsv"
        path.write_text("\n".join(row.replace("|", "\t") for row in rows) + "\n")
        return path

    return make


def variants(path: Path) -> Path:
    """Twelve substitutions of the bundle's chromosome 20, 150 bp apart."""
    bases = Reference(data.bundle("chr20"))
    rows = []
    for pos in range(42_984_000, 42_985_800, 150):
        ref = bases.fetch(f"chr20:{pos}-{pos}").sequence
        rows.append(f"20\t{pos}\t.\t{ref}\t{'ACGT'.replace(ref, '')[pos % 3]}\t.\tPASS\t.\n")
    head = "##fileformat=VCFv4.3\n##contig=<ID=20,length=63025520>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    path.write_text(head + "".join(rows))
    return path


def starts(out: Path) -> dict[str, int]:
    """How often each job was started, by sample and log."""
    return {
        f"{log.parent.parent.name} {log.stem}": sum(event["event"] == "start" for event in job.events(log))
        for log in sorted(out.glob("*/logs/*.log"))
    }


def wait(condition, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.1)


def test_what_is_done_is_kept_and_what_is_lost_or_mended_is_redone_alone(write, notebook, command, tmp_path):
    variants(tmp_path / "in.vcf")
    options = "sample|run|shards|in|piece|background|window|scores|count"
    scored = "vcf|score|2|in.vcf|3|no|600|llr|"
    out = tmp_path / "out"
    submit = (
        "submit",
        write(options, scored, "good|toy.ipynb|||||||4", "bad|toy.ipynb|||||||7"),
        "--out",
        out,
    )
    first = command(*submit, "--jobs", 2, "--cores", 1, timeout=400)
    assert first.returncode == 1, first.stderr
    log = out / "bad" / "logs" / "notebook.log"
    assert (
        f"failed: bad, notebook: AssertionError: seven is not <b>counted</b>\n  log: {log}\n" in first.stderr
    )
    assert "ntviz: 1 jobs failed; mend what is said above" in first.stderr
    # The others went on to their ends.
    once = {
        "bad notebook": 1,
        "good notebook": 1,
        "vcf merge": 1,
        "vcf shard-1-of-2": 1,
        "vcf shard-2-of-2": 1,
    }
    assert starts(out) == once
    table = pd.read_parquet(out / "table.parquet").set_index("run")
    assert table["status"].to_dict() == {"bad": "failed", "good": "ok", "vcf": "ok"}
    assert table.loc["good", "metric.total"] == 8
    assert table.loc["vcf", "report"] == str(out / "vcf" / "scored.vcf.gz")
    assert table.loc["vcf", "peak_memory_mb"] > 50
    assert table.loc["bad", "error"].count("seven is not") == 1
    assert table.loc["bad", "error"].endswith(f"\nlog: {log}")
    page = (out / "index.html").read_text()
    assert 'href="good/report.html"' in page and 'href="bad/report.html"' in page
    assert "seven is not &lt;b&gt;counted&lt;/b&gt;" in page

    # A shard's mark and one of its pieces are lost, the failing sample is mended: these alone are run.
    merged = (out / "vcf" / "scored.vcf.gz").read_bytes()
    pieces = sorted((out / "vcf" / "pieces").rglob("*.npz"))
    assert len(pieces) == 4
    shard = job.mark(out / "vcf" / "shards" / "2-of-2.done")
    assert shard["command"][-2:] == ["--shard", "2/2"]
    (out / "vcf" / "shards" / "2-of-2.done").unlink()
    theirs = _pieces_of(command, tmp_path, pieces)
    assert len(theirs) == 2
    theirs[0].unlink()
    kept = {path: path.stat().st_mtime_ns for path in pieces if path.exists()}
    assert len(kept) == 3
    submit = (
        "submit",
        write(options, scored, "good|toy.ipynb|||||||4", "bad|toy.ipynb|||||||8"),
        "--out",
        out,
    )
    second = command(*submit, "--jobs", 2, "--cores", 1, timeout=400)
    assert second.returncode == 0, second.stderr
    assert starts(out) == once | {"bad notebook": 2, "vcf merge": 2, "vcf shard-2-of-2": 2}
    assert theirs[0].is_file()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    # Neither merge had to compute anything.
    assert (out / "vcf" / "logs" / "merge.log").read_text().count("(0 sequences read") == 2
    assert (out / "vcf" / "scored.vcf.gz").read_bytes() == merged
    assert set(pd.read_parquet(out / "table.parquet")["status"]) == {"ok"}

    # The merged file is that of one run without shards; another number of threads may change a last digit.
    alone = tmp_path / "alone" / "scored.vcf.gz"
    words = ("--piece", 3, "--no-background", "--window", 600, "--scores", "llr", "--out", alone)
    one = {"OMP_NUM_THREADS": "1"}
    assert command("score", "in.vcf", *words, cwd=tmp_path, variables=one).returncode == 0
    assert alone.read_bytes() == merged

    # Once more: nothing is left to do.
    third = command(*submit)
    assert third.returncode == 0
    assert "5 jobs, 5 done, 0 to do" in third.stderr
    assert starts(out) == once | {"bad notebook": 2, "vcf merge": 2, "vcf shard-2-of-2": 2}


def _pieces_of(command, folder, pieces):
    """Which of the pieces are those of the second shard, found by computing that shard elsewhere."""
    elsewhere = folder / "elsewhere"
    words = ("--piece", 3, "--no-background", "--window", 600, "--scores", "llr", "--shard", "2/2")
    words = (*words, "--cache", elsewhere, "--out", folder / "x.vcf.gz")
    assert command("score", "in.vcf", *words, cwd=folder).returncode == 0
    names = {path.name for path in elsewhere.rglob("*.npz")}
    return [path for path in pieces if path.name in names]


def test_a_killed_head_loses_nothing_and_two_heads_are_one_too_many(
    write, notebook, start, command, tmp_path
):
    out = tmp_path / "out"
    submit = ("submit", write("sample|run|seconds", "a|toy.ipynb|15", "b|toy.ipynb|"), "--out", out)
    log = out / "a" / "logs" / "notebook.log"
    with start(*submit) as head:
        wait(lambda: job.events(log))
        refused = command(*submit)
        assert refused.returncode == 1
        assert re.search(
            rf"is held by process {head.pid} of .* since 20.*Wait for it, or stop it", refused.stderr
        )
        head.send_signal(signal.SIGKILL)
        # Not `communicate`: the job outlives its head, and holds the pipe.
        head.wait(60)
        assert job.running(log), "the job should go on without its head"
        again = command(*submit, timeout=240)
        assert again.returncode == 0, again.stderr
    assert starts(out) == {"a notebook": 1, "b notebook": 1}
    # Where the second head was quick, its own job waited for the first one's end.
    assert [event["event"] for event in job.events(log)][:2] == ["start", "end"]
    assert set(pd.read_parquet(out / "table.parquet")["status"]) == {"ok"}
    assert not (out / "head.json").exists()


def test_ctrl_c_ends_it_in_order(write, notebook, start, tmp_path):
    out = tmp_path / "out"
    with start("submit", write("sample|run|seconds", "a|toy.ipynb|100"), "--out", out) as head:
        wait(lambda: (out / "a" / "manifest.json").is_file())
        head.send_signal(signal.SIGINT)
        _, errors = head.communicate(timeout=120)
    assert head.returncode == 130
    assert "ntviz: interrupted; what was finished is kept" in errors
    assert not job.running(out / "a" / "logs" / "notebook.log")
    assert not (out / "head.json").exists()
    table = pd.read_parquet(out / "table.parquet")
    assert table["status"].tolist() == ["interrupted"]


def test_a_dry_run_shows_jobs_and_forecasts_and_writes_nothing(write, notebook, command, tmp_path):
    for number, seconds in enumerate((10.0, 90.0, 30.0)):
        place = tmp_path / "runs" / "toy" / str(number)
        place.mkdir(parents=True)
        facts = {"seconds": seconds, "profile": "ci", "peak_memory_bytes": 2_000_000_000 * (number + 1)}
        Manifest("ok", "toy", started="2026-11-26T08:00:00+00:00", **facts).write(place)
    out = tmp_path / "out"
    path = write("sample|run|profile", "a|toy.ipynb|", "b|toy.ipynb|full")
    answer = command("submit", path, "--out", out, "--dry-run", "--jobs", 1, "--cores", 2)
    assert answer.returncode == 0, answer.stderr
    header, a, b, total = answer.stdout.splitlines()
    assert header.split() == [
        "sample",
        "run",
        "job",
        "state",
        "time",
        "memory",
        "asked",
        "for",
        "forecast",
        "from",
    ]
    # The median time and the largest memory; half as much again is asked for.
    assert re.split(r" {2,}", a)[:6] == ["a", "toy", "notebook", "to do", "30 s", "6,000 MB"]
    assert re.split(r" {2,}", a)[6:] == ["9,000 MB, 1,440 min", "median of 3 earlier runs"]
    assert re.split(r" {2,}", b)[4:] == ["-", "-", "2,000 MB, 1,440 min", "no earlier run at profile full"]
    assert total == "2 jobs, 0 done, 2 to do, 1 at once, 2 cores each; 30 s at least; no forecast for 1"
    assert not out.exists()


def test_a_bad_sheet_is_refused_before_anything_is_written(write, command, tmp_path):
    path = write("sample|run|in", "a|score|in.vcf", "a|scare|")
    answer = command("submit", path, "--out", tmp_path / "out")
    assert answer.returncode == 2
    assert "row 2: what 'in' names must be there" in answer.stderr
    assert "row 3: a notebook must be a file, but scare is not there" in answer.stderr
    assert not (tmp_path / "out").exists()


def test_without_snakemake_it_says_what_to_type(write, notebook, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "snakemake", None)
    with pytest.raises(
        submitting.EngineError, match=r"snakemake, but it is not installed. Type: pip install 'ntviz\[hpc\]'"
    ):
        submitting.prepare(write("sample|run", "a|toy.ipynb"), tmp_path / "out")


def test_the_partition_must_be_one_of_the_cluster(write, notebook, monkeypatch, tmp_path):
    path = write("sample|run", "a|toy.ipynb")
    tools = tmp_path / "bin"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools))

    def prepare(**given):
        given = {"kernel": kernel.HERE, **given}
        return submitting.prepare(path, tmp_path / "out", profile="slurm", given=given)

    with pytest.raises(submitting.EngineError, match="sinfo is not on the PATH. Submit from a login node"):
        prepare()
    sinfo = tools / "sinfo"
    sinfo.write_text(SINFO)
    sinfo.chmod(0o755)
    with pytest.raises(ValueError, match="'gpus' is not. It has gpu, long: choose with --partition"):
        prepare(partition="gpus")
    settled = prepare(partition="long", gpus=2, minutes=90)
    assert settled.config["job"] | {"partition": "long", "gpus": 2} == settled.config["job"]
    assert settled.config["samples"]["a"]["minutes"] == 90
    assert settled.config["samples"]["a"]["command"][-2:] == ["--kernel", "python3"]
    assert settled.at_once == 100
    assert prepare().config["job"]["partition"] == ""
    sinfo.write_text(SINFO.replace("*", ""))
    with pytest.raises(ValueError, match="no default partition, but none was named. Choose of gpu, long"):
        prepare()
    sinfo.write_text("#!/bin/sh\necho 'unable to contact slurm controller' >&2\nexit 1\n")
    with pytest.raises(submitting.EngineError, match="sinfo said 'unable to contact slurm controller'"):
        prepare()


def test_profiles_and_numbers_are_checked(write, notebook, tmp_path):
    path = write("sample|run", "a|toy.ipynb")

    def prepare(profile="local", **given):
        return submitting.prepare(path, tmp_path / "out", profile=str(profile), given=given)

    with pytest.raises(FileNotFoundError, match="a profile must be one of local, slurm, or a folder"):
        prepare("pbs")
    with pytest.raises(ValueError, match="cores must be a whole number of at least 0, but -1 came"):
        prepare(cores=-1)
    with pytest.raises(ValueError, match="memory_mb must be a whole number of at least 100, but 10 came"):
        prepare(memory_mb=10)
    with pytest.raises(ValueError, match="a kernel must be registered to be used, but 'no-such' is not"):
        prepare(kernel="no-such")
    own = tmp_path / "site"
    own.mkdir()
    (own / "config.yaml").write_text("keep-going: true\n")
    (own / "job.yaml").write_text("minutes: 30\ncores: 3\n")
    settled = prepare(own, minutes=None)
    assert (settled.config["job"]["minutes"], settled.config["job"]["cores"], settled.at_once) == (30, 3, 1)
    assert settled.profile == own
    (own / "job.yaml").write_text("walltime: 30\n")
    with pytest.raises(ValueError, match="may set cores, .*, but walltime came. Take it out"):
        prepare(own)
    (own / "job.yaml").write_text("kernel: 3\n")
    with pytest.raises(ValueError, match="kernel must be text, but 3 came. Put it into quotes"):
        prepare(own)
    (own / "job.yaml").write_text("- a\n")
    with pytest.raises(ValueError, match="must hold names and values, but it holds list"):
        prepare(own)
    (own / "job.yaml").unlink()
    (own / "config.yaml").write_text("executor: kubernetes\n")
    with pytest.raises(
        submitting.EngineError, match="snakemake-executor-plugin-kubernetes, but it is not installed"
    ):
        prepare(own)


def test_marks_of_other_commands_and_of_lost_results_are_swept(write, notebook, tmp_path):
    path = write("sample|run|count", "a|toy.ipynb|4")
    out = tmp_path / "out"
    first = submitting.prepare(path, out)
    [only] = first.every_job
    assert job.run(only.words, log=only.log, done=only.done, cwd=tmp_path) == 0
    assert only.state == "done"
    assert jobs.sweep(out, first.config) == []
    other = submitting.prepare(write("sample|run|count", "a|toy.ipynb|5"), out)
    assert other.every_job[0].state == "to do"
    assert [swept.sample for swept in jobs.sweep(out, other.config)] == ["a"]
    assert not only.done.exists()
    assert job.run(only.words, log=only.log, done=only.done, cwd=tmp_path) == 0
    (out / "a" / "report.html").unlink()
    assert [swept.name for swept in jobs.sweep(out, first.config)] == ["notebook"]


def test_the_workflow_is_one_that_snakemake_likes(write, notebook, tmp_path):
    """Without ntviz in front: the Snakefile by hand, as an operator would run it."""
    submission = submitting.prepare(write("sample|run", "a|toy.ipynb"), tmp_path / "out", given={"cores": 1})
    submission.folder.mkdir()
    (submission.folder / "config.yaml").write_text(yaml.safe_dump(submission.config))
    top = submitting.workflow_dir()
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        top / "Snakefile",
        "--profile",
        top / "profiles" / "local",
    ]
    command += ["--directory", submission.folder, "--cores", "1"]
    variables = os.environ | {"PYTHONPATH": str(top.parent)}
    listed = subprocess.run(
        [*command, "--dry-run", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        env=variables,
        timeout=120,
    )
    assert listed.returncode == 0, listed.stderr
    (submission.folder / "config.yaml").write_text(yaml.safe_dump(submission.config | {"job": {}}))
    refused = subprocess.run(
        [*command, "--dry-run"], capture_output=True, text=True, check=False, env=variables, timeout=120
    )
    assert refused.returncode != 0
    assert "'cores' is a required property" in refused.stdout + refused.stderr
