"""`ntviz submit` with a real Snakemake on this machine: what is run, what is redone, and the message when something fails."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import huggingface_hub
import nbformat
import pandas as pd
import psutil
import pytest
import torch
import yaml
from typer.testing import CliRunner

from ntviz import cli, data, environment, models
from ntviz.models import checkpoints
from ntviz.reference import Reference
from ntviz.runs import engine, execute, jobs, kernel, manifest, submitting

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
    submit = ("submit", write(options, scored, "bad|toy.ipynb|||||||7"), "--out", out, "--jobs", 2, "--cores", 1)
    first = command(*submit, timeout=400)
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
    assert vcf["core_hours"] == pytest.approx(vcf["seconds"] / 3600, abs=1e-5)
    assert (vcf["metric.alleles"], vcf["metric.alleles ok"]) == (8, 8)
    assert error.count("seven is not") == 1 and error.endswith(f"\nlog: {log}")
    page = (out / "index.html").read_text()
    assert 'href="bad/report.html"' in page and "seven is not &lt;b&gt;counted&lt;/b&gt;" in page

    # A shard's mark and a piece are lost, the failing sample is mended: these alone are run. What was touched has not changed.
    merged = (out / "vcf" / "scored.vcf.gz").read_bytes()
    pieces = sorted((out / "vcf" / "pieces").rglob("*.npz"))
    lost, *_ = pieces
    assert len(pieces) == 4
    lost.unlink()
    (out / "vcf" / "marks" / "shard-2-of-2.json").unlink()
    os.utime(tmp_path / "in.vcf")
    kept = {path: path.stat().st_mtime_ns for path in pieces if path != lost}
    write(options, scored, "bad|toy.ipynb|||||||8")
    second = command(*submit, timeout=400)
    assert second.returncode == 0, second.stderr
    twice = marks(out)
    redone = {name for name in twice if twice[name] != once.get(name)}
    assert redone == {"bad notebook", "vcf merge", "vcf shard-2-of-2"}
    assert lost.is_file()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert (out / "vcf" / "scored.vcf.gz").read_bytes() == merged
    table = pd.read_parquet(out / "table.parquet").set_index("run")
    assert (set(table["status"]), table.loc["bad", "metric.total"]) == ({"ok"}, 16)
    third = CliRunner().invoke(cli.app, [*map(str, submit), "--dry-run"])
    assert third.stdout.endswith("4 jobs, 4 done, 0 to do, 2 at once, 1 cores each\n")


def test_a_killed_head_loses_nothing_and_two_heads_are_one_too_many(write, notebook, start, command, tmp_path):
    out = tmp_path / "out"
    path = write("sample|run|seconds", "a|toy.ipynb|", "b|toy.ipynb|100")
    submit = ("submit", path, "--out", out, "--jobs", 2, "--cores", 1)
    with start(*submit) as head:
        wait(lambda: marks(out) and (out / "b" / "manifest.json").is_file())
        submission = submitting.prepare(path, out, given={"jobs": 2, "cores": 1})
        locked = "is locked by Snakemake: another one works there, or was killed. Wait .* add --unlock"
        with pytest.raises(submitting.EngineError, match=locked):
            submitting.start(submission)
        head.send_signal(signal.SIGKILL)
        # Not `communicate`: the job outlives its head, and holds the pipe.
        head.wait(60)
        done, facts = marks(out), manifest.read(out / "b")
        assert facts.alive
        runs = f"but b still runs in process {facts.pid}. Wait for it, or stop"
        with pytest.raises(submitting.EngineError, match=runs):
            submitting.start(submission, unlock=True)
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
    nowhere = {"HOME": str(tmp_path / "toy.ipynb" / "home")}  # which nobody can write to
    with start("submit", path, "--out", out, start_new_session=True, variables=nowhere) as head:
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

    def done(job):
        jobs.mark(job.mark, job.words, job.parts())

    done(job)
    (out / "a" / "report.html").write_text("")
    assert job.state == "done"
    assert jobs.sweep(out, submission.config) == []
    other = submitting.prepare(write("sample|run|count", "a|toy.ipynb|5"), out)
    assert (other.every_job[0].state, other.every_job[0].why) == ("interrupted", "command changed")
    assert jobs.sweep(out, other.config) == other.every_job
    done(job)
    (out / "a" / "report.html").unlink()
    assert job.why == "report.html is gone"
    assert jobs.sweep(out, submission.config) == [job]
    assert not job.mark.exists()
    (out / "a" / "report.html").write_text("")
    job.mark.write_text("{")
    assert job.why == "its mark cannot be read"


def changed_bytes(path: Path) -> None:
    """Other content of the same length and with the times of before, as rsync -t and restored backups leave it."""
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_is_done_is_known_by_content_and_the_dry_run_asks_what_the_run_asks(write, monkeypatch, tmp_path):
    variants(tmp_path / "in.vcf")
    model = tmp_path / "tiny"
    model.mkdir()
    for name in ("config.json", "model.safetensors"):
        (model / name).write_text('{"tiny": 1}')
    path, out = write("sample|run|shards|in|model", "a|score|2|in.vcf|tiny", "b|score||in.vcf|"), tmp_path / "out"

    def prepare(**options):
        return submitting.prepare(path, out, **options)

    def why():
        """Of each job, as the dry run says it."""
        said = CliRunner().invoke(cli.app, ["submit", str(path), "--out", str(out), "--dry-run"])
        return [re.split(r" {2,}", line)[5:] for line in said.stdout.splitlines()[1:5]]

    def do_all():
        for job in prepare().every_job:
            jobs.mark(job.mark, job.words, job.parts())
            (out / job.sample / "scored.vcf.gz").write_text("")

    assert why() == [["not done yet"]] * 4
    do_all()
    os.utime(tmp_path / "in.vcf")  # a later time is no other content
    assert why() == [[]] * 4
    assert jobs.sweep(out, prepare().config) == []
    changed_bytes(model / "model.safetensors")
    shards = ["weights of tiny changed"]
    assert why() == [shards, shards, ["shard 1 of 2 is to do"], []]
    kept = prepare(keep=True)
    assert [bool(job.why) for job in kept.every_job] == [False] * 4
    said = CliRunner().invoke(cli.app, ["submit", str(path), "--out", str(out), "--dry-run", "--keep"])
    assert "kept: a, shard 1 of 2: weights of tiny changed\n" in said.stderr and "4 done, 0 to do" in said.stdout
    assert jobs.sweep(out, kept.config) == []
    assert [job.name for job in jobs.sweep(out, prepare().config)] == ["shard 1 of 2", "shard 2 of 2", "merge"]
    do_all()
    changed_bytes(tmp_path / "in.vcf")
    assert why()[3] == ["in.vcf changed"]
    do_all()
    changed_bytes(model / "config.json")
    assert why()[0] == ["weights of tiny changed"]
    do_all()
    monkeypatch.setattr(jobs.importlib.metadata, "version", lambda name: "9.0")
    assert why()[3] == ["ntviz 0.1.0 -> 9.0"]


def test_an_input_that_changes_under_a_job_is_said_and_the_job_is_not_done(write, notebook, tmp_path):
    submission = submitting.prepare(write("sample|run|count", "a|toy.ipynb|4"), tmp_path / "out")
    [job] = submission.every_job

    def edits(words, log):
        changed_bytes(tmp_path / "toy.ipynb")
        return 0

    assert jobs._run(job, 1, edits) == 1
    assert job.state == "failed"
    assert job.failure() == "toy.ipynb changed while it ran. Submit it again"
    assert jobs._run(job, 1, lambda words, log: 0) == 0
    assert job.mark.is_file()


def test_an_error_of_the_user_is_not_tried_again_on_a_gpu_and_merges_ask_for_none(write, notebook, tmp_path):
    variants(tmp_path / "in.vcf")
    path = write("sample|run|shards|in|gpu_model", "a|toy.ipynb|||a100", "b|score|2|in.vcf|", "c|score||in.vcf|")
    submission = submitting.prepare(path, tmp_path / "out", given={"gpus": 1})
    a, b1, _, b, c = submission.every_job
    asked = [jobs.asked(job, submission.config) for job in (a, b1, b, c)]
    assert [(job["gpu"], job["gpu_model"]) for job in asked] == [(1, "a100"), (1, ""), (0, ""), (1, "")]
    assert b.words[-2:] == ("--device", "cpu")
    for code, gpus in ((1, 1), (2, 0)):
        assert jobs._run(a, 1, lambda words, log, code=code: code) == code
        assert jobs.asked(a, submission.config, attempt=2)["gpu"] == gpus
        assert jobs.asked(a, submission.config)["gpu"] == 1  # a new submission may have been mended
    assert jobs._run(a, 2, None) == 2  # nothing is started


def test_rows_of_a_pack_run_in_one_kernel_and_one_that_fails_stops_no_other(write, notebook, tmp_path):
    out = tmp_path / "out"
    again = "run.record(pid=os.getpid(), left='left' in globals())\nleft = 1"
    cells = nbformat.read(tmp_path / "toy.ipynb", 4)
    cells.cells.insert(3, nbformat.v4.new_code_cell(f"import os\n{again}"))
    nbformat.write(cells, tmp_path / "toy.ipynb")
    path = write("sample|run|count", "a|toy.ipynb|4", "b|toy.ipynb|7", "c|toy.ipynb|5", "d|00_start|")
    submission = submitting.prepare(path, out, pack=3)
    assert submission.config["packs"] == {"pack 1 of 2": ["a", "b", "c"], "pack 2 of 2": ["d"]}
    a, b, c, _ = submission.every_job
    pack = jobs.scheduled(out, submission.config)[0]
    assert jobs.asked(pack, submission.config)["runtime"] == 3 * 1440
    submitting._write(out, submission.config)

    def run():
        words = [sys.executable, "-m", "ntviz.runs.jobs", jobs.PACKS, "pack-1-of-2", "1"]
        done = subprocess.run(words, cwd=out, env=os.environ | {"PYTHONPATH": str(submitting.workflow_dir().parent)})
        return done.returncode

    assert run() == 1
    assert [job.state for job in (a, b, c)] == ["done", "failed", "done"]
    assert b.failure() == "AssertionError: seven is not <b>counted</b>"
    facts = [manifest.read(out / name) for name in "abc"]
    assert [run.metrics["total"] for run in facts] == [8, 14, 10]
    assert [run.metrics["left"] for run in facts] == [False] * 3
    assert len({run.metrics["pid"] for run in facts}) == 1
    before = marks(out)
    write("sample|run|count", "a|toy.ipynb|4", "b|toy.ipynb|8", "c|toy.ipynb|5", "d|00_start|")
    submission = submitting.prepare(path, out, pack=3)
    submitting._write(out, submission.config)
    assert run() == 0
    assert before.items() < marks(out).items()
    # A pack whose rows are all done is done, whoever did them.
    pack.mark.unlink()
    jobs.sweep(out, submission.config)
    assert pack.mark.is_file()


def test_a_shared_kernel_loads_a_model_once_unless_it_was_changed(monkeypatch):
    monkeypatch.setattr(checkpoints, "kept", {})
    opened = []
    monkeypatch.setattr(environment.files, "openings", [opened.append])
    monkeypatch.setattr(environment, "openings", environment.files.openings)
    first = models.load("ntviz-mini", device="cpu")
    files = list(opened)
    assert {"config.json", "model.safetensors"} <= {path.name for path in files}
    # Each run has the files in its manifest.
    assert models.load("ntviz-mini", device="cpu") is first and opened == files + files
    assert models.load("ntviz-mini", device="cpu", dtype="bfloat16") is not first
    with torch.no_grad():
        next(first.module.parameters()).mul_(2)
    assert models.load("ntviz-mini", device="cpu") is not first


def test_the_python_of_a_shared_kernel_is_asked_once(write, notebook, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(kernel, "ready", lambda name: asked.append(name) or name)
    for shared in (None, {}, {"ntviz": None}):
        monkeypatch.setattr(engine, "_shared", shared)
        execute._unlock(execute.prepare(notebook, kernel="ntviz", out=tmp_path / "run").lock)
    assert asked == ["ntviz"] * 2


def test_what_a_submission_asks_of_models_fetches_nothing(monkeypatch):
    asked = []

    def download(name, **options):
        asked.append(options["local_files_only"])
        raise FileNotFoundError

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert jobs._contents(Path(), {"models": ["v2-50m"], "inputs": []}) == {"weights of v2-50m": ""}
    assert asked == [True]
    # A job may fetch them; then they are known.
    assert jobs.changed({"weights of v2-50m": ""}, {"weights of v2-50m": "a"}) == []


def test_other_rows_ask_for_what_the_pilot_measured(write, notebook, monkeypatch, tmp_path):
    out = tmp_path / "out"
    path = write("sample|run|count|minutes", "a|toy.ipynb|4|", "b|toy.ipynb|5|", "c|toy.ipynb|6|90")

    def prepare():
        return submitting.prepare(path, out, pilot="a", pack=2)

    submission = prepare()
    assert submission.unmeasured and submission.config["packs"] == {"pack 1 of 1": ["b", "c"]}
    said = CliRunner().invoke(cli.app, ["submit", str(path), "--out", str(out), "--pilot", "a", "--dry-run"])
    assert "2 rows ask for what it will measure, by the pilot a" in said.stdout
    calls = []

    def snakemake(arguments, folder):
        calls.append((arguments[0], yaml.safe_load((folder / "config.yaml").read_text())["samples"]))
        [job, *_] = submission.every_job
        jobs._run(job, 1, lambda words, log: 0)
        job.benchmark.parent.mkdir(exist_ok=True)
        job.benchmark.write_text("s\th:m:s\tmax_rss\n605.0\t0:10:05\t3000.5\n")
        (out / "a" / "report.html").write_text("")
        return 0

    monkeypatch.setattr(submitting, "_snakemake", snakemake)
    assert submitting.start(submission) == 0
    (first, before), (second, after) = calls
    assert (first, second) == ("a/marks/notebook.json", "--snakefile")
    asks = [[rows[name][key] for name in "abc"] for rows in (before, after) for key in ("memory_mb", "minutes")]
    assert asks == [[2000] * 3, [1440, 1440, 90], [2000, 4501, 4501], [1440, 21, 90]]
    assert not prepare().unmeasured
    said = CliRunner().invoke(cli.app, ["submit", str(path), "--out", str(out), "--pilot", "a", "--dry-run"])
    assert "2 rows ask for 4,501 MB and 21 min, by the pilot a" in said.stdout
    with pytest.raises(ValueError, match="--pilot must be a sample .* 'x' is not. It has a, b, c"):
        submitting.prepare(path, out, pilot="x")


def test_the_page_is_rewritten_while_jobs_run(write, notebook, monkeypatch, tmp_path):
    out = tmp_path / "out"
    monkeypatch.setattr(submitting, "_LOOK_EVERY", 0.05)
    submission = submitting.prepare(write("sample|run", "a|toy.ipynb", "b|toy.ipynb"), out)
    submitting._write(out, submission.config)
    with submitting._indexed(out):
        for job in submission.every_job:
            jobs._run(job, 1, lambda words, log: 0)
            (out / job.sample / "report.html").write_text("")
            wait(lambda name=job.sample: f'<a href="{name}/report.html">' in page(out), 30)


def page(out: Path) -> str:
    return (out / "index.html").read_text() if (out / "index.html").exists() else ""


def test_a_dry_run_shows_jobs_and_writes_nothing(write, notebook, tmp_path):
    out = tmp_path / "out"
    path = write("sample|run|profile|memory|minutes", "a|toy.ipynb|||", "b|toy.ipynb|full|64000|90")
    words = ["submit", path, "--out", out, "--dry-run", "--jobs", 1, "--cores", 2]
    answer = CliRunner().invoke(cli.app, list(map(str, words)))
    assert answer.exit_code == 0, answer.stderr
    header, a, b, total = answer.stdout.splitlines()
    assert re.split(r" {2,}", header) == ["sample", "run", "job", "state", "asked for", "why"]
    assert re.split(r" {2,}", a) == ["a", "toy", "notebook", "to do", "2,000 MB, 1,440 min", "not done yet"]
    assert "64,000 MB, 90 min" in b
    assert total == "2 jobs, 0 done, 2 to do, 1 at once, 2 cores each"
    assert not out.exists()


def test_a_bad_sheet_is_refused_before_anything_is_written(write, tmp_path):
    path = write("sample|run|in", "a|score|in.vcf", "a|scare|")
    answer = CliRunner().invoke(cli.app, ["submit", str(path), "--out", str(tmp_path / "out")])
    assert answer.exit_code == 2
    assert "row 2: what 'in' names must be there" in answer.stderr
    assert "row 3: a notebook must be a file, but scare is not there" in answer.stderr
    assert not (tmp_path / "out").exists()


def test_the_partition_must_be_one_of_the_cluster(write, notebook, monkeypatch, tmp_path):
    path = write("sample|run", "a|toy.ipynb")
    pytest.importorskip("snakemake_executor_plugin_slurm.validation")  # it looks for programs when it is imported
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
    site = prepare(slurm="--qos=short -C 'a100|h100' --exclusive --nice=5").config["site"]
    assert site == {"qos": "short", "constraint": "a100|h100", "slurm_extra": "--exclusive --nice=5"}
    with pytest.raises(ValueError, match="--slurm must be .* but the memory is set by ntviz: see --cores"):
        prepare(slurm="--mem=5G")
    with pytest.raises(ValueError, match="--slurm must be options as in .* but 'short' came"):
        prepare(slurm="short")
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
    with pytest.raises(ValueError, match="--slurm is for jobs of Slurm, but this profile has none"):
        prepare(slurm="--qos=short")
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
    with pytest.raises(
        submitting.EngineError, match=r"plugin-kubernetes, but it is not installed. Type: pip install 'ntviz\[hpc\]'"
    ):
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
