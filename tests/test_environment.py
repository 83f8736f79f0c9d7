"""environment: folders, progress on every surface, device, versions, diagnosis."""

from __future__ import annotations

import email.message
import errno
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ntviz import cli, data, environment, runs, storage
from ntviz.environment import diagnosis, reporting
from ntviz.reference import Reference
from ntviz.runs import execute

# Folders


def test_folders_follow_their_variables(monkeypatch, tmp_path):
    for name in ("data", "cache", "runs"):
        monkeypatch.setenv(f"NTVIZ_{name.upper()}", str(tmp_path / name))
        assert getattr(environment, f"{name}_dir")() == tmp_path / name


def test_the_clone_is_found_beside_the_package(monkeypatch):
    for variable in ("NTVIZ_DATA", "NTVIZ_RUNS"):
        monkeypatch.delenv(variable, raising=False)
    clone = environment.project_dir()
    assert clone is not None
    assert (clone / "ntviz" / "environment").is_dir()
    assert environment.data_dir() == clone / "data"
    assert environment.runs_dir() == clone / "runs"


def test_a_wheel_finds_the_clone_upwards_of_the_working_directory(monkeypatch, tmp_path):
    clone, elsewhere = tmp_path / "clone", tmp_path / "site-packages" / "ntviz" / "environment"
    (clone / "notebooks").mkdir(parents=True)
    elsewhere.mkdir(parents=True)
    (clone / "pyproject.toml").write_text('[project]\nname = "ntviz"\n')
    monkeypatch.delenv("NTVIZ_DATA", raising=False)
    monkeypatch.setattr("ntviz.environment.paths.__file__", str(elsewhere / "paths.py"))
    monkeypatch.chdir(clone / "notebooks")
    assert environment.data_dir() == clone / "data"
    (clone / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert environment.project_dir() is None
    assert environment.data_dir().name == "ntviz"
    assert environment.runs_dir() == clone / "notebooks" / "runs" or "NTVIZ_RUNS" in os.environ


# Progress


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def shown(surface, count, seconds):
    """All that a loop shows whose steps take so many seconds."""
    clock, stream = Clock(), io.StringIO()
    for _ in reporting.Progress(range(count), what="scoring", surface=surface, stream=stream, clock=clock):
        clock.now += seconds
    return stream.getvalue()


def test_a_batch_log_gets_a_line_every_five_per_cent_or_five_minutes_and_a_final_one():
    lines = shown("batch", 1000, 0.1).splitlines()
    assert (len(lines), lines[0]) == (20, "scoring:   5 % (50 of 1,000), 1:35 left")
    assert lines[-1] == "scoring: 1,000 in 1:40, 10 a second"
    assert not any("\r" in line for line in lines)
    slow = shown("batch", 100, 400.0).splitlines()
    assert (len(slow), slow[0]) == (100, "scoring:   1 % (1 of 100), 11:00:00 left")


def test_a_terminal_gets_one_line_that_is_drawn_over():
    text = shown("terminal", 100, 0.1)
    assert text.count("\n") == 1
    assert text.endswith("\rscoring: 100 in 0:10, 10 a second\x1b[K\n")
    assert "\r[###.................] scoring:  16 % (16 of 100), 0:08 left\x1b[K" in text


@pytest.mark.parametrize("surface", ["batch", "terminal"])
def test_a_short_loop_shows_nothing(surface):
    assert shown(surface, 100, 0.001) == ""


def test_a_loop_that_fails_says_where_it_stopped():
    clock, stream = Clock(), io.StringIO()
    bar = reporting.Progress(range(10), what="scoring", surface="batch", stream=stream, clock=clock, batch_share=1)
    with pytest.raises(ValueError, match="bad record"), bar:
        for _ in range(2):
            clock.now += 3
            bar.update()
        raise ValueError("bad record")
    assert stream.getvalue() == "scoring: stopped at 2 of 10 after 0:06\n"


def test_unknown_totals_and_notes():
    clock, stream = Clock(), io.StringIO()
    options = {"unit": "tokens", "surface": "batch", "stream": stream, "clock": clock}
    with reporting.Progress(what="training", **options) as bar:
        for _ in range(3):
            clock.now += 200
            bar.update(4000, note="loss 7.6")
    assert stream.getvalue().splitlines() == [
        "training: 8,000 tokens so far, 20 a second, loss 7.6",
        "training: 12,000 tokens in 10:00, 20 a second, loss 7.6",
    ]


def test_progress_without_an_iterable_cannot_be_looped_over():
    with pytest.raises(TypeError, match="must be given an iterable to loop over, but it got none"):
        list(environment.progress(total=3))


# Machine


def test_the_device_is_checked(monkeypatch):
    import torch

    assert environment.device("cpu") == "cpu"
    monkeypatch.setenv("NTVIZ_DEVICE", "cpu")
    assert environment.device() == "cpu"
    monkeypatch.delenv("NTVIZ_DEVICE")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device 'cuda' needs a CUDA build of torch and a GPU"):
            environment.device("cuda")
    else:
        count = torch.cuda.device_count()
        with pytest.raises(ValueError, match=f"must be one of the {count} GPUs here"):
            environment.device(f"cuda:{count}")
    for name in ("gpu", "cuda:x", "cpu:0", "cuda:-1"):
        with pytest.raises(ValueError, match="device must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'"):
            environment.device(name)


def test_versions_name_every_core_dependency():
    project = tomllib.loads((environment.project_dir() / "pyproject.toml").read_text())["project"]
    names = {line.split(">")[0] for line in project["dependencies"]}
    found = environment.versions()
    assert names <= set(found)
    assert found["numpy"] == np.__version__
    assert f"numpy {np.__version__}" in str(found)
    assert f"numpy&nbsp;<b>{np.__version__}</b>" in found._repr_html_()


def test_the_machine_is_described(monkeypatch):
    machine = environment.machine()
    assert machine["cores"] >= 1
    assert machine["memory_bytes"] >= environment.free_memory() > 1e7
    assert isinstance(machine["gpus"], list)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert not environment.in_jupyterlab()
    monkeypatch.setenv("JPY_SESSION_NAME", "a.ipynb")
    assert environment.in_jupyterlab()


# Diagnosis

H200 = [{"name": "H200", "memory": "143771 MiB", "driver": "570.1"}]


@pytest.mark.parametrize(
    ("torch", "driver", "level", "words"),
    [
        (["2.13.0", "13.0", "True", "1"], H200, "ok", "uses 1 of them, with CUDA 13.0"),
        (["2.13.0+cpu", "none", "False", "0"], H200, "warn", "is a CPU build"),
        (["2.13.0", "13.0", "False", "0"], H200, "error", "cannot use it"),
        (["2.13.0+cpu", "none", "False", "0"], [], "note", "no GPU found"),
        (["2.13.0", "13.0", "False", "0"], [], "note", "will use the CPU"),
        (["2.13.0", "13.0", "True", "2"], [], "ok", "sees 2"),
    ],
)
def test_gpu_and_driver_are_compared(torch, driver, level, words):
    finding = diagnosis.judge_gpu(torch, driver)
    assert (finding.level, words in finding.what) == (level, True)
    assert finding.fix or level in ("ok", "note")


@pytest.mark.parametrize(
    ("commands", "level", "words"),
    [
        ({}, "warn", "'ntviz' is not registered"),
        ({"ntviz": ["python", "-m", "ipykernel_launcher"]}, "warn", "takes for its own"),
        ({"ntviz": ["/nowhere/bin/python"]}, "error", "does not exist any more"),
        ({"ntviz": ["/bin/sh"]}, "warn", "not this"),
        ({"ntviz": [sys.executable]}, "ok", "starts this Python"),
    ],
)
def test_kernels_of_other_environments_are_found(commands, level, words):
    (finding,) = diagnosis.judge_kernels(commands)
    assert (finding.level, words in finding.what) == (level, True)
    assert level == "ok" or finding.fix == "ntviz kernel install --sys-prefix"


def test_the_network_is_looked_at(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    finding = diagnosis._network()
    assert (finding.level, "offline: 127.0.0.1 does not answer" in finding.what) == ("note", True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        answers = environment.Finding("ok", "127.0.0.1 answers: models can be downloaded")
        assert diagnosis._network() == answers
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert diagnosis._network().fix == "unset HF_HUB_OFFLINE"


def test_a_server_of_another_environment_is_noticed(monkeypatch):
    other = subprocess.Popen(["/bin/sleep", "60"])
    try:
        while not Path(f"/proc/{other.pid}/cmdline").read_bytes().startswith(b"/bin/sleep"):
            time.sleep(0.01)  # the kernel shows the new command line a moment after the process has started
        monkeypatch.setenv("JPY_SESSION_NAME", "a.ipynb")
        monkeypatch.setenv("JPY_PARENT_PID", str(other.pid))
        (finding,) = diagnosis._server()
        assert finding.level == "note"
        assert "its Jupyter server /bin/sleep" in finding.what
    finally:
        other.kill()
        other.wait()
    monkeypatch.delenv("JPY_PARENT_PID")
    assert list(diagnosis._server()) == []


def test_missing_and_unwritable_folders_are_noticed(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    for name, place in ("NTVIZ_CACHE", "cache"), ("NTVIZ_RUNS", "file/runs"), ("HF_HOME", "file/hf"):
        monkeypatch.setenv(name, str(tmp_path / place))
    cache, runs, models = diagnosis._folders()
    assert cache.level in ("ok", "warn")
    what = f"the runs folder {tmp_path / 'file' / 'runs'} cannot be written"
    assert runs == environment.Finding("error", what, "export NTVIZ_RUNS=/elsewhere")
    assert (models.level, models.fix) == ("warn", "export HF_HOME=/elsewhere")


@pytest.fixture
def below_a_file(monkeypatch, tmp_path):
    """A place where nobody can make a folder, root neither; ntviz's folders are there."""
    (tmp_path / "file").write_text("not a folder")
    for name in ("RUNS", "CACHE"):
        monkeypatch.setenv(f"NTVIZ_{name}", str(tmp_path / "file" / name.lower()))
    return tmp_path / "file"


def indexed_elsewhere(place):
    fasta = place.parent / "genome" / "a.fa"
    fasta.parent.mkdir()
    fasta.write_text(">1\nACGT\n")
    fasta.parent.chmod(0o555)
    Reference(fasta)


ENTRY = data.External("toy", "v1", "", "", (data.File("a", "http://127.0.0.1:9/a"),))


@pytest.mark.parametrize(
    ("write", "variable"),
    [
        (lambda place: runs.Run("ci").dir, "RUNS"),
        (lambda place: execute.prepare("00_start"), "RUNS"),
        (indexed_elsewhere, "CACHE"),
        (lambda place: data.fetch(ENTRY), "CACHE"),
        (lambda place: storage.Pieces.keyed(environment.cache_dir() / "embeddings", {"a": 1}).write("x", {}, {}), "CACHE"),
        (lambda place: data.fetch("bundle"), "DATA"),
    ],
    ids=["live run", "job", "index", "download", "pieces", "bundle"],
)  # fmt: skip
def test_a_folder_that_cannot_be_written_is_named_with_its_variable(below_a_file, monkeypatch, write, variable):
    monkeypatch.setenv("NTVIZ_BUNDLE", "http://127.0.0.1:9/")
    if variable == "DATA":
        monkeypatch.setenv("NTVIZ_DATA", str(below_a_file / "data"))
    where = below_a_file / variable.lower()
    words = (
        rf"the {variable.lower()} folder {where} must be writable, .*Set NTVIZ_{variable} to a folder of yours: export"
    )
    with pytest.raises(OSError, match=words):
        write(below_a_file)


def test_other_folders_that_cannot_be_written_are_named_and_other_files_are_not_blamed(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=rf"the folder {tmp_path}/file must be writable.*Choose another one"):
        execute.prepare("00_start", out=tmp_path / "file")
    read_only = OSError(errno.EROFS, "Read-only file system", str(tmp_path / ".a.tsv.1-ff.part"))
    with pytest.raises(OSError, match=rf"the folder {tmp_path} must be writable"), storage.writing(tmp_path / "a.tsv"):
        raise read_only
    denied = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "input.vcf"))
    with pytest.raises(PermissionError) as caught, storage.atomic_write(tmp_path / "a.tsv"):
        raise denied
    assert caught.value is denied


# Kernels


def test_kernels_of_several_environments_stand_side_by_side_and_go_again(monkeypatch, tmp_path):
    runner = CliRunner()
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NTVIZ_DATA", "data")
    monkeypatch.setenv("HF_TOKEN", "secret")
    for name in ("ntviz", "hg38"):
        answer = runner.invoke(cli.app, ["kernel", "install", "--prefix", ".", "--name", name])
        assert answer.exit_code == 0, answer.output
        assert f"kept in these kernels, whatever is set later: NTVIZ_DATA={tmp_path}/data" in answer.stderr
    folder = tmp_path / "share" / "jupyter" / "kernels"
    assert sorted(path.name for path in folder.iterdir()) == ["hg38", "hg38-gpu", "ntviz", "ntviz-gpu"]
    spec = json.loads((folder / "hg38-gpu" / "kernel.json").read_text())
    assert spec["argv"][0] == sys.executable and "secret" not in json.dumps(spec)
    assert spec["display_name"].startswith("hg38 (Python 3.") and spec["env"]["NTVIZ_DATA"] == f"{tmp_path}/data"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o755}  # others of the machine see them
    assert runner.invoke(cli.app, ["kernel", "remove", "hg38"]).stdout.split() == [
        f"{folder}/hg38",
        f"{folder}/hg38-gpu",
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["ntviz", "ntviz-gpu"]
    # Another program's kernel is neither taken away nor replaced.
    (folder / "ir").mkdir()
    (folder / "ir" / "kernel.json").write_text('{"argv": ["R"], "display_name": "R", "language": "R"}')
    for words in (
        ["remove", "ir"],
        ["remove", "*"],
        ["remove", "hg38"],
        ["install", "--name", "ir"],
        ["install", "--name", "python3"],
    ):
        answer = runner.invoke(cli.app, ["kernel", *words, *(["--prefix", "."] if "install" in words else [])])
        assert answer.exit_code == 2 and "a kernel " in answer.stderr, words
    assert sorted(path.name for path in folder.iterdir()) == ["ir", "ntviz", "ntviz-gpu"]
    shutil.rmtree(folder)
    folder.touch()
    answer = runner.invoke(cli.app, ["kernel", "install", "--prefix", "."])
    assert answer.exit_code == 1 and "the kernels' folder must be writable" in answer.stderr


def test_missing_packages_and_extras_are_noticed(monkeypatch):
    requires = ["numpy>=1", "absent-core>=2", 'absent-lab>=4; extra == "lab"']
    requires += ['numpy>=999; extra == "benchmark"', 'pytest; extra == "test"']

    class Distribution:
        version = "0.1.0"
        metadata = email.message.Message()

    for extra in ("lab", "benchmark", "test"):
        Distribution.metadata["Provides-Extra"] = extra
    Distribution.requires = requires
    real = diagnosis.metadata.distribution
    fake = lambda name: Distribution if name == "ntviz" else real(name)  # noqa: E731
    monkeypatch.setattr(diagnosis.metadata, "distribution", fake)
    installed, core, lab, benchmark = diagnosis._packages()
    assert installed == environment.Finding("ok", "ntviz 0.1.0")
    assert (core.level, core.fix) == ("error", "pip install -r requirements.lock")
    assert core.what == "core packages are not as needed: absent-core is missing"
    assert (lab.level, lab.fix) == ("note", "pip install 'ntviz[lab]'")
    assert lab.what == "optional extra 'lab' is not complete: absent-lab is missing"
    assert "numpy is " in benchmark.what and "needed >=999" in benchmark.what
    Distribution.requires = requires[:1]
    assert [finding.level for finding in diagnosis._packages()] == ["ok", "ok"]

    def absent(name):
        raise diagnosis.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(diagnosis.metadata, "distribution", absent)
    (finding,) = diagnosis._packages()
    assert (finding.level, finding.fix) == ("error", "pip install -e .")
