"""runs.current and its Run: profiles, folders, what is recorded, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import matplotlib.figure
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pysam
import pysam.bcftools
import pytest

from ntviz import annotation, environment, models, motifs, plot, runs, storage
from ntviz.pretraining import haplotypes
from ntviz.reference import Reference
from ntviz.runs import handle, manifest
from ntviz.variants import survey


@pytest.fixture
def job(tmp_path):
    return runs.Run("ci", tmp_path, "toy")


@pytest.fixture(autouse=True)
def _nothing_current(monkeypatch, tmp_path):
    monkeypatch.setattr(handle, "_current", None)
    monkeypatch.setenv("NTVIZ_RUNS", str(tmp_path / "runs"))
    for variable in ("NTVIZ_RUN_DIR", "NTVIZ_PROFILE", "JPY_SESSION_NAME"):
        monkeypatch.delenv(variable, raising=False)


class Model:
    info = {"name": "toy-model", "revision": "abc", "sha256": "0" * 64, "layers": np.int64(4)}


def test_profiles_choose_sizes():
    for profile, value in (("ci", 1), ("workshop", 2), ("full", 3)):
        assert runs.Run(profile).sized(ci=1, workshop=2, full=3) == value
    with pytest.raises(ValueError, match="profile must be one of ci, workshop, full, but 'big' came"):
        runs.current(profile="big")


def test_a_live_run_makes_its_folder_when_it_is_needed(monkeypatch, tmp_path):
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "00_start.ipynb"))
    run = runs.current()
    assert (run.profile, run.job) == ("workshop", False)
    assert runs.current() is run
    assert not (tmp_path / "runs").exists()
    run.record(loss=1.5)
    assert run.dir.parent == tmp_path / "runs" / "00_start"
    found = manifest.read(run.dir)
    assert (found.status, found.notebook, found.metrics) == ("live", "00_start", {"loss": 1.5})


def test_a_job_uses_the_folder_and_profile_it_was_given(monkeypatch, tmp_path):
    monkeypatch.setenv("NTVIZ_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("NTVIZ_PROFILE", "full")
    run = runs.current()
    assert (run.dir, run.profile, run.job) == (tmp_path, "full", True)
    assert runs.current(profile="ci").profile == "ci"


def test_everything_recorded_reaches_the_manifest(job, tmp_path):
    file = tmp_path / "sequence.fa"
    file.write_text(">a\nACGT\n")
    job.record(loss=np.float32(0.5), gap=float("nan"), shape=(2, 3), per_layer=np.arange(2))
    job.record(loss=0.25)
    job.record_model(Model())
    job.record_data(file)
    job.record_data(file)
    assert job.answer("First.") == "First."
    job.answer("A donor of 0.99.", {"donor": "0.99 (shuffled 0.00)"})
    found = manifest.Manifest("ok", "toy")
    found.merge(manifest.records(job.dir))
    assert found.metrics == {"loss": 0.25, "gap": None, "shape": [2, 3], "per_layer": [0, 1]}
    assert found.models == [{"name": "toy-model", "revision": "abc", "sha256": "0" * 64, "layers": 4}]
    assert (found.answer, found.chips) == ("A donor of 0.99.", {"donor": "0.99 (shuffled 0.00)"})
    (data,) = found.data
    assert data["path"].endswith("sequence.fa")
    assert (data["bytes"], len(data["sha256"])) == (8, 64)
    found.write(tmp_path)
    assert manifest.read(tmp_path) == found


def test_data_of_the_bundle_are_named_without_the_path_of_this_machine(job, tmp_path, monkeypatch):
    monkeypatch.setenv("NTVIZ_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "genome").mkdir(parents=True)
    (tmp_path / "data" / "genome" / "x.fa").write_text("x")
    job.record_data(tmp_path / "data" / "genome" / "x.fa")
    assert manifest.records(job.dir)[0]["value"]["path"] == "data/genome/x.fa"


@pytest.fixture
def listening(monkeypatch, tmp_path):
    """The run of a job that was asked for by `current`."""
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("NTVIZ_RUN_DIR", str(tmp_path / "run"))
    yield runs.current()
    environment.openings.remove(handle._read)


def inputs(run):
    return [Path(record["value"]["path"]).name for record in manifest.records(run.dir) if record["kind"] == "data"]


def test_files_are_recorded_where_they_are_opened(listening, tmp_path):
    endings = ("gtf", "bed", "fa", "vcf", "tsv", "parquet", "npz", "meme", "bcf")
    file = {f"a.{ending}": tmp_path / f"a.{ending}" for ending in endings}
    file["a.gtf"].write_text('20\tx\texon\t1\t9\t.\t+\t.\tgene_id "g"; transcript_id "t";\n')
    file["a.bed"].write_text("20\t1\t5\n")
    file["a.fa"].write_text(">20\nACGT\n")
    file["a.vcf"].write_text("##fileformat=VCFv4.2\n##contig=<ID=20>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
    file["a.tsv"].write_text("chrom\tpos\tref\talt\n20\t1\tA\tG\n")
    pd.DataFrame({"chrom": ["20"], "pos": [1], "ref": ["A"], "alt": ["G"]}).to_parquet(file["a.parquet"])
    storage.save(file["a.npz"], {}, {})
    file["a.meme"].write_text("MEME version 4\n\nMOTIF m\nletter-probability matrix: w= 1\n1 0 0 0\n")
    with pysam.VariantFile(str(file["a.vcf"])) as text, pysam.VariantFile(str(file["a.bcf"]), "wb", header=text.header):
        pass
    pysam.bcftools.index(str(file["a.bcf"]))
    tables = [partial(survey.opened, file[name]) for name in ("a.tsv", "a.parquet")]
    reads = [partial(annotation.read, file["a.gtf"]), partial(annotation.read, file["a.bed"]), partial(Reference, file["a.fa"]),
             lambda: survey.opened(file["a.vcf"]).__exit__(), *tables, partial(storage.load, file["a.npz"]), partial(motifs.read, file["a.meme"]),
             partial(haplotypes._opened, file["a.bcf"])]  # fmt: skip
    for read in (*reads, *reads):
        read()
    assert sorted(inputs(listening)) == sorted(file)
    for record in manifest.records(listening.dir):
        assert record["value"] == storage.content(tmp_path / Path(record["value"]["path"]).name)
    file["a.bed"].write_text("20\t1\t6\n")  # another file now: the last counts
    annotation.read(file["a.bed"])
    facts = manifest.Manifest("ok", "toy")
    facts.merge(manifest.records(listening.dir))
    assert len(facts.data) == len(file) and facts.data[-1] == storage.content(file["a.bed"])


def test_a_model_s_files_are_recorded_and_neither_what_the_run_wrote_nor_a_file_that_is_not_there(listening, tmp_path):
    models.load("ntviz-mini", device="cpu")
    for name in ("made.npz", "before.npz"):
        storage.save(listening.dir / name, {}, {})
    os.utime(listening.dir / "before.npz", (1, 1))  # an input that lies in the run's folder
    for name in ("made.npz", "before.npz"):
        storage.load(listening.dir / name)
    with pytest.raises(FileNotFoundError):
        list(environment.lines_of(tmp_path / "none"))
    os.mkfifo(tmp_path / "pipe")  # as `<(zcat a.bed.gz)` gives: it can be read only once
    environment.opened(tmp_path / "pipe")
    assert sorted(inputs(listening)) == ["before.npz", "config.json", "model.safetensors", "pipe", "vocab.txt"]
    pipe = {"path": str(tmp_path / "pipe"), "bytes": None, "sha256": None}
    assert manifest.records(listening.dir)[-1]["value"] == pipe


def test_a_live_run_has_what_was_opened_before_its_folder_was_made(monkeypatch, tmp_path):
    run = runs.current()
    (tmp_path / "a.bed").write_text("20\t1\t5\n")
    annotation.read(tmp_path / "a.bed")
    assert not (tmp_path / "runs").exists()
    run.record(loss=1)
    found = manifest.read(run.dir)
    assert [Path(entry["path"]).name for entry in found.data] == ["a.bed"]
    assert found.versions["pandas"] == pd.__version__ and found.ntviz["version"] == found.versions["ntviz"]
    assert found.machine["python"] == sys.executable and found.directory == str(Path.cwd())


def test_packages_are_told_when_a_cell_brings_them(job, monkeypatch):
    asked = []
    found = {"numpy": ["numpy"], "extra": ["numpy"]}
    monkeypatch.setattr(handle.metadata, "packages_distributions", lambda: asked.append(1) or found)
    job._after_cell()
    job._after_cell()
    monkeypatch.setitem(sys.modules, "extra", sys)
    job._after_cell()
    assert len(asked) == 1  # nothing new, and then a module that is known
    monkeypatch.setitem(sys.modules, "unknown_module", sys)
    job._after_cell()
    assert len(asked) == 2
    (versions,) = (found for record in manifest.records(job.dir) if (found := record["value"].get("versions")))
    assert versions["numpy"] == np.__version__


def test_a_user_without_a_name_has_a_number(monkeypatch):
    def nobody():
        raise KeyError("getpwuid(): uid not found: 77")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert environment.invocation()["user"] == str(os.getuid())


def test_tables_are_parquet_and_csv(job, monkeypatch):
    table = pd.DataFrame({"gene": ["HNF4A"], "score": [0.5]})
    path = job.save_table(table, "scores")
    pd.testing.assert_frame_equal(pd.read_parquet(path), table)
    pd.testing.assert_frame_equal(pd.read_csv(path.with_suffix(".csv")), table)
    monkeypatch.setattr(handle, "_CSV_ROWS", 0)
    assert not job.save_table(table.set_index("gene"), "long").with_suffix(".csv").exists()
    assert pd.read_parquet(job.dir / "tables" / "long.parquet").index.name == "gene"
    names = [record["value"] for record in manifest.records(job.dir)]
    assert names == ["tables/scores.parquet", "tables/long.parquet"]


def test_figures_are_saved(job, monkeypatch):
    drawing = matplotlib.figure.Figure(figsize=(1, 1))
    axes = drawing.subplots()
    axes.plot([0, 1], label="y")
    axes.set_label("A line that rises.")
    for given in (drawing, axes):
        path = job.save_figure(given, "line")
        assert path.read_bytes().startswith(b"\x89PNG")
        assert b"Description\x00A line that rises." in path.read_bytes()
        assert "<svg" in (page := path.with_suffix(".svg").read_text())
        assert "A line that rises." in page

    figure = go.Figure(go.Scatter(y=[1, 2]), layout={"meta": {"alt": "A line that rises."}})
    path = job.save_figure(figure, "rise")
    assert 'aria-label="A line that rises."' in path.read_text()
    assert list(plotly.io.read_json(path.with_suffix(".json")).data[0].y) == [1, 2]
    # The tests' machine has kaleido and a Chromium; a node of a cluster has not.
    assert "<svg" in path.with_suffix(".svg").read_text()
    monkeypatch.setattr(plot.show, "_browser", lambda: "no Chromium")
    assert not job.save_figure(figure, "bare").with_suffix(".svg").exists()
    names = [record["value"] for record in manifest.records(job.dir)]
    assert names == ["figures/line.png", "figures/line.png", "figures/rise.html", "figures/bare.html"]


@pytest.mark.parametrize("name", ["../up", "a b", "", ".hidden", "a/b"])
def test_names_are_plain(job, name):
    with pytest.raises(ValueError, match="a name must consist of letters, digits"):
        job.save_table(pd.DataFrame({"a": [1]}), name)


def test_what_cannot_be_recorded_is_refused(job, tmp_path):
    with pytest.raises(TypeError, match="must be a number, text, list or dict, but object came"):
        job.record(thing=object())
    with pytest.raises(TypeError, match="must have an `info` dict to be recorded, but object has None"):
        job.record_model(object())
    with pytest.raises(FileNotFoundError, match="a file must exist to be recorded"):
        job.record_data(tmp_path / "nothing")
    with pytest.raises(TypeError, match="must come from ntviz.plot, plotly or matplotlib, but int came"):
        job.save_figure(3, "x")
    with pytest.raises(ValueError, match="an answer must be a sentence"):
        job.answer("  ")
    assert manifest.records(job.dir) == []


def test_a_record_that_was_cut_off_is_left_out(job):
    job.record(a=1)
    with open(job.dir / manifest.RECORDS, "a") as handle:
        handle.write('{"kind": "metrics", "val')
    assert [record["value"] for record in manifest.records(job.dir)] == [{"a": 1}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "must be JSON of schema 'ntviz-run/1', but Expecting"),
        ("[]", "but its schema is None"),
        ('{"schema": "ntviz-run/9"}', "but its schema is 'ntviz-run/9'"),
        ('{"schema": "ntviz-run/1", "status": "ok"}', "but it has no notebook"),
        ('{"schema": "ntviz-run/1", "status": "fine", "notebook": "x"}', "but its status is 'fine'"),
    ],
)
def test_broken_manifests_are_named(tmp_path, content, message):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        manifest.read(tmp_path)


def test_a_manifest_of_a_newer_minor_version_is_read(tmp_path):
    manifest.Manifest("ok", "toy").write(tmp_path)
    content = json.loads((tmp_path / "manifest.json").read_text()) | {"new_field": 1}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    assert manifest.read(tmp_path).notebook == "toy"


def test_git_states(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)

    assert environment.git_state(tmp_path) is None
    (tmp_path / "file").write_text("1")
    git("init", "-q")
    git("add", "file")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first")
    # A clone that belongs to somebody else, which git asks its user about, is read too.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    state = environment.git_state(tmp_path)
    assert (len(state["commit"]), state["modified"]) == (40, False)
    (tmp_path / "file").write_text("2")
    assert environment.git_state(tmp_path)["modified"] is True
    assert environment.git_state(tmp_path, "file")["modified"] is True
    assert environment.git_state(tmp_path, "other") is None
