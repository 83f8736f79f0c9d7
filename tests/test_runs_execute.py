"""`ntviz run`: exit codes, what is left behind, interruption, dead kernels and full disks."""

from __future__ import annotations

import json
import resource
import signal
import time
from pathlib import Path

import nbformat
import pytest

from ntviz import cli
from ntviz.runs import collect, execute, kernel, manifest

PARAMETERS = """\
chrom: str = "20"  # contig
window: int = 1_000  # bp
profile: str = "workshop"  # ci, workshop or full
"""


def outputs(path: Path) -> str:
    return json.dumps([cell.get("outputs") for cell in nbformat.read(path, as_version=4).cells])


def leftovers(folder: Path) -> list[str]:
    return sorted(
        file.name for file in folder.rglob("*") if ".part" in file.name or file.name == manifest.RECORDS
    )


def test_a_run_that_ends_well(make_notebook, command, tmp_path):
    path = make_notebook(
        "# What is *in* a run?",
        "from ntviz import runs\nrun = runs.current(profile=profile)\nrun.record(loss=0.5, job=run.job)",
        "import pandas as pd\nrun.save_table(pd.DataFrame({'a': [1]}), 't')\nprint(repr(chrom), window, run.profile)",
        parameters=PARAMETERS,
    )
    answer = command(
        "run",
        path,
        "-p",
        "chrom=7",
        "--parameter",
        "window=2e3",
        "--profile",
        "ci",
        "--out",
        tmp_path / "out",
    )
    assert answer.returncode == 0, answer.stderr
    # The log of a batch job: where it goes, and one line when it is done.
    assert [line.split(" in ")[0] for line in answer.stderr.splitlines()] in (
        [f"toy: profile ci, into {tmp_path / 'out'}", "toy: 5 cells"],
        [f"toy: profile ci, into {tmp_path / 'out'}"],  # a run within a second needs no progress at all
    )
    assert answer.stdout.split() == [
        *("report", str(tmp_path / "out" / "report.html")),
        *("notebook", str(tmp_path / "out" / "executed.ipynb")),
        *("manifest", str(tmp_path / "out" / "manifest.json")),
    ]
    found = manifest.read(tmp_path / "out")
    assert found.status == "ok"
    assert found.title == "What is in a run?"
    assert found.parameters == {"chrom": "7", "window": 2000, "profile": "ci"}
    assert found.given == ["chrom", "profile", "window"]
    assert found.metrics == {"loss": 0.5, "job": True}
    assert found.tables == ["tables/t.parquet"]
    assert found.device == "cpu"
    assert found.peak_memory_bytes > 30e6
    assert found.seconds > 0
    assert found.error is None
    assert found.machine["cores"] >= 1
    assert "torch" in found.versions
    assert len(found.notebook_sha256) == 64
    assert "'7' 2000 ci" in outputs(tmp_path / "out" / "executed.ipynb")
    assert "widgets" not in nbformat.read(tmp_path / "out" / "executed.ipynb", as_version=4).metadata
    assert leftovers(tmp_path) == []
    assert not list(Path("/tmp").glob(f"ntviz-*/{found.pid}*"))


def test_what_is_lost_of_an_input_is_told_kept_and_reported(make_notebook, command, tmp_path):
    path = make_notebook(
        "from ntviz import annotation, runs\nrun = runs.current(profile='ci')",
        "for name in (file, file):\n    peaks = annotation.read(name)",
        parameters='file: str = ""',
    )
    broken = Path(__file__).parent / "cases" / "reference" / "broken.bed"
    answer = command("run", path, "-p", f"file={broken}", "--out", tmp_path / "out")
    assert answer.returncode == 0, answer.stderr
    (note,) = manifest.read(tmp_path / "out").notes
    assert note.startswith("2 of 4 lines of broken.bed could not be read (lines 2, 4); the first, line 2: ")
    assert answer.stderr.count(note) == 1
    assert (
        "<li>2 of 4 lines of broken.bed could not be read" in (tmp_path / "out" / "report.html").read_text()
    )
    # Under the cell that reads it, each time.
    assert outputs(tmp_path / "out" / "executed.ipynb").count("2 of 4 lines of broken.bed") == 2


def test_the_source_notebook_is_not_touched(make_notebook, command):
    path = make_notebook("print(1)", parameters=PARAMETERS)
    before = path.read_bytes()
    assert command("run", path, "-p", "chrom=X").returncode == 0
    assert path.read_bytes() == before


def test_a_run_starts_where_its_user_is(make_notebook, command, tmp_path):
    path = make_notebook("print(open(file).read())", parameters='file: str = ""')
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.txt").write_text("found it")
    answer = command("run", path, "-p", "file=mine.txt", "--out", "out", cwd=tmp_path / "elsewhere")
    assert answer.returncode == 0, answer.stderr
    assert "report    out/report.html" in answer.stdout
    assert "found it" in outputs(tmp_path / "elsewhere" / "out" / "executed.ipynb")


def test_without_out_each_run_gets_its_folder(make_notebook, command, tmp_path):
    path = make_notebook("1")
    for _ in range(2):
        assert command("run", path).returncode == 0
    assert len(list((tmp_path / "runs" / "toy").iterdir())) == 2


def test_a_failing_cell(make_notebook, command, tmp_path):
    path = make_notebook(
        "# Does it fail?", "print('before')", "x = 0\n1 / x", "print('after')", parameters="a: int = 1"
    )
    answer = command("run", path, "-p", "a=2", "--out", tmp_path / "out")
    assert answer.returncode == 1
    assert "ntviz: toy failed in cell 4\n    1 / x\nZeroDivisionError: division by zero" in answer.stderr
    found = manifest.read(tmp_path / "out")
    assert found.status == "failed"
    assert found.error["cell"] == 4
    assert found.error["name"] == "ZeroDivisionError"
    executed = outputs(tmp_path / "out" / "executed.ipynb")
    assert "before" in executed
    assert "after" not in executed
    assert "division by zero" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("cell", "status"),
    [
        ("print('before')\nraise SystemExit(3)\nprint('after')", "failed"),
        ("print('before')\nexit()\nprint('after')", "ok"),
        ("quit", "ok"),  # on a line of its own IPython needs no parentheses
        ("def check(count):\n    count or quit('no rows')\ncheck(0)", "failed"),
    ],
)
def test_a_notebook_may_end_itself(make_notebook, tmp_path, cell, status):
    path = make_notebook("print(0)", cell, "print('later')")
    found = execute.notebook(execute.prepare(path, out=tmp_path / "out"))
    assert found.status == status, found.error
    assert (found.error or {"name": "SystemExit"})["name"] == "SystemExit"
    executed = outputs(tmp_path / "out" / "executed.ipynb")
    assert ("before" in executed) is ("before" in cell)
    assert "after" not in executed and "later" not in executed


def test_a_kernel_that_dies(make_notebook, command, tmp_path):
    path = make_notebook("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    answer = command("run", path, "--out", tmp_path / "out")
    assert answer.returncode == 1
    assert "ntviz: toy failed in cell 1" in answer.stderr
    assert "the kernel's process was killed by signal 9 (SIGKILL, often for memory)" in answer.stderr
    found = manifest.read(tmp_path / "out")
    assert (found.status, found.error["name"]) == ("failed", "KernelError")
    assert "killed by signal 9" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(("number", "words"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_an_interrupted_run_says_so(make_notebook, start, tmp_path, number, words):
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


@pytest.mark.parametrize(("stop", "words"), [(execute.Stopped, "SIGTERM"), (KeyboardInterrupt, "Ctrl-C")])
def test_a_run_that_is_interrupted_before_its_first_cell_says_so(
    make_notebook, tmp_path, monkeypatch, stop, words
):
    def interrupted(**_):
        raise stop

    monkeypatch.setattr(execute, "Progress", interrupted)
    facts = execute.notebook(execute.prepare(make_notebook("1"), out=tmp_path / "out"))
    found = manifest.read(tmp_path / "out")
    assert found.status == facts.status == "interrupted"
    assert found.error == {"cell": None, "name": stop.__name__, "message": f"stopped by {words}"}
    assert f"stopped by {words}" in (tmp_path / "out" / "report.html").read_text()
    assert cli._failure(facts) == f"ntviz: toy was stopped by {words} outside of its cells"
    assert collect.runs(tmp_path)["error"].tolist() == [f"{stop.__name__}: stopped by {words}"]


@pytest.mark.parametrize(
    ("limit", "source", "file", "left"),
    [
        (500, "1", "manifest.json", []),
        (60_000, "print('x' * 100_000)", "executed.ipynb", ["manifest.json"]),
        # Coloured code is many times as long as the code.
        (60_000, "x = [1, 2, 3, 4]\n" * 2_000, "report.html", ["executed.ipynb", "manifest.json"]),
    ],
)
def test_a_full_disk_leaves_nothing_half_written(make_notebook, command, tmp_path, limit, source, file, left):
    # A limit on the size of files makes real writes fail as on a full disk.
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    answer = command("run", make_notebook(source), "--out", tmp_path / "out", preexec_fn=limited)
    assert answer.returncode == 1
    assert f"{file} must fit on the disk" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == left
    if left:
        found = manifest.read(tmp_path / "out")
        assert found.status == "failed"
        assert "must fit on the disk" in found.error["message"]


def test_a_table_that_does_not_fit_fails_the_cell(make_notebook, command, tmp_path):
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    path = make_notebook(
        "import numpy as np, pandas as pd\nfrom ntviz import runs\nrun = runs.current()",
        "run.save_table(pd.DataFrame({'a': np.random.default_rng(0).random(100_000)}), 'big')",
    )
    answer = command("run", path, "--out", tmp_path / "out", preexec_fn=limited)
    assert answer.returncode == 1
    assert "big.parquet must fit on the disk" in answer.stderr
    assert list((tmp_path / "out" / "tables").iterdir()) == []


def test_progress_of_the_notebook_reaches_the_log_and_leaves_one_output(make_notebook, command, tmp_path):
    path = make_notebook(
        "import time\nfrom ntviz import environment\n"
        "for _ in environment.progress(range(40), what='scoring'):\n    time.sleep(0.08)"
    )
    answer = command("run", path, "--out", tmp_path / "out")
    assert answer.returncode == 0, answer.stderr
    lines = [line for line in answer.stderr.splitlines() if line.startswith("scoring:")]
    assert len(lines) >= 3
    assert "left" in lines[0]
    assert lines[-1].startswith("scoring: 40 in 0:0")
    (cell,) = nbformat.read(tmp_path / "out" / "executed.ipynb", as_version=4).cells
    (output,) = cell.outputs
    assert output.data["text/plain"] == lines[-1]
    assert "<progress" not in output.data["text/html"]


def test_a_run_within_a_notebook_is_a_job(make_notebook, command):
    path = make_notebook("from ntviz import environment\nassert not environment.in_jupyterlab()")
    answer = command("run", path, variables={"JPY_SESSION_NAME": "outer.ipynb"})
    assert answer.returncode == 0, answer.stderr


def test_a_folder_is_used_again_unless_its_run_ended_well(make_notebook, command, tmp_path):
    path = make_notebook(
        "from ntviz import runs\nrun = runs.current()\nmark = run.dir / 'checkpoint'\n"
        "first = not mark.exists()\nmark.write_text('x')",
        "assert not first or not fail, 'first time'",
        parameters="fail: bool = True",
    )
    out = ["--out", tmp_path / "out"]
    assert command("run", path, *out).returncode == 1
    again = command("run", path, *out)
    assert again.returncode == 0, again.stderr
    third = command("run", path, *out)
    assert third.returncode == 2
    assert "the folder of a new run must not hold one that ended well" in third.stderr
    assert command("run", path, *out, "--overwrite").returncode == 0


# What is wrong before anything runs: exit code 2, and no folder is made.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "windwo=5"], "but 'windwo' came. Did you mean 'window'?"),
        (["-p", "window=many"], "parameter 'window' must be int, but 'many' came"),
        (["-p", "window"], "a parameter must be given as NAME=VALUE, but 'window' came"),
        (["--profile", "big"], "profile must be one of ci, workshop, full, but 'big' came"),
        (["--profile", "ci", "-p", "profile=full"], "the profile must be given once"),
        (
            ["--kernel", "no-such"],
            "a kernel must be registered to be used, but 'no-such' is not. Choose one of",
        ),
        (["--no-such"], "No such option"),
    ],
)
def test_bad_arguments(make_notebook, command, tmp_path, arguments, message):
    answer = command("run", make_notebook("1", parameters=PARAMETERS), *arguments)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "runs").exists()


def test_a_notebook_that_is_none(command, tmp_path):
    (tmp_path / "toys.ipynb").write_text("{}")
    answer = command("run", tmp_path / "toy.ipynb")
    assert answer.returncode == 2
    assert f"is not there. Did you mean {tmp_path / 'toys.ipynb'}?" in answer.stderr
    answer = command("run", tmp_path / "toys.ipynb")
    assert answer.returncode == 2
    assert "must be a Jupyter notebook, but it cannot be read as one" in answer.stderr


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"cells": 3}',
        b'{"nbformat": 4}',
        b"\x00\xff",
        b'{"nbformat": 99, "nbformat_minor": 0, "cells": []}',
    ],
)
def test_files_that_are_no_notebooks_are_refused(tmp_path, content):
    (tmp_path / "x.ipynb").write_bytes(content)
    with pytest.raises(ValueError, match="must be a Jupyter notebook, but it cannot be read as one"):
        execute.load(tmp_path / "x.ipynb")


def test_a_notebook_without_parameters_takes_none(make_notebook, command):
    answer = command("run", make_notebook("1"), "-p", "a=1")
    assert answer.returncode == 2
    assert "It has no cell tagged 'parameters'" in answer.stderr


def test_parameters_are_shown(make_notebook, command):
    answer = command("run", make_notebook("1", parameters=PARAMETERS), "--help-parameters")
    assert answer.returncode == 0
    assert answer.stdout.splitlines()[:2] == [
        "parameter  type  default     meaning",
        "chrom      str   '20'        contig",
    ]
    assert "no parameters" in command("run", make_notebook("1"), "--help-parameters").stdout


# Pieces


def test_our_own_notebooks_are_found_by_name(monkeypatch, tmp_path):
    (tmp_path / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "notebooks" / "00_start.ipynb")
    monkeypatch.setattr(execute, "project_dir", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("00_start", "00_start.ipynb"):
        assert execute.load(name)[0] == tmp_path / "notebooks" / "00_start.ipynb"
    with pytest.raises(FileNotFoundError, match=r"Did you mean .*00_start\.ipynb\?"):
        execute.load("00_strat")


def test_an_earlier_injected_cell_does_not_stay(make_notebook, tmp_path):
    path = make_notebook("1", parameters=PARAMETERS)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(
        1, nbformat.v4.new_code_cell("window = 5", metadata={"tags": ["injected-parameters"]})
    )
    notebook.metadata["widgets"] = {}
    nbformat.write(notebook, path)
    copy = execute._parameterized(execute.prepare(path, given={"window": 7}, out=tmp_path / "out"))
    assert [cell.source for cell in copy.cells[1:]] == ["# set by `ntviz run`\nwindow = 7", "1"]
    assert "widgets" not in copy.metadata


def test_the_kernel_is_this_interpreter():
    assert kernel.Specs().get_kernel_spec(kernel.HERE).argv == kernel.command()
    assert kernel.command()[0].startswith("/")


def test_kernels_are_installed_with_an_absolute_interpreter(tmp_path, monkeypatch, command):
    monkeypatch.setenv("HF_HOME", "/shared/hf")
    answer = command("kernel", "install", "--prefix", tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert len(answer.stdout.splitlines()) == 2
    for name, device in (("ntviz", "cpu"), ("ntviz-gpu", "cuda")):
        spec = json.loads((tmp_path / "share" / "jupyter" / "kernels" / name / "kernel.json").read_text())
        assert spec["argv"] == kernel.command()
        assert spec["env"]["NTVIZ_DEVICE"] == device
        assert spec["display_name"].startswith("ntviz (Python 3.")
    assert command("kernel", "install", "--user", "--sys-prefix").returncode == 2


def test_an_installed_kernel_runs(make_notebook, command, tmp_path):
    kernel.install(prefix=tmp_path / "prefix")
    variables = {"JUPYTER_PATH": str(tmp_path / "prefix" / "share" / "jupyter")}
    path = make_notebook("import os, sys\nprint(os.environ['NTVIZ_DEVICE'], sys.executable)")
    answer = command("run", path, "--kernel", "ntviz", "--out", tmp_path / "out", variables=variables)
    assert answer.returncode == 0, answer.stderr
    assert f"cpu {kernel.command()[0]}" in outputs(tmp_path / "out" / "executed.ipynb")


def test_kernels_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(
        kernel.KernelSpecManager,
        "install_kernel_spec",
        lambda *_, **__: (_ for _ in ()).throw(
            PermissionError(13, "Permission denied", "/usr/share/jupyter")
        ),
    )
    with pytest.raises(
        PermissionError, match="the kernels' folder must be writable, but /usr/share/jupyter is not"
    ):
        kernel.install()


def test_a_crash_in_compiled_code_leaves_its_report(make_notebook, command):
    path = make_notebook("import ctypes\nctypes.string_at(0)")
    answer = command("run", path)
    assert answer.returncode == 1
    assert "killed by signal 11 (SIGSEGV, a crash in compiled code)" in answer.stderr
    assert "string_at" in answer.stderr


def test_a_kernel_that_does_not_start(make_notebook, command, tmp_path):
    folder = tmp_path / "jupyter" / "kernels" / "broken"
    folder.mkdir(parents=True)
    spec = {
        "argv": ["sh", "-c", "echo no such module >&2; exit 3"],
        "display_name": "broken",
        "language": "python",
    }
    (folder / "kernel.json").write_text(json.dumps(spec))
    answer = command(
        "run", make_notebook("1"), "--kernel", "broken", variables={"JUPYTER_PATH": str(tmp_path / "jupyter")}
    )
    assert answer.returncode == 1
    assert "the kernel did not start, in 3 tries" in answer.stderr
    assert "no such module" in answer.stderr
    assert "Traceback" not in answer.stderr
