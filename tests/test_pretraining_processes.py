"""Runs stopped, damaged, shared out over processes or gone on with under other inputs: they end as one that never was, or say why not."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pysam
import pytest
import torch
from pretraining_toy import (
    CUT,
    TINY,
    over_processes,
    random_dna,
    ranked,
    stop_after,
    train,
    variant,
    write_fasta,
    write_vcf,
)
from typer.testing import CliRunner

from ntviz import cli
from ntviz.genome import Interval
from ntviz.pretraining import checkpoints, corpus, haplotypes, training
from ntviz.pretraining.recipe import Recipe

COLUMNS = ["step", "tokens", "loss", "learning_rate", "held_out_loss", "held_out_accuracy"]


@pytest.fixture(scope="module")
def fasta(tmp_path_factory) -> Path:
    return write_fasta(tmp_path_factory.mktemp("genome") / "toy.fa", chr1=random_dna(30_000))


@pytest.fixture(scope="module")
def small(fasta):
    return corpus.read([fasta], held_out=[Interval("chr1", 12_000, 15_000)], **CUT)


def config(path: Path, fasta: Path, steps: int, recipe: Recipe = TINY) -> Path:
    lines = [f'recipe = "paper"\nsteps = {steps}\n[changes]']
    lines += [f"{name} = {json.dumps(value)}" for name, value in recipe.as_dict().items()]
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
    content = bytearray((run / checkpoints.LAST / name).read_bytes())
    # One changed letter in the middle: the file still reads, and its checksum tells.
    content[len(content) // 2] ^= 1
    (run / checkpoints.LAST / name).write_bytes(content)
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


@pytest.fixture(scope="module")
def pretrain():
    """Runs the command over two processes, which must end well. They begin as copies of one that has imported torch."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ntviz.pretraining.training"])

    def run(path: Path, out: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        arguments = ["pretrain", str(path), "--out", str(out)]
        both = [context.Process(target=ranked, args=(rank, port, arguments), daemon=True) for rank in (0, 1)]
        for process in both:
            process.start()
        for process in both:
            process.join(240)
        assert [process.exitcode for process in both] == [0, 0]

    return run


def test_two_processes_stopped_and_started_again_give_the_losses_of_one(pretrain, fasta, tmp_path):
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
    one = train(read, tmp_path / "one", reached + 4, recipe, checkpoint_every=1_000_000).history
    two = training.read_history(out)
    assert two["step"].tolist() == list(range(1, reached + 5))
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-4)
    np.testing.assert_allclose(two["loss"].iloc[:3], one["loss"].iloc[:3], rtol=1e-5)
    np.testing.assert_allclose(two["held_out_loss"].iloc[:-1], one["held_out_loss"].iloc[:-1], rtol=1e-4)


def test_shards_of_a_model_over_two_processes_give_the_losses_of_one(pretrain, fasta, tmp_path):
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

SHAPE = """
layers = 1\nheads = 2\nhidden = 16\nffn = 24\nmax_tokens = 31\nstep_tokens = 248\nmicro_tokens = 248
precision = "float32"
"""


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
    write_vcf(tmp_path / "toy.vcf", [(1000, text[999], other, "0|1")], ["S1"], length=6_000)
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
        (GOOD.replace(CORPORA["fastas"], "genomes = 'genomes.tsv'\nheld_out = []"), "neither vcf nor held_out"),
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


# What decides a run is compared when it goes on; a number that is not finite ends it, the last checkpoint kept --------


BASES = random_dna(4_000)
REGION = Interval("chr1", 2_000, 3_000)


def of(source, recipe=TINY, limit=256):
    return checkpoints.decided(source, recipe, source.judged_on.held_out.iloc[:limit])


def read(folder, held_out=(REGION,), bases=BASES, **options):
    """Two contigs in two files, cut as ever."""
    folder.mkdir(exist_ok=True)
    files = [write_fasta(folder / "a.fa", chr1=bases), write_fasta(folder / "b.fa", chr2=random_dna(900, 1))]
    return corpus.read(files, held_out=held_out, **(CUT | options))


@pytest.fixture
def begun(tmp_path):
    """The state of a checkpoint after four steps, as JSON keeps it."""
    return json.loads(json.dumps(of(read(tmp_path)) | {"step": 4}))


def accepted(before, now, accept=True):
    return checkpoints.agreed(before, now, accept=accept, place="runs/x")


def test_the_same_content_goes_on_however_it_lies_there(begun, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    # Another file name, contig name, case, width of lines and ends of lines; and bgzip.
    text = "".join(f"{BASES[start : start + 50].lower()}\r\n" for start in range(0, len(BASES), 50))
    (folder / "moved.fa").write_text(f">1 primary\r\n{text}", newline="")
    second = write_fasta(folder / "plain.fa", chr2=random_dna(900, 1))
    pysam.tabix_compress(str(second), str(folder / "second.fa.gz"))
    for store in corpus.STORES:
        where = {"folder": tmp_path / "kept"} if store == "shards" else {}
        files = [folder / "moved.fa", folder / "second.fa.gz"]
        same = corpus.read(files, held_out=[Interval("1", 2_000, 3_000)], store=store, **where, **CUT)
        kept, comparable = accepted(begun, of(same), accept=False)
        assert comparable and kept["learned"] == begun["learned"] and kept["changes"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bases": "T" + BASES[1:] if BASES[0] != "T" else "A" + BASES[1:]}, r"contig: chr1 of a\.fa \(4,000 bp\) is of other content"),
        ({"bases": BASES[:-1]}, r"contig was chr1 of a\.fa \(4,000 bp\) and is now chr1 of a\.fa \(3,999 bp\)"),
        ({"held_out": ()}, "held out was 5 sequences of chr1:2,001-2,900 and is now 0 sequences of no region"),
        ({"held_out": (Interval("chr1", 2_000, 2_500),)}, "held out was 5 .* and is now 2 sequences of chr1:2,001-2,360"),
        ({"overlap_bp": 20}, r"chunks \(chunk_bp, overlap_bp, tokens_bp, max_n\) was 22 and is now 18"),
    ],
)  # fmt: skip
def test_each_change_of_the_corpus_is_refused_in_words_and_accepted(begun, tmp_path, options, words):
    now = of(read(tmp_path / "now", **options))
    with pytest.raises(checkpoints.Changed, match=f"runs/x must go on with .* but {words}.*accept_changes=True"):
        accepted(begun, now, accept=False)
    with pytest.warns(UserWarning, match=f"runs/x goes on after step 4, but {words}"):
        kept, comparable = accepted(begun, now)
    # Losses can be compared where the same bases are held out; what was learned once stays learned.
    assert comparable is ("held out" not in words and "bases" not in options)
    assert [change["step"] for change in kept["changes"]] == [4]
    assert {tuple(mark) for mark in begun["learned"]} <= {tuple(mark) for mark in kept["learned"]}


def test_sources_judged_sequences_tokenizer_and_weights_are_compared(begun, tmp_path, monkeypatch):
    read(tmp_path)
    third = write_fasta(tmp_path / "c.fa", chr3=random_dna(800, 7))
    files = [tmp_path / "a.fa", tmp_path / "b.fa"]
    for now, words in ((files[::-1], "is now in another order"), ([*files, third], r"is now with chr3 of c\.fa")):
        with pytest.raises(checkpoints.Changed, match=words):
            accepted(begun, of(corpus.read(now, held_out=[REGION], **CUT)), accept=False)
    # What changes memory or the end of the schedule goes on.
    free = {"micro_tokens": 62, "cooldown_steps": 9, "recompute": True, "precision": "auto"}
    accepted(begun, of(read(tmp_path), variant(**free)), accept=False)
    with pytest.raises(checkpoints.Changed, match="held out was 5 sequences .* and is now 2 sequences"):
        accepted(begun, of(read(tmp_path), limit=2), accept=False)
    sheet = tmp_path / "genomes.tsv"
    found = []
    for weights in ((1, 3), (2, 6), (1, 1)):
        sheet.write_text(f"name\tfasta\tweight\nx\ta.fa\t{weights[0]}\ny\tb.fa\t{weights[1]}\n")
        found.append(of(corpus.read_sheet(sheet, store="memory", **CUT)) | {"step": 1})
    accepted(found[0], found[1], accept=False)  # shares decide, as 1 to 3 is 2 to 6
    with pytest.raises(checkpoints.Changed, match="weight is now without 1 of x, 3 of y and with 1 of x, 1 of y"):
        accepted(found[0], found[2], accept=False)
    other = SimpleNamespace(to_text=lambda: "A\nC", name="nt-v2")
    monkeypatch.setattr(checkpoints, "VOCABULARIES", {"nt-v2": other})
    with pytest.raises(checkpoints.Changed, match="tokenizer: nt-v2 is of other content"):
        accepted(begun, of(read(tmp_path)), accept=False)


@pytest.mark.parametrize("name", sorted(set(TINY.as_dict()) - set(checkpoints._FREE)))
def test_each_number_of_the_recipe_that_decides_is_compared(begun, tmp_path, name):
    other = {"vocabulary": "nt-v1", "optimiser": "muon", "schedule": "inverse-sqrt", "max_tokens": 30}
    value = TINY.as_dict()[name]
    changed = other.get(name, not value if isinstance(value, bool) else value * 2 or 1)
    now = begun | {"recipe": begun["recipe"] | {name: changed}}
    with pytest.raises(checkpoints.Changed, match=f"{name} was {value!r} and is now {changed!r}"):
        accepted(begun, now, accept=False)
    if name in checkpoints._SHAPE:
        with pytest.raises(checkpoints.Changed, match=f"weights are of another {name}: train in another"):
            accepted(begun, now)
    else:
        with pytest.warns(UserWarning, match=f"{name} was"):
            assert accepted(begun, now)[1]


def test_individuals_are_compared(tmp_path):
    fasta = write_fasta(tmp_path / "a.fa", chr1=BASES)
    first, second = (
        write_vcf(tmp_path / f"{name}.vcf", [(9, BASES[8], "N", genotype, "0|1")], length=4_000)
        for name, genotype in (("x", "0|1"), ("y", "1|1"))
    )
    source = haplotypes.read(first, fasta, held_out=[REGION], **CUT)
    begun = of(source) | {"step": 1}
    accepted(begun, of(dataclasses.replace(source)), accept=False)
    sheet = tmp_path / "samples.tsv"
    sheet.write_text("sample\tpopulation\nS2\tall\n")
    for vcf, options, words in (
        (first, {"unphased": "written"}, "unphased was 'reference' and is now 'written'"),
        (first, {"sheet": sheet}, r"population was all \(2 samples"),
        (second, {}, r"VCF was x\.vcf\.gz .* and is now y\.vcf\.gz"),
    ):
        other = of(haplotypes.read(vcf, fasta, held_out=[REGION], **options, **CUT))
        with pytest.raises(checkpoints.Changed, match=words):
            accepted(begun, other, accept=False)


def test_no_base_that_was_learned_from_is_ever_held_out(tmp_path):
    """Against sets of single bases, for regions all over the contig."""
    source = read(tmp_path)
    begun = of(source) | {"step": 4}
    chr1 = source.chunks[source.chunks["chrom"] == "chr1"]
    trained = {base for row in chr1.itertuples() for base in range(row.start, row.end)}
    outcomes = []
    for start in range(0, 3_800, 190):
        other = read(tmp_path, held_out=[Interval("chr1", start, start + 200)])
        learned = any(trained & set(range(row.start, row.end)) for row in other.held_out.itertuples())
        outcomes.append(learned)
        trained_on = pytest.raises(checkpoints.Changed, match="it was trained on chr1:.*, now held out")
        with trained_on if learned else pytest.warns(UserWarning, match="best/ begins anew"):
            accepted(begun, of(other))
    assert set(outcomes) == {True, False}


def test_a_contig_is_known_by_its_bases_a_masked_one_by_its_name_an_unknown_one_by_nothing(begun, tmp_path):
    # The bases of chr1 under a name that says nothing, and chr1 with its first half masked.
    for name, bases in (("scaffold9", BASES), ("1", "N" * 1_000 + BASES[1_000:])):
        fasta = write_fasta(tmp_path / f"{name}.fa", **{name: bases})
        region = Interval(name, 3_000, 3_400)
        with pytest.raises(checkpoints.Changed, match=r"trained on chr1:3,121-3,360, now held out"):
            accepted(begun, of(corpus.read([fasta], held_out=[region], **CUT)))
    # What was learned in an earlier part counts, too.
    with pytest.warns(UserWarning, match="held out"):
        kept, _ = accepted(begun, of(read(tmp_path, held_out=[Interval("chr1", 2_000, 2_400)])))
    with pytest.raises(checkpoints.Changed, match=r"trained on chr1:2,\d+-2,\d+, now held out"):
        accepted(kept | {"step": 8}, of(read(tmp_path)))
    old, now = {"recipe": begun["recipe"], "step": 4}, of(read(tmp_path))
    with pytest.raises(checkpoints.Changed, match="an earlier version wrote, is not known"):
        accepted(old, now, accept=False)
    with pytest.warns(UserWarning, match="is not known.*best/ begins anew"):
        assert accepted(old, now)[0]["learned"] == now["learned"]


briefly = partial(train, evaluate_every=2, checkpoint_every=1, evaluate_sequences=256)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_that_goes_on_with_another_region_begins_best_anew(tmp_path):
    source, run = read(tmp_path), tmp_path / "run"
    briefly(source, run, 2)
    before = contents(run)
    other = read(tmp_path, held_out=[Interval("chr1", 2_000, 2_500)])
    with pytest.raises(checkpoints.Changed, match="held out was 5 sequences"):
        briefly(other, run, 4)
    assert contents(run) == before
    state = json.loads((run / "checkpoint" / "state.json").read_text())
    (run / "checkpoint" / "state.json").write_text(json.dumps(state | {"best": 0.0}))
    (run / "checkpoint" / "checksums.sha256").unlink()
    with pytest.warns(UserWarning, match="best/ begins anew"):
        history = briefly(other, run, 4, accept_changes=True).history
    best = json.loads((run / "best" / "training.json").read_text())
    assert best["held_out_loss"] == history["held_out_loss"].iloc[3] and best["changes"][0]["step"] == 2
    # From here on it is a run like any other.
    assert briefly(other, run, 5).history["step"].tolist() == [1, 2, 3, 4, 5]


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def broken(kind, monkeypatch):
    """Makes the third step of a run give a loss, a gradient or weights that are not finite."""
    calls = []
    build, optimisers = training.encoder.build, training._optimisers

    def third(*_):
        calls.append(1)
        return len(calls) == 3

    def built(config):
        module = build(config)
        if kind == "loss":
            module.lm_head.register_forward_hook(lambda m, _, out: out * torch.nan if m.training and third() else out)
        if kind == "gradient":
            module.lm_head.decoder.weight.register_hook(lambda g: g * torch.inf if third() else g)
        return module

    def stepping(module, recipe):
        found = optimisers(module, recipe)
        if kind == "weights":
            spoil = lambda *_: third() and module.lm_head.decoder.weight.data.fill_(torch.nan)  # noqa: E731
            found[0].register_step_post_hook(spoil)
        return found

    monkeypatch.setattr(training.encoder, "build", built)
    monkeypatch.setattr(training, "_optimisers", stepping)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("loss", "the loss is nan"),
        ("gradient", r"the loss is 8\.\d+, the norm of its gradient (inf|nan)"),
        ("weights", "the loss on the same sequences is not finite after it"),
    ],
)
def test_what_is_not_finite_ends_the_run_before_a_checkpoint_is_lost(tmp_path, monkeypatch, kind, words):
    source, run = read(tmp_path), tmp_path / "run"
    whole = briefly(source, tmp_path / "whole", 4).history
    briefly(source, run, 2)
    kept = contents(run)
    shutil.rmtree(run)
    broken(kind, monkeypatch)
    step = (
        rf"at step 3, with learning rate 0\.007, {words}.*8 sequences from the chunks chr\d:.*checkpoint of step 2 in "
    )
    with pytest.raises(FloatingPointError, match=step):
        briefly(source, run, 4)
    monkeypatch.undo()
    left = contents(run)
    assert left.keys() >= {path for path in kept if path.parent.name != "checkpoint.before"}
    for path in (run / "checkpoint" / "weights.safetensors", run / "best" / "model.safetensors"):
        assert left[path] == kept[path]
    rows = (run / "history.jsonl").read_text().splitlines()
    assert [json.loads(row, parse_constant=refuse)["step"] for row in rows] == [1, 2]
    np.testing.assert_array_equal(briefly(source, run, 4).history["loss"], whole["loss"])


def test_without_a_checkpoint_yet_it_is_said_and_files_are_json(tmp_path):
    source = read(tmp_path, held_out=())
    endless = variant(learning_rate=float("inf"), first_learning_rate=float("inf"))
    with pytest.raises(FloatingPointError, match=r"at step 1, with learning rate (inf|nan), .*No checkpoint yet"):
        briefly(source, tmp_path / "bad", 2, endless)
    assert not (tmp_path / "bad" / "checkpoint").exists()
    briefly(source, tmp_path / "run", 1)
    text = (tmp_path / "run" / "checkpoint" / "state.json").read_text()
    assert json.loads(text, parse_constant=refuse)["best"] is None
