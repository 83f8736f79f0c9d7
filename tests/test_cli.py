"""The command `ntviz` besides `run` and `collect`: doctor, models, data, help, and exit codes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ntviz import cli, data, environment
from ntviz.environment import diagnosis

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture
def invoke():
    """Run the command in this process; errors that a user should not see come through."""
    return lambda *words: CliRunner().invoke(cli.app, list(map(str, words)), catch_exceptions=False)


def test_help_and_version(invoke):
    answer = invoke("--help")
    assert answer.exit_code == 0
    for word in ("run", "collect", "doctor", "models", "data", "kernel"):
        assert f"  {word} " in answer.stdout
    assert invoke("--version").stdout == f"ntviz {environment.versions()['ntviz']}\n"
    assert invoke("no-such-command").exit_code == 2
    assert "Usage: " in invoke("run", "--help").stdout


def test_models_are_listed(invoke, monkeypatch, tmp_path):
    lines = invoke("models").stdout.splitlines()
    assert lines[0].split()[:3] == ["name", "where", "parameters"]
    rows = {line.split()[0]: line for line in lines[1:] if line}
    assert {"ntviz-mini", "v1-500m-human-ref", "v2-50m", "agro-nt-1b"} <= set(rows)
    assert "CC BY-NC-SA 4.0" in rows["v2-50m"] and "12,282" in rows["v2-50m"]
    monkeypatch.setenv("NTVIZ_DATA", str(tmp_path))
    (line,) = (line for line in invoke("models").stdout.splitlines() if line.startswith("ntviz-mini"))
    assert "missing" in line


def test_a_checkpoint_is_verified(invoke, tmp_path):
    source = FIXTURES / "nt_v2_tiny"
    answer = invoke("models", "verify", source)
    assert answer.exit_code == 0
    outputs = [line.split()[0] for line in answer.stdout.splitlines()]
    assert outputs == ["logits", "hidden_states", "attentions"]
    assert answer.stdout.count("  ok") == 3
    assert invoke("models", "verify", source, "--tolerance", "1e-12").exit_code == 1
    copy = tmp_path / "changed"
    shutil.copytree(source, copy)
    with np.load(copy / "expected.npz") as stored:
        arrays = dict(stored)
    arrays["logits"] = arrays["logits"] + 0.5
    np.savez(copy / "expected.npz", **arrays)
    answer = invoke("models", "verify", copy)
    assert answer.exit_code == 1
    assert "5.00e-01  more than 0.0001" in answer.stdout
    assert "does not give the expected numbers within 0.0001" in answer.stderr
    (copy / "expected.npz").unlink()
    answer = invoke("models", "verify", copy)
    assert answer.exit_code == 1
    assert "expected.npz must lie beside config.json" in answer.stderr


def test_data_are_listed_and_found(invoke):
    lines = invoke("data").stdout.splitlines()
    assert lines[0].split() == ["name", "kind", "here", "version", "what", "licence"]
    for name in ("chr20", "genes", "motifs", "grch38", "tasks-revised"):
        assert any(line.startswith(f"{name} ") for line in lines)
    for words in (("path", "genes"), ("fetch", "genes")):
        assert invoke("data", *words).stdout.strip() == str(data.bundle("genes"))
    for words in (("path", "gnes"), ("fetch", "gnes", "--dest", "nowhere")):
        answer = invoke("data", *words)
        assert answer.exit_code == 2
        assert "Did you mean 'genes'?" in answer.stderr


def test_data_that_are_missing(invoke, monkeypatch, tmp_path):
    monkeypatch.setenv("NTVIZ_DATA", str(tmp_path))
    monkeypatch.setenv("NTVIZ_CACHE", str(tmp_path))
    for name, words in ("chr20", "chr20 must be at"), ("clinvar-grch38", "ntviz data fetch clinvar-grch38"):
        answer = invoke("data", "path", name)
        assert answer.exit_code == 1
        assert words in answer.stderr


def test_a_fetch_that_fails_exits_with_one(invoke, monkeypatch, tmp_path):
    # Port 9 of this machine refuses: what a user behind a broken proxy sees.
    file = data.File("x.txt", "http://127.0.0.1:9/x.txt")
    monkeypatch.setitem(data.CATALOGUE, "nowhere", data.External("nowhere", "1", "nothing", "none", (file,)))
    once = {**data.fetch.__kwdefaults__, "attempts": 1, "wait": 0.0}
    monkeypatch.setattr(data.fetch, "__kwdefaults__", once)
    answer = invoke("data", "fetch", "nowhere", "--dest", tmp_path)
    assert answer.exit_code == 1
    assert answer.stderr.startswith("ntviz: ")
    assert "Traceback" not in answer.stderr


def test_the_doctor_looks_at_everything(invoke, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(diagnosis, "_ASK_TORCH", "print('2.13.0', 'none', False, 0)")
    lines = invoke("doctor").stdout
    for words in ("Python 3.", "ntviz ", "core packages", "GPU", "kernel", "HF_HUB_OFFLINE", "bundle in"):
        assert words in lines, words
    assert lines.splitlines()[-1].endswith(" warnings")
    monkeypatch.setenv("NTVIZ_DATA", str(tmp_path))
    (tmp_path / "file").touch()
    monkeypatch.setenv("NTVIZ_RUNS", str(tmp_path / "file" / "runs"))
    answer = invoke("doctor")
    assert answer.exit_code == 1
    assert f"ERROR  no default command can work: the bundle in {tmp_path} lacks chr20" in answer.stdout
    assert f"ERROR  the runs folder {tmp_path / 'file' / 'runs'} cannot be written" in answer.stdout
    assert "-> export NTVIZ_RUNS=/elsewhere" in answer.stdout
