"""`ntviz run`: exit codes, what is left behind, interruption, dead kernels and full disks."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from ntviz import cli, runs, storage
from ntviz.runs import collect, engine, execute, kernel, manifest, rerun

PARAMETERS = """\
chrom: str = "20"  # contig
window: int = 1_000  # bp
profile: str = "workshop"  # ci, workshop or full
"""
CASES = Path(__file__).parent / "cases" / "reference"
FILES = ["executed.ipynb", "manifest.json", "report.html"]


def outputs(path: Path) -> str:
    return json.dumps([cell.get("outputs") for cell in nbformat.read(path, as_version=4).cells])


def leftovers(folder: Path) -> list[str]:
    names = sorted(file.name for file in folder.rglob("*"))
    return [name for name in names if ".part" in name or name == manifest.RECORDS]


@pytest.fixture
def invoke(monkeypatch, tmp_path):
    """Run the command in this process; errors that a user should not see come through."""
    monkeypatch.setenv("NTVIZ_RUNS", str(tmp_path / "runs"))
    return lambda *words: CliRunner().invoke(cli.app, list(map(str, words)), catch_exceptions=False)


@pytest.fixture
def ran(tmp_path):
    """Run a notebook in this process; the manifest is what was written, too."""

    def run(path, **options):
        facts = execute.notebook(execute.prepare(path, out=tmp_path / "out", **options))
        assert manifest.read(tmp_path / "out") == facts
        return facts

    return run


def test_a_run_that_ends_well(make_notebook, command, tmp_path):
    path = make_notebook(
        "# What is *in* a run?",
        "import time\nfrom ntviz import annotation, environment, runs\nassert not environment.in_jupyterlab()\n"
        "run = runs.current(profile=profile)\nrun.record(loss=0.5, job=run.job)\n"
        "for _ in environment.progress(range(30), what='scoring'):\n    time.sleep(0.08)",
        "import pandas as pd\nrun.save_table(pd.DataFrame({'a': [1]}), 't')\n"
        "print(repr(chrom), window, run.profile, open('mine.txt').read())",
        "for _ in range(2):\n    peaks = annotation.read(file)",
        "print('x' * 1_000_000)",
        parameters=PARAMETERS + 'file: str = ""',
    )
    before = path.read_bytes()
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "elsewhere" / "out"
    elsewhere.mkdir()
    (elsewhere / "mine.txt").write_text("found it")
    # A run starts where its user is; within a notebook of JupyterLab it is a job all the same.
    options = ("-p", "chrom=7", "--parameter", "window=2e3", "-p", f"file={CASES / 'broken.bed'}")
    options += ("--profile", "ci", "--out", "out")
    variables = {"JPY_SESSION_NAME": "outer.ipynb", "SLURM_JOB_ID": "77", "HF_TOKEN": "hf_secret"}
    variables["HF_ENDPOINT"] = "https://me:word@mirror.org/hub"
    answer = command("run", path, *options, cwd=elsewhere, variables=variables, timeout=300)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == [
        *("report", "out/report.html", "notebook", "out/executed.ipynb", "manifest", "out/manifest.json")
    ]
    facts = manifest.read(out)
    assert (facts.status, facts.title, facts.error) == ("ok", "What is in a run?", None)
    assert facts.parameters | {"file": ""} == {"chrom": "7", "window": 2000, "profile": "ci", "file": ""}
    assert facts.given == ["chrom", "file", "profile", "window"]
    assert facts.metrics == {"loss": 0.5, "job": True}
    assert (facts.tables, facts.device) == (["tables/t.parquet"], "cpu")
    assert facts.peak_memory_bytes > 30e6 and facts.seconds > 0 and facts.machine["cores"] >= 1
    assert len(facts.notebook_sha256) == 64
    # What ran is told by the kernel, what started it by the command; what was opened is there without being asked for.
    assert {"python", "ntviz", "ipykernel", "pandas"} <= facts.versions.keys() and "papermill" not in facts.versions
    assert "papermill" in facts.launcher["versions"] and facts.launcher["ntviz"] == facts.ntviz
    assert Path(facts.ntviz["folder"]) == Path(cli.__file__).parents[1]
    assert facts.machine["python"] == facts.launcher["python"] == sys.executable
    assert (facts.command[-2:], facts.directory) == (["--out", "out"], str(elsewhere))
    assert (facts.user, facts.job) == (getpass.getuser(), {"SLURM_JOB_ID": "77"})
    assert facts.environment["HF_TOKEN"] == "(set)" and "secret" not in (out / "manifest.json").read_text()
    assert facts.environment["HF_ENDPOINT"] == "https://mirror.org/hub"
    bed = CASES / "broken.bed"
    assert facts.data == [{"path": str(bed), "bytes": bed.stat().st_size, "sha256": storage.sha256(bed)}]
    executed = nbformat.read(out / "executed.ipynb", as_version=4)
    assert "'7' 2000 ci found it" in outputs(out / "executed.ipynb")
    assert "widgets" not in executed.metadata
    assert leftovers(tmp_path) == [] and {path.name for path in out.iterdir()} == {*FILES, "tables"}
    assert not list(Path("/tmp").glob(f"ntviz-*/{facts.pid}*"))
    assert path.read_bytes() == before

    # The log of a batch job: where it goes, its loops, and one line when it is done.
    log = answer.stderr.splitlines()
    assert log[0] == "toy: profile ci, into out"
    assert any(line.startswith("toy: 7 cells in ") for line in log)
    lines = [line for line in log if line.startswith("scoring:")]
    assert len(lines) >= 3 and "left" in lines[0] and lines[-1].startswith("scoring: 30 in 0:0")
    (output,) = executed.cells[3].outputs
    assert output.data["text/plain"] == lines[-1]
    assert "<progress" not in output.data["text/html"]
    # A note on an input stands under each cell that reads it, and once in log, manifest and report.
    (note,) = facts.notes
    assert note.startswith("2 of 4 lines of broken.bed could not be read (lines 2, 4); the first, line 2: ")
    assert answer.stderr.count(note) == 1
    assert json.dumps(executed.cells[5].outputs).count("2 of 4 lines of broken.bed") == 2
    assert "<li>2 of 4 lines of broken.bed could not be read" in (out / "report.html").read_text()


def test_without_out_each_run_gets_its_folder(make_notebook, monkeypatch, tmp_path):
    monkeypatch.setenv("NTVIZ_RUNS", str(tmp_path / "runs"))
    path = make_notebook("1")
    folders = {execute.prepare(path).folder for _ in range(2)}
    assert set((tmp_path / "runs" / "toy").iterdir()) == folders
    assert len(folders) == 2


def test_a_failing_cell_and_its_folder_used_again(make_notebook, invoke, ran, tmp_path):
    path = make_notebook(
        "# Does it fail?",
        "from ntviz import runs\nmark = runs.current().dir / 'checkpoint'\nprint('before')",
        "first = 0 if mark.exists() else mark.write_text('x')\n1 / (1 - first)",
        "print('after')",
        parameters="a: int = 1",
    )
    answer = invoke("run", path, "-p", "a=2", "--out", tmp_path / "out")
    assert answer.exit_code == 1
    words = "ntviz: toy failed in cell 4\n    1 / (1 - first)\nZeroDivisionError: division by zero"
    assert words in answer.stderr
    facts = manifest.read(tmp_path / "out")
    assert (facts.status, facts.error["cell"], facts.error["name"]) == ("failed", 4, "ZeroDivisionError")
    executed = outputs(tmp_path / "out" / "executed.ipynb")
    assert "before" in executed and "after" not in executed
    assert "division by zero" in (tmp_path / "out" / "report.html").read_text()
    assert ran(path).status == "ok"
    with pytest.raises(FileExistsError, match="the folder of a new run must not hold one that ended well"):
        execute.prepare(path, out=tmp_path / "out")
    assert execute.prepare(path, out=tmp_path / "out", overwrite=True).folder == tmp_path / "out"


def test_a_notebook_may_end_itself(make_notebook, ran, tmp_path):
    cases = {
        "print('before')\nexit()\nprint('after')": "ok",
        "quit": "ok",  # on a line of its own IPython needs no parentheses
        "check = lambda n: n or quit('no rows')\nprint('before')\ncheck(0)\nprint('after')": "failed",
    }
    with engine.shared():
        for cell, status in cases.items():
            found = ran(make_notebook("print(0)", cell, "print('later')"), overwrite=True)
            assert found.status == status, found.error
            assert (found.error or {"name": "SystemExit"})["name"] == "SystemExit"
            executed = outputs(tmp_path / "out" / "executed.ipynb")
            assert ("before" in executed) is ("before" in cell)
            assert "after" not in executed and "later" not in executed


def test_a_kernel_that_dies(make_notebook, ran, tmp_path):
    found = ran(make_notebook("import ctypes\nctypes.string_at(0)"))
    assert (found.status, found.error["name"]) == ("failed", "KernelError")
    page, shown = (tmp_path / "out" / "report.html").read_text(), cli._failure(found)
    assert shown.startswith("ntviz: toy failed in cell 1\n")
    # A crash in compiled code leaves its report.
    for words in ("KernelError: the kernel's process was killed by signal 11 (SIGSEGV, a crash in ", "string_at"):
        assert words in shown and words in page.replace("&#39;", "'")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_run_says_so(make_notebook, start, tmp_path, number):
    words = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    path = make_notebook(
        "from ntviz import runs\nrun = runs.current()\nrun.record(step=1)",
        "import os, pathlib, time\n"
        "pathlib.Path(run.dir / 'kernel').write_text(str(os.getpid()))\n"
        "try:\n    time.sleep(100)\nfinally:\n    run.record(step=2)",
        "run.record(step=3)",
    )
    process = start("run", path, "--out", tmp_path / "out")
    started = tmp_path / "out" / "kernel"
    deadline = time.monotonic() + 60
    while not (started.exists() and started.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"ntviz: toy was stopped by {words} in cell 2" in errors
    assert "Traceback" not in errors
    found = manifest.read(tmp_path / "out")
    assert found.status == "interrupted"
    # The kernel was interrupted before it was ended, so that a notebook's own clean-up runs.
    assert found.metrics == {"step": 2}
    assert "stopped by" in (tmp_path / "out" / "report.html").read_text()
    assert not Path(f"/proc/{started.read_text()}").exists()
    assert leftovers(tmp_path) == []


def test_after_nohup_a_closed_terminal_ends_nothing_and_a_report_is_not_cut_off():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with execute._on_signals(execute._stop):
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(execute.Stopped, match="SIGUSR1"):
                signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGUSR1)  # a second one, while the kernel is being ended
        with execute._on_signals(signal.SIG_IGN):
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_folder_has_one_run_at_a_time_and_is_free_when_that_is_killed(make_notebook, start, invoke, tmp_path):
    cell = "from ntviz import runs\nrun = runs.current()\nrun.record(a=1)\nimport time\ntime.sleep(100)"
    path, out = make_notebook(cell), tmp_path / "out"
    process = start("run", path, "--out", out)
    deadline = time.monotonic() + 60
    while not manifest.records(out) and time.monotonic() < deadline:
        time.sleep(0.05)
    first = (out / "manifest.json").read_bytes()
    for options in ((), ("--overwrite",)):
        answer = invoke("run", path, "--out", out, *options)
        assert answer.exit_code == 2
        assert f"another run, process {process.pid} on {manifest.read(out).host}, works here" in answer.stderr
    assert (out / "manifest.json").read_bytes() == first
    process.kill()
    process.communicate()
    job = execute.prepare(path, out=out)
    with pytest.raises(FileExistsError, match="another run"):
        execute.prepare(path, out=out)
    execute._unlock(job.lock)
    assert not (out / ".lock").exists()


def test_a_run_that_is_interrupted_before_its_first_cell_says_so(make_notebook, tmp_path, monkeypatch):
    def interrupted(**_):
        raise execute.Stopped("SIGTERM")

    monkeypatch.setattr(execute, "Progress", interrupted)
    facts = execute.notebook(execute.prepare(make_notebook("1"), out=tmp_path / "out"))
    assert manifest.read(tmp_path / "out").status == facts.status == "interrupted"
    assert facts.error == {"cell": None, "name": "Stopped", "message": "stopped by SIGTERM"}
    assert "stopped by SIGTERM" in (tmp_path / "out" / "report.html").read_text()
    assert cli._failure(facts) == "ntviz: toy was stopped by SIGTERM outside of its cells"
    assert collect.runs(tmp_path)["error"].tolist() == ["Stopped: stopped by SIGTERM"]


@contextlib.contextmanager
def disk_of(limit):
    """A limit on the size of files makes real writes fail as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_without_room_for_its_manifest_a_run_does_not_start(make_notebook, invoke, tmp_path):
    with disk_of(500):
        answer = invoke("run", make_notebook("1"), "--out", tmp_path / "out")
    assert answer.exit_code == 1
    assert "manifest.json must fit on the disk" in answer.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_leaves_nothing_half_written(make_notebook, ran, tmp_path):
    path = make_notebook("print('x\\n' * 50_000)")
    with disk_of(60_000), pytest.raises(OSError, match=r"executed\.ipynb must fit on the disk"):
        ran(path)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["manifest.json"]
    found = manifest.read(tmp_path / "out")
    assert found.status == "failed"
    assert "must fit on the disk" in found.error["message"]


@pytest.mark.parametrize("source", ["x = [1, 2, 3, 4]\n" * 300, "1"])
def test_a_report_that_cannot_be_written_takes_nothing_from_the_run(
    make_notebook, invoke, monkeypatch, tmp_path, source
):
    def choke(*_):
        raise RuntimeError("a template\nchokes")

    # Coloured code is many times as long as the code.
    words = "OSError: [Errno 27] report.html must fit on the disk"
    if source == "1":
        monkeypatch.setattr(execute.report, "render", choke)
        words = "RuntimeError: a template chokes"
    with disk_of(60_000):
        answer = invoke("run", make_notebook(source), "--out", tmp_path / "out")
    assert answer.exit_code == 1
    (line,) = [line for line in answer.stderr.splitlines() if line.startswith("ntviz:")]
    assert line.startswith(f"ntviz: the report of toy could not be written: {words}")
    found = manifest.read(tmp_path / "out")
    assert (found.status, found.error) == ("ok", None)
    assert " ".join(found.report_error.split()).startswith(words)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == FILES[:2]
    assert [line.split()[0] for line in answer.stdout.splitlines()] == ["notebook", "manifest"]


def test_who_stops_reading_does_not_change_the_exit_code(make_notebook, start, tmp_path):
    good, bad = make_notebook("1"), make_notebook("1 / 0", name="bad")
    commands = {("run", good, "--out", tmp_path / "out"): 0, ("run", bad): 1, ("--help",): 0}
    processes = [start(*words) for words in commands]
    for process in processes:
        process.stdout.close()
        process.stderr.close()
    assert [process.wait(timeout=120) for process in processes] == list(commands.values())
    assert {file.name for file in (tmp_path / "out").iterdir()} == set(FILES)


@pytest.fixture
def one_kernel():
    """One kernel for all runs of a test, as jobs of a pack have it."""
    with engine.shared():
        yield


@pytest.mark.usefixtures("one_kernel")
def test_a_run_is_done_again_and_what_differs_is_said(make_notebook, invoke, monkeypatch, tmp_path):
    def notebook(rate, loss):
        return make_notebook(
            f"from ntviz import annotation, runs\nrun = runs.current()\npeaks = [len(annotation.read(bed)) for bed in beds]\n"
            f"run.record(loss={loss}, peaks=peaks, top=top)\nrun.answer(f'There are {{peaks}} peaks.')",
            parameters=f"genes: str = ''\ngene: str = ''\nbeds: list[str] = []\nrate: float = {rate}\ntop: float = 1.0",
        )  # fmt: skip

    monkeypatch.chdir(tmp_path)
    for name in "ab":
        Path(f"{name}.bed").write_text("20\t1\t5\n")
    Path("g.gtf").write_text('20\tx\texon\t1\t9\t.\t+\t.\tgene_id "G"; transcript_id "T";\n')
    path = notebook(0.5, 7)
    asked = ("-p", "beds=a.bed,b.bed", "-p", "genes=g.gtf", "-p", "gene=G", "-p", "top=inf", "--profile", "ci")
    assert invoke("run", path, *asked, "--out", "first").exit_code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    answer = invoke("rerun", "../first/manifest.json", "--out", "again")
    assert (answer.exit_code, answer.stdout.splitlines()[-1]) == (0, "nothing differs")
    assert Path("again/report.html").is_file() and manifest.read("again").profile == "ci"

    notebook(0.25, 8)
    (tmp_path / "a.bed").write_text("20\t1\t5\n20\t8\t9\n")
    answer = invoke("rerun", "../first", "--out", "third")
    assert answer.exit_code == 0
    lines = [line for line in answer.stdout.splitlines() if ": " in line]
    assert lines[0].startswith("notebook sha256: '")
    old, new = (storage.sha256(tmp_path / name)[:16] for name in ("b.bed", "a.bed"))
    assert lines[1:] == [
        "parameter rate: 0.5, now 0.25",
        f"input {tmp_path / 'a.bed'}: other content, sha256 {old}, now {new}",
        "metric loss: 7, now 8",
        "metric peaks.0: 1, now 2",
        "answer: 'There are [1, 1] peaks.', now 'There are [2, 1] peaks.'",
    ]
    (tmp_path / "b.bed").unlink()
    answer = invoke("rerun", "../first")
    assert answer.exit_code == 1
    assert f"input {tmp_path / 'b.bed'}: missing now" in answer.stdout
    assert "status: 'ok', now 'failed'" in answer.stdout


def test_other_differences_between_runs():
    facts = [
        manifest.Manifest("ok", "toy", versions={"torch": torch, "numpy": "2.4"}, device=device, threads=threads, ntviz=ntviz,
                          models=[{"name": "m", "sha256": weights}], data=data, chips={"a": "1"})
        for torch, device, threads, weights, ntviz, data in (
            ("2.13", "cpu", 2, "x", {"version": "0.1", "commit": "a", "folder": "f"}, [{"path": "/dev/fd/9", "sha256": None}]),
            ("2.14", "cuda (H200)", 4, "y", {"version": "0.1", "commit": "b", "folder": "g"}, [{"path": "/n.bed", "sha256": "z"}]),
        )
    ]  # fmt: skip
    assert rerun.differences(*facts) == [
        "input /dev/fd/9: a pipe, whose content then is not known",
        "input /n.bed: not read then, read now",
        "model m.sha256: 'x', now 'y'",
        "version of torch: '2.13', now '2.14'",
        "ntviz commit: 'a', now 'b'",
        "device: 'cpu', now 'cuda (H200)'",
        "threads: 2, now 4",
    ]
    assert rerun.differences(facts[1], facts[1]) == []


def test_what_was_run_by_hand_cannot_be_run_again(invoke, tmp_path):
    manifest.Manifest("live", "toy").write(tmp_path)
    answer = invoke("rerun", tmp_path)
    assert answer.exit_code == 2
    assert "must come from `ntviz run` of this version" in answer.stderr
    assert invoke("rerun", tmp_path / "none").exit_code == 2


def test_a_table_that_does_not_fit_leaves_nothing_half_written(tmp_path):
    big = pd.DataFrame({"a": np.random.default_rng(0).random(100_000)})
    with disk_of(200_000), pytest.raises(OSError, match=r"big\.parquet must fit on the disk"):
        runs.Run("ci", tmp_path).save_table(big, "big")
    assert list((tmp_path / "tables").iterdir()) == []


# What is wrong before anything runs: exit code 2, and no folder is made.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "windwo=5"], "but 'windwo' came. Did you mean 'window'?"),
        (["-p", "window"], "a parameter must be given as NAME=VALUE, but 'window' came"),
        (["--profile", "big"], "profile must be one of ci, workshop, full, but 'big' came"),
        (["--profile", "ci", "-p", "profile=full"], "the profile must be given once"),
        (["--kernel", "no-such"], "a kernel must be registered to be used, but 'no-such' is not. Choose one of"),
        (["--no-such"], "No such option"),
    ],
)
def test_bad_arguments(make_notebook, invoke, tmp_path, arguments, message):
    answer = invoke("run", make_notebook("1", parameters=PARAMETERS), *arguments)
    assert answer.exit_code == 2
    assert message in answer.stderr
    assert not (tmp_path / "runs").exists()


def test_a_notebook_that_is_none(invoke, tmp_path):
    (tmp_path / "toys.ipynb").write_text("{}")
    answer = invoke("run", tmp_path / "toy.ipynb")
    assert answer.exit_code == 2
    assert f"is not there. Did you mean {tmp_path / 'toys.ipynb'}?" in answer.stderr


UNKNOWN = b'{"nbformat": 99, "nbformat_minor": 0, "cells": []}'


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"cells": 3}', b'{"nbformat": 4}', b"\x00\xff", UNKNOWN])
def test_files_that_are_no_notebooks_are_refused(tmp_path, content):
    (tmp_path / "x.ipynb").write_bytes(content)
    with pytest.raises(ValueError, match="must be a Jupyter notebook, but it cannot be read as one"):
        execute.load(tmp_path / "x.ipynb")


def test_parameters_are_shown(make_notebook, invoke):
    answer = invoke("run", make_notebook("1", parameters=PARAMETERS), "--help-parameters")
    assert answer.exit_code == 0
    assert answer.stdout.splitlines()[:2] == [
        "parameter  type  default     meaning",
        "chrom      str   '20'        contig",
    ]
    assert "no parameters" in invoke("run", make_notebook("1"), "--help-parameters").stdout


# Pieces


def test_our_own_notebooks_are_found_by_name(monkeypatch, tmp_path):
    (tmp_path / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "notebooks" / "00_start.ipynb")
    monkeypatch.setattr(execute, "notebooks_dir", lambda: tmp_path / "notebooks")
    monkeypatch.chdir(tmp_path)
    for name in ("00_start", "00_start.ipynb"):
        assert execute.load(name)[0] == tmp_path / "notebooks" / "00_start.ipynb"
    with pytest.raises(FileNotFoundError, match=r"Did you mean .*00_start\.ipynb\?"):
        execute.load("00_strat")


def test_an_earlier_injected_cell_does_not_stay(make_notebook, tmp_path):
    path = make_notebook("1", parameters=PARAMETERS)
    notebook = nbformat.read(path, as_version=4)
    cell = nbformat.v4.new_code_cell("window = 5", metadata={"tags": ["injected-parameters"]})
    notebook.cells.insert(1, cell)
    notebook.metadata["widgets"] = {}
    nbformat.write(notebook, path)
    copy = execute._parameterized(execute.prepare(path, given={"window": 7}, out=tmp_path / "out"))
    assert [cell.source for cell in copy.cells[1:]] == ["# set by `ntviz run`\nwindow = 7", "1"]
    assert "widgets" not in copy.metadata


def test_kernels_are_installed_with_an_absolute_interpreter_and_run(make_notebook, monkeypatch, invoke, ran, tmp_path):
    monkeypatch.setenv("HF_HOME", "/shared/hf")
    answer = invoke("kernel", "install", "--prefix", tmp_path)
    assert answer.exit_code == 0, answer.stderr
    assert len(answer.stdout.splitlines()) == 2
    for name, device in (("ntviz", "cpu"), ("ntviz-gpu", "cuda")):
        spec = json.loads((tmp_path / "share" / "jupyter" / "kernels" / name / "kernel.json").read_text())
        assert spec["argv"] == kernel.command()
        assert spec["env"]["NTVIZ_DEVICE"] == device
        assert spec["display_name"].startswith("ntviz (Python 3.")
    assert kernel.Specs().get_kernel_spec(kernel.HERE).argv == kernel.command()
    assert kernel.command()[0].startswith("/")
    assert invoke("kernel", "install", "--user", "--sys-prefix").exit_code == 2
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    path = make_notebook("import os, sys\nprint(os.environ['NTVIZ_DEVICE'], sys.executable)")
    found = ran(path, kernel="ntviz")
    assert found.status == "ok", found.error
    assert f"cpu {kernel.command()[0]}" in outputs(tmp_path / "out" / "executed.ipynb")


def test_kernels_that_cannot_be_written(monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "/usr/share/jupyter")

    monkeypatch.setattr(kernel.KernelSpecManager, "install_kernel_spec", refuse)
    with pytest.raises(PermissionError, match="folder must be writable, but /usr/share/jupyter is not"):
        kernel.install()


def test_a_kernel_that_does_not_start(make_notebook, monkeypatch, ran, tmp_path):
    folder = tmp_path / "jupyter" / "kernels" / "broken"
    folder.mkdir(parents=True)
    command = ["sh", "-c", "echo no such module >&2; exit 3"]
    spec = {"argv": command, "display_name": "broken", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    found = ran(make_notebook("1"), kernel="broken")
    assert (found.status, found.error["name"]) == ("failed", "KernelError")
    assert "the kernel did not start: " in found.error["message"]
    assert "no such module" in found.error["message"]


@pytest.fixture
def make_kernel(monkeypatch, tmp_path):
    """Register a kernel called `own`."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))

    def make(python, language="python", **environment):
        folder = tmp_path / "jupyter" / "kernels" / "own"
        folder.mkdir(parents=True, exist_ok=True)
        command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": command, "display_name": "own", "language": language, "env": environment}
        (folder / "kernel.json").write_text(json.dumps(spec))

    return make


def test_kernels_that_cannot_run_a_notebook_here_are_refused_before_it_starts(
    make_notebook, make_kernel, invoke, tmp_path
):
    bare = tmp_path / "python-bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    without = f"have ntviz, but {bare} has none. Run `{bare} -m pip install ntviz`"
    gpu = "find a GPU, but torch sees none here. Start it on a node with one"
    cases = [
        (bare, {}, without), ("/nowhere/python3", {}, "of a Python that is there, but /nowhere/python3 is none"),
        ("R", {"language": "R"}, "of a Python that is there, but R is none"),
        (sys.executable, {"NTVIZ_DEVICE": "cuda", "CUDA_VISIBLE_DEVICES": ""}, gpu),
        (sys.executable, {"NTVIZ_DEVICE": "cuda", "PYTHONPATH": "${HOME}", "PYTHONHOME": "/nowhere"}, "start, but"),
    ]  # fmt: skip
    path = make_notebook("1")
    for python, options, words in cases:
        make_kernel(python, **options)
        answer = invoke("run", path, "--kernel", "own")
        assert (answer.exit_code, len(answer.stderr.splitlines())) == (2, 1), answer.stderr
        assert "the kernel 'own' must " in answer.stderr and words in answer.stderr
    assert not (tmp_path / "runs").exists()


def test_the_ntviz_of_a_kernel_is_told_and_another_one_than_the_command_s_is_warned_of(
    make_notebook, make_kernel, invoke, tmp_path
):
    site = tmp_path / "site"
    shutil.copytree(Path(cli.__file__).parents[1], site / "ntviz", ignore=shutil.ignore_patterns("__pycache__"))
    (site / "ntviz" / "_commit.txt").write_text("c0ffee\n")
    (site / "ntviz-9.9.dist-info").mkdir()
    (site / "ntviz-9.9.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: ntviz\nVersion: 9.9\n")
    # The wheel lies in a repository of its user, whose commit is another thing.
    subprocess.run(["git", "init", "-q", site], check=True)
    make_kernel(sys.executable, PYTHONPATH=str(site))
    answer = invoke("run", make_notebook("1"), "--kernel", "own", "--out", tmp_path / "out")
    assert answer.exit_code == 0, answer.stderr
    facts = manifest.read(tmp_path / "out")
    assert facts.ntviz == {"version": "9.9", "folder": str(site / "ntviz"), "commit": "c0ffee", "modified": False}
    assert facts.versions["ntviz"] == "9.9" != facts.launcher["versions"]["ntviz"]
    (note,) = facts.notes
    assert note.startswith("The notebook ran with ntviz 9.9 (commit c0ffee) of its kernel; this command is of ntviz ")
    assert note in answer.stderr
