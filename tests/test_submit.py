"""`ntviz submit` with a real Snakemake on this machine: what is run, what is redone, and the message when something fails."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml

from ntviz import data
from ntviz.reference import Reference
from ntviz.runs import jobs, kernel, manifest, submitting

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


def variants(path: Path) -> None:
    """Eight substitutions of the bundle's chromosome 20, 150 bp apart."""
    bases = Reference(data.bundle("chr20"))
    rows = ["##fileformat=VCFv4.3", "##contig=<ID=20,length=63025520>"]
    rows += ["#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    for pos in range(42_984_000, 42_985_200, 150):
        ref = bases.fetch(f"chr20:{pos}-{pos}").sequence
        rows.append(f"20\t{pos}\t.\t{ref}\t{'ACGT'.replace(ref, '')[pos % 3]}\t.\tPASS\t.")
    path.write_text("\n".join(rows) + "\n")


def marks(out: Path) -> dict[str, int]:
    """When each job was done, by sample and job."""
    return {f"{path.parts[-3]} {path.stem}": path.stat().st_mtime_ns for path in out.glob("*/marks/*.json")}


def wait(condition, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to that in time"
        time.sleep(0.1)


def test_what_is_done_is_kept_and_what_is_lost_or_mended_is_redone_alone(write, notebook, command, tmp_path):
    variants(tmp_path / "in.vcf")
    options = "sample|run|shards|in|piece|background|window|scores|count"
    scored = "vcf|score|2|in.vcf|2|no|600|llr|"
    out = tmp_path / "out"
    submit = ("submit", write(options, scored, "bad|toy.ipynb|||||||7"), "--out", out)
    first = command(*submit, "--jobs", 2, "--cores", 1, timeout=400)
    assert first.returncode == 1, first.stderr
    log = out / "bad" / "logs" / "notebook.log"
    why = f"failed: bad, notebook: AssertionError: seven is not <b>counted</b>\n  log: {log}\n"
    assert why in first.stderr
    assert "ntviz: 1 jobs failed; mend what is said above" in first.stderr
    # The others went on to their ends.
    once = marks(out)
    assert set(once) == {"vcf merge", "vcf shard-1-of-2", "vcf shard-2-of-2"}
    table = pd.read_parquet(out / "table.parquet").set_index("run")
    assert table["status"].to_dict() == {"bad": "failed", "vcf": "ok"}
    vcf, error = table.loc["vcf"], table.loc["bad", "error"]
    assert vcf["report"] == str(out / "vcf" / "scored.vcf.gz")
    assert vcf["peak_memory_mb"] > 50 and vcf["seconds"] > 1
    assert abs(pd.Timestamp(vcf["started"]) - pd.Timestamp.now("UTC")) < pd.Timedelta("10min")
    assert error.count("seven is not") == 1 and error.endswith(f"\nlog: {log}")
    page = (out / "index.html").read_text()
    assert 'href="bad/report.html"' in page and "seven is not &lt;b&gt;counted&lt;/b&gt;" in page

    # A shard's mark and one of its pieces are lost, the failing sample is mended: these alone are run.
    merged = (out / "vcf" / "scored.vcf.gz").read_bytes()
    pieces = sorted((out / "vcf" / "pieces").rglob("*.npz"))
    asked = ("in.vcf", "--piece", 2, "--no-background", "--window", 600, "--scores", "llr", "--out")
    words = ("score", *asked, tmp_path / "alone" / "scored.vcf.gz", "--cache", tmp_path / "cache")
    # One thread each, as in the jobs: another number may change a last digit.
    alone = {"cwd": tmp_path, "variables": {"OMP_NUM_THREADS": "1"}}
    assert command(*words, "--shard", "2/2", **alone).returncode == 0
    theirs = {path.name for path in (tmp_path / "cache").rglob("*.npz")}
    lost, *_ = (path for path in pieces if path.name in theirs)
    assert (len(pieces), len(theirs)) == (4, 2)
    lost.unlink()
    (out / "vcf" / "marks" / "shard-2-of-2.json").unlink()
    kept = {path: path.stat().st_mtime_ns for path in pieces if path != lost}
    write(options, scored, "bad|toy.ipynb|||||||8")
    second = command(*submit, "--jobs", 2, "--cores", 1, timeout=400)
    assert second.returncode == 0, second.stderr
    twice = marks(out)
    redone = {name for name in twice if twice[name] != once.get(name)}
    assert redone == {"bad notebook", "vcf merge", "vcf shard-2-of-2"}
    assert lost.is_file()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    # The merge had to compute nothing.
    assert (out / "vcf" / "logs" / "merge.log").read_text().count("(0 sequences read") == 1
    assert (out / "vcf" / "scored.vcf.gz").read_bytes() == merged
    table = pd.read_parquet(out / "table.parquet").set_index("run")
    assert (set(table["status"]), table.loc["bad", "metric.total"]) == ({"ok"}, 16)

    # The merged file is that of commands without a workflow, and once more nothing is left to do.
    assert command(*words, **alone).returncode == 0
    assert (tmp_path / "alone" / "scored.vcf.gz").read_bytes() == merged
    third = command(*submit)
    assert third.returncode == 0
    assert "4 jobs, 4 done, 0 to do" in third.stderr
    assert marks(out) == twice


def test_a_killed_head_loses_nothing_and_two_heads_are_one_too_many(write, notebook, start, command, tmp_path):
    out = tmp_path / "out"
    path = write("sample|run|seconds", "a|toy.ipynb|", "b|toy.ipynb|100")
    submit = ("submit", path, "--out", out, "--jobs", 2, "--cores", 1)
    with start(*submit) as head:
        wait(lambda: marks(out) and (out / "b" / "manifest.json").is_file())
        refused = command(*submit)
        assert refused.returncode == 1
        assert "is locked by Snakemake: another one works there, or was killed. Wait" in refused.stderr
        assert "add --unlock" in refused.stderr
        head.send_signal(signal.SIGKILL)
        # Not `communicate`: the job outlives its head, and holds the pipe.
        head.wait(60)
        done, facts = marks(out), manifest.read(out / "b")
        assert facts.alive
        twice = command(*submit, "--unlock")
        assert twice.returncode == 1
        assert f"but b still runs in process {facts.pid}. Wait for it, or stop it" in twice.stderr
        left = psutil.Process(facts.pid)
        left.terminate()
        left.wait(60)
    write("sample|run|seconds", "a|toy.ipynb|", "b|toy.ipynb|0")
    again = command(*submit, "--unlock", timeout=240)
    assert again.returncode == 0, again.stderr
    assert marks(out) == marks(out) | done
    assert set(pd.read_parquet(out / "table.parquet")["status"]) == {"ok"}
    assert not jobs.locked(out)


def test_ctrl_c_ends_it_in_order(write, notebook, start, tmp_path):
    out = tmp_path / "out"
    path = write("sample|run|seconds", "a|toy.ipynb|100")
    with start("submit", path, "--out", out, start_new_session=True) as head:
        wait(lambda: (out / "a" / "manifest.json").is_file())
        # As a terminal does: to all that runs in it.
        os.killpg(head.pid, signal.SIGINT)
        _, errors = head.communicate(timeout=120)
    assert head.returncode == 130
    assert "ntviz: interrupted; what was finished is kept" in errors
    assert not jobs.locked(out)
    assert not manifest.read(out / "a").alive
    table = pd.read_parquet(out / "table.parquet")
    assert table["status"].tolist() == ["interrupted"]


def test_how_jobs_stand_is_read_from_marks_logs_and_snakemakes_files(write, notebook, tmp_path):
    out = tmp_path / "out"
    submission = submitting.prepare(write("sample|run|count", "a|toy.ipynb|4"), out)
    [job] = submission.every_job
    assert (job.state, job.failure()) == ("to do", "")
    job.log.parent.mkdir(parents=True)
    job.log.write_text("ntviz: it was the wrong cell\n\nended with code 2\n")
    assert (job.state, job.failure()) == ("failed", "it was the wrong cell")
    job.log.write_text("3 of 8\nended with code 137\n")
    assert job.failure() == "it ended with code 137"
    job.log.write_text("3 of 8\n")
    assert job.failure() == "it ended without a word: killed, cancelled, out of memory, or out of time"
    begun = out / ".snakemake" / "incomplete" / "YS9tYXJrcy9ub3RlYm9vay5qc29u"
    lock = out / ".snakemake" / "locks" / "0.output.lock"
    for file in (begun, lock):
        file.parent.mkdir(parents=True)
        file.write_text("{}")
    assert (job.state, job.failure()) == ("running", "")
    lock.unlink()
    assert (job.state, job.failure()) == ("interrupted", "the submission that ran it has ended")

    jobs.mark(job.mark, job.words)
    assert job.state == "done"
    (out / "a" / "report.html").write_text("")
    assert jobs.sweep(out, submission.config) == []
    other = submitting.prepare(write("sample|run|count", "a|toy.ipynb|5"), out)
    assert other.every_job[0].state == "interrupted"
    assert jobs.sweep(out, other.config) == other.every_job
    jobs.mark(job.mark, job.words)
    (out / "a" / "report.html").unlink()
    assert jobs.sweep(out, submission.config) == [job]
    assert not job.mark.exists()
    job.mark.write_text("{")
    assert not job.finished


def test_a_dry_run_shows_jobs_and_writes_nothing(write, notebook, command, tmp_path):
    out = tmp_path / "out"
    path = write("sample|run|profile|memory|minutes", "a|toy.ipynb|||", "b|toy.ipynb|full|64000|90")
    answer = command("submit", path, "--out", out, "--dry-run", "--jobs", 1, "--cores", 2)
    assert answer.returncode == 0, answer.stderr
    header, a, b, total = answer.stdout.splitlines()
    assert header.split() == ["sample", "run", "job", "state", "asked", "for"]
    assert re.split(r" {2,}", a) == ["a", "toy", "notebook", "to do", "2,000 MB, 1,440 min"]
    assert b.endswith("64,000 MB, 90 min")
    assert total == "2 jobs, 0 done, 2 to do, 1 at once, 2 cores each"
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
    with pytest.raises(submitting.EngineError, match=r"not installed. Type: pip install 'ntviz\[hpc\]'"):
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
    assert settled.config["samples"]["a"]["words"][-2:] == ("--kernel", "python3")
    assert settled.config["job"]["jobs"] == 100
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
    with pytest.raises(ValueError, match="cores must fit config.schema.yaml, but -1 is less than"):
        prepare(cores=-1)
    with pytest.raises(ValueError, match="memory_mb must fit .* but 10 is less than the minimum of 100"):
        prepare(memory_mb=10)
    with pytest.raises(ValueError, match="a kernel must be registered to be used, but 'no-such' is not"):
        prepare(kernel="no-such")
    own = tmp_path / "site"
    own.mkdir()
    (own / "config.yaml").write_text("keep-going: true\n")
    (own / "job.yaml").write_text("minutes: 30\ncores: 3\n")
    settled = prepare(own, minutes=None)
    assert [settled.config["job"][name] for name in ("minutes", "cores", "jobs")] == [30, 3, 1]
    assert settled.profile == own
    (own / "job.yaml").write_text("walltime: 30\n")
    with pytest.raises(ValueError, match="job.yaml must fit .*'walltime' was unexpected"):
        prepare(own)
    (own / "job.yaml").write_text("kernel: 3\n")
    with pytest.raises(ValueError, match="kernel must fit .* but 3 is not of type 'string'"):
        prepare(own)
    (own / "job.yaml").write_text("- a\n")
    with pytest.raises(ValueError, match="must hold names and values, but it holds list"):
        prepare(own)
    (own / "job.yaml").unlink()
    (own / "config.yaml").write_text("executor: kubernetes\n")
    with pytest.raises(submitting.EngineError, match="plugin-kubernetes, but it is not installed"):
        prepare(own)


def test_the_workflow_by_hand_holds_its_config_to_the_schema(write, notebook, tmp_path):
    submission = submitting.prepare(write("sample|run", "a|toy.ipynb"), tmp_path / "out", given={"cores": 1})
    submission.folder.mkdir()
    (submission.folder / "config.yaml").write_text(yaml.safe_dump(submission.config | {"job": {}}))
    top = submitting.workflow_dir()
    words = [sys.executable, "-m", "snakemake", "--snakefile", top / "Snakefile", "--dry-run", "--quiet"]
    words += ["--profile", top / "profiles" / "local", "--directory", submission.folder, "--cores", "1"]
    variables = os.environ | {"PYTHONPATH": str(top.parent)}
    answer = subprocess.run(words, capture_output=True, text=True, check=False, env=variables, timeout=240)
    assert answer.returncode != 0
    assert "'cores' is a required property" in answer.stdout + answer.stderr
