"""Runs that are stopped, damaged and shared out over processes, and `ntviz pretrain`: the losses are those of one that never was."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pysam
import pytest
from pretraining_toy import CUT, TINY, over_processes, random_dna, stop_after, variant, write_fasta
from typer.testing import CliRunner

from ntviz import cli
from ntviz.genome import Interval
from ntviz.pretraining import checkpoints, corpus, training
from ntviz.pretraining.recipe import Recipe

COLUMNS = ["step", "tokens", "loss", "learning_rate", "held_out_loss", "held_out_accuracy"]


@pytest.fixture(scope="module")
def fasta(tmp_path_factory) -> Path:
    return write_fasta(tmp_path_factory.mktemp("genome") / "toy.fa", chr1=random_dna(30_000))


@pytest.fixture(scope="module")
def small(fasta):
    return corpus.read([fasta], held_out=[Interval("chr1", 12_000, 15_000)], **CUT)


def train(small, directory, steps, recipe=TINY, **options):
    defaults = {"device": "cpu", "evaluate_every": 4, "evaluate_sequences": 8, "checkpoint_every": 3}
    return training.train(recipe, small, directory, steps=steps, **(defaults | options))


def config(path: Path, fasta: Path, steps: int, recipe: Recipe = TINY) -> Path:
    changes = {name: value for name, value in recipe.as_dict().items() if value != Recipe().as_dict()[name]}
    lines = [f'recipe = "paper"\nsteps = {steps}\n[changes]']
    lines += [f"{name} = {json.dumps(value)}" for name, value in changes.items()]
    lines += [f'[corpus]\nfastas = ["{fasta}"]\nheld_out = ["chr1:12,001-15,000"]']
    lines += ["[run]\nevaluate_every = 4\nevaluate_sequences = 8\ncheckpoint_every = 1000000"]
    path.write_text("\n".join(lines) + "\n")
    return path


def as_command(fasta: Path, recipe: Recipe):
    """The corpus as the command cuts it."""
    cut = {"tokens_bp": 6 * (recipe.max_tokens - 1), "chunk_bp": 6 * (recipe.max_tokens - 1) + 106}
    return corpus.read([fasta], held_out=[Interval("chr1", 12_000, 15_000)], overlap_bp=50, **cut)


def test_a_signal_ends_the_run_with_a_checkpoint_and_it_goes_on_exactly(small, tmp_path):
    whole = train(small, tmp_path / "whole", 8)
    before = signal.getsignal(signal.SIGTERM)

    def ask(row):
        if row["step"] == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    # A step that begins before the signal is noted is finished, and no other one is begun.
    stopped = train(small, tmp_path / "parts", 8, heed_signals=True, on_step=ask)
    assert stopped.stopped == "SIGTERM" and stopped.history["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert signal.getsignal(signal.SIGTERM) is before
    rest = train(small, tmp_path / "parts", 8, heed_signals=True)
    assert not rest.stopped
    pd.testing.assert_frame_equal(whole.history[COLUMNS], rest.history[COLUMNS], check_exact=True)


def test_handlers_return_after_an_error_and_only_the_main_thread_has_them():
    before = [signal.getsignal(number) for number in training.SIGNALS]
    with pytest.raises(RuntimeError, match="inside"), training.noted() as asked:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert asked == ["SIGUSR1"]
        raise RuntimeError("inside")
    assert [signal.getsignal(number) for number in training.SIGNALS] == before
    found = []

    def elsewhere():
        with training.noted() as asked:
            found.append((bool(asked), [signal.getsignal(number) for number in training.SIGNALS] == before))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [(False, True)]


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):
    """A run of six steps: its folder, and its losses."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(small, folder, 6).history["loss"].tolist()


@pytest.mark.parametrize("name", ["state.json", "weights.safetensors", "optimiser0.pt", "checksums.sha256"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(small, whole, tmp_path, name):
    run = shutil.copytree(whole[0], tmp_path / "run")
    # Another recipe is refused even where an older checkpoint stands.
    with pytest.raises(ValueError, match="hidden was 16 and is now 32"):
        train(small, run, 8, variant(hidden=32))
    path = run / checkpoints.LAST / name
    content = bytearray(path.read_bytes())
    # One changed letter in the middle: the file still reads, and its checksum tells.
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"checkpoint is damaged .*goes on from checkpoint\.before, step 3"):
        again = train(small, run, 6)
    assert again.history["loss"].tolist() == whole[1]


def test_a_run_killed_between_two_names_finds_its_checkpoint(small, whole, tmp_path):
    run = shutil.copytree(whole[0], tmp_path / "run")
    (run / checkpoints.LAST).rename(run / "checkpoint.next")
    assert train(small, run, 7).history["loss"].tolist()[:6] == whole[1]
    names = {path.name for path in run.iterdir()}
    assert names == {"best", "checkpoint", "checkpoint.before", "history.jsonl"}
    # The one before is from step 6, so the run did go on from what it had just written.
    assert json.loads((run / checkpoints.BEFORE / "state.json").read_text())["step"] in (3, 6)


def pretrain(path: Path, out: Path, *options: str) -> str:
    """What the command says over two processes, which must end well."""
    with over_processes("-m", "ntviz", "pretrain", str(path), "--out", str(out), *options) as process:
        said = process.communicate(timeout=240)[0]
    assert process.returncode == 0, said
    return said


def test_two_processes_stopped_and_started_again_give_the_losses_of_one(fasta, tmp_path):
    """Rounding differs, as sums are made in another order: 1e-4 relative after a dozen and more steps."""
    out, recipe = tmp_path / "two", variant(optimiser="muon")
    endless = config(tmp_path / "endless.toml", fasta, 1_000_000, recipe)
    with over_processes("-m", "ntviz", "pretrain", str(endless), "--out", str(out)) as process:
        said = stop_after(process, out / "history.jsonl", 6, signal.SIGUSR1)
    assert process.returncode != 0
    assert "exitcode  : 75" in said or "goes on" in said, said
    reached = json.loads((out / checkpoints.LAST / "state.json").read_text())["step"]
    assert reached == len(training.read_history(out)) >= 6
    # Four more, so that the state of the optimiser counts.
    pretrain(config(tmp_path / "rest.toml", fasta, reached + 4, recipe), out)
    read = as_command(fasta, recipe)
    one = train(read, tmp_path / "one", reached + 4, recipe, checkpoint_every=1_000_000)
    two = training.read_history(out)
    assert two["step"].tolist() == list(range(1, reached + 5))
    np.testing.assert_allclose(two["loss"], one.history["loss"], rtol=1e-4)
    np.testing.assert_allclose(two["loss"].iloc[:3], one.history["loss"].iloc[:3], rtol=1e-5)
    held = [history["held_out_loss"].iloc[:-1] for history in (two, one.history)]
    np.testing.assert_allclose(*held, rtol=1e-4)


def test_shards_of_a_model_over_two_processes_give_the_losses_of_one(fasta, tmp_path):
    """Each process holds half of every matrix; a checkpoint is whole, so one process goes on from it."""
    recipe = variant(sharded=True, recompute=True, micro_tokens=31 * 2, clip=1.0)
    out, path = tmp_path / "sharded", tmp_path / "sharded.toml"
    pretrain(config(path, fasta, 3, recipe), out)
    read = as_command(fasta, recipe)
    one = train(read, tmp_path / "one", 6, recipe, checkpoint_every=1_000_000).history
    np.testing.assert_allclose(training.read_history(out)["loss"], one["loss"].iloc[:3], rtol=1e-5)
    assert (out / "best" / "model.safetensors").is_file()
    alone = train(read, out, 4, recipe, checkpoint_every=1_000_000).history
    assert alone["loss"].iloc[3] == pytest.approx(one["loss"].iloc[3], rel=1e-5)
    # And back: the checkpoint of one process is shared out again.
    pretrain(config(path, fasta, 6, recipe), out)
    np.testing.assert_allclose(training.read_history(out)["loss"], one["loss"], rtol=1e-4)


def test_the_command_ends_with_the_code_to_requeue_on_as_the_batch_script_needs(fasta, tmp_path):
    history, deadline = tmp_path / "run" / "history.jsonl", time.monotonic() + 240

    def ask():
        while time.monotonic() < deadline:
            if history.is_file() and history.read_text().count("\n") >= 3:
                return os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.02)

    threading.Thread(target=ask, daemon=True).start()
    endless = config(tmp_path / "endless.toml", fasta, 1_000_000)
    done = CliRunner().invoke(cli.app, ["pretrain", str(endless), "--out", str(history.parent), "--device", "cpu"])
    assert done.exit_code == training.REQUEUE == 75, done.output
    assert "asked to stop after step" in done.stderr
    script = Path(__file__).parents[1] / "workflow" / "pretrain.sbatch"
    options = [f"#SBATCH --{option}" for option in ("requeue", "open-mode=append", "signal=B:USR1@")]
    for needed in (*options, "SLURM_RESTART_COUNT", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"):
        assert needed in script.read_text()
    subprocess.run(["bash", "-n", script], check=True)


# The command: what its file may say, and runs on each kind of corpus

NUMBERS = {
    "layers": 1, "heads": 2, "hidden": 16, "ffn": 24, "max_tokens": 31, "step_tokens": 248, "micro_tokens": 248,
}  # fmt: skip
SHAPE = "".join(f"\n{name} = {value}" for name, value in NUMBERS.items()) + '\nprecision = "float32"\n'


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Write a file and run the command on it, in this process, with its cache in the test's folder."""
    monkeypatch.setenv("NTVIZ_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NTVIZ_DEVICE", "cpu")

    def run(text, *options):
        path = tmp_path / "pretrain.toml"
        path.write_text(text)
        arguments = ["pretrain", str(path), "--out", str(tmp_path / "run"), *options]
        return CliRunner().invoke(cli.app, arguments, catch_exceptions=False)

    return run


@pytest.fixture
def files(tmp_path):
    """A FASTA of two contigs, a sheet over it, and a VCF of one sample."""
    text = random_dna(6_000)
    write_fasta(tmp_path / "toy.fa", chr1=text, chr2=random_dna(3_000, 1))
    (tmp_path / "genomes.tsv").write_text("name\tfasta\theld_out\ntoy\ttoy.fa\tchr2:1-1,000\n")
    (tmp_path / "samples.tsv").write_text("sample\tpopulation\nS1\tA\n")
    other = "A" if text[999] != "A" else "C"
    vcf = tmp_path / "toy.vcf"
    vcf.write_text(
        "##fileformat=VCFv4.2\n##contig=<ID=chr1,length=6000>\n"
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\n"
        f"chr1\t1000\t.\t{text[999]}\t{other}\t.\tPASS\t.\tGT\t0|1\n"
    )
    pysam.tabix_compress(str(vcf), f"{vcf}.gz")
    pysam.tabix_index(f"{vcf}.gz", preset="vcf")
    return tmp_path


CORPORA = {
    "fastas": 'fastas = ["toy.fa"]\nheld_out = ["chr2:1-1,000"]',
    "index": 'fastas = ["toy.fa"]\nheld_out = ["chr2:1-1,000"]\nstore = "index"\noverlap_bp = 10\nmax_n = 0.2',
    "genomes": 'genomes = "genomes.tsv"',
    "vcf": 'fastas = ["toy.fa"]\nvcf = "toy.vcf.gz"\nsheet = "samples.tsv"\nheld_out = ["chr2:1-1,000"]',
}


@pytest.mark.parametrize("kind", CORPORA)
def test_each_kind_of_corpus_is_trained_on_and_gone_on_with(invoke, files, kind):
    masks = "random_replacement = false\n" if kind == "vcf" else ""
    text = f"recipe = 'paper'\nsteps = STEPS\n[changes]{SHAPE}{masks}[corpus]\n{CORPORA[kind]}\n[run]\nevaluate_every = 2\n"
    answer = invoke(text.replace("STEPS", "2"))
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.strip().endswith("run") and invoke(text.replace("STEPS", "4")).exit_code == 0
    history = training.read_history(files / "run")
    assert history["step"].tolist() == [1, 2, 3, 4] and history["held_out_loss"].notna().sum() == 2
    assert history["loss"].between(7.5, 9).all()


GOOD = f"steps = 2\n[changes]{SHAPE}[corpus]\n{CORPORA['fastas']}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = ", "must be TOML; it is not"),
        ("steps = 2\n", "must say what to read in [corpus]"),
        ("stepz = 2\n" + GOOD, "got 'stepz'"),
        (GOOD.replace("steps = 2", "steps = 0"), "whole number from 1; got 0"),
        (GOOD.replace("hidden = 16", "hiden = 16"), "got 'hiden'"),
        (GOOD.replace("hidden = 16", "hidden = '16'"), "hidden in [changes] must be a int; got '16'"),
        (GOOD + "colour = 'red'\n", "[corpus] must hold fastas, genomes, vcf"),
        (GOOD + "[run]\nevaluate_every = 0\n", "evaluate_every of"),
        (GOOD.replace('["toy.fa"]', '"toy.fa"'), "must be a list of files; got 'toy.fa'"),
        (GOOD.replace("toy.fa", "absent.fa"), "absent.fa"),
        (GOOD + "genomes = 'genomes.tsv'\n", "one of them; it names fastas and genomes"),
        (GOOD + "sheet = 'samples.tsv'\n", "belong to a vcf"),
        (GOOD + "vcf = 'toy.vcf.gz'\n", "masked without random k-mers"),
        (GOOD + "vcf = 'toy.vcf.gz'\nstore = 'index'\n", "one FASTA and no store"),
        (
            GOOD.replace(CORPORA["fastas"], "genomes = 'genomes.tsv'\nheld_out = []"),
            "neither vcf nor held_out",
        ),
        (GOOD.replace("[changes]", "run = 3\n[changes]"), "run of"),
        (GOOD, "--hours must be above 0; got 0"),
        ("\ufeff[corpse]\r\n", "got 'corpse'"),  # a byte-order mark is no part of the TOML
    ],
)
def test_what_is_wrong_in_the_file_ends_with_2_and_is_said(invoke, files, text, message):
    answer = invoke(text, *(["--hours", "0"] if "--hours" in message else []))
    assert answer.exit_code == 2 and message in answer.stderr.replace("\n", " ")
    assert not (files / "run").exists()


def test_a_loss_that_is_not_finite_fails_with_1_and_a_lower_rate_goes_on_on_purpose(invoke, files):
    bad = GOOD.replace("steps = 2", "steps = 9").replace("[changes]", "[changes]\nlearning_rate = 1e42")
    answer = invoke(bad)
    assert answer.exit_code == 1
    assert "must be finite; at step 3, with learning rate 1.25e+38, the loss is nan" in answer.stderr
    assert not (files / "run" / "checkpoint").exists()
    assert "NaN" not in (files / "run" / "history.jsonl").read_text() and invoke(GOOD).exit_code == 0
    lower = GOOD.replace("steps = 2", "steps = 3").replace("[changes]", "[changes]\nlearning_rate = 1e-5")
    answer = invoke(lower)
    assert answer.exit_code == 2 and "learning_rate was 0.0001 and is now 1e-05" in answer.stderr
    with pytest.warns(UserWarning, match="goes on after step 2, but learning_rate was 0.0001"):
        assert invoke(lower, "--accept-changes").exit_code == 0
    assert training.read_history(files / "run")["step"].tolist() == [1, 2, 3]
