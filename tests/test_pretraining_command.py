"""`ntviz pretrain`: what its file may say, and runs on each kind of corpus."""

from __future__ import annotations

import pysam
import pytest
from pretraining_toy import random_dna, write_fasta
from typer.testing import CliRunner

from ntviz import cli
from ntviz.pretraining import training

NUMBERS = {
    "layers": 1,
    "heads": 2,
    "hidden": 16,
    "ffn": 24,
    "max_tokens": 31,
    "step_tokens": 248,
    "micro_tokens": 248,
}
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
    assert answer.stdout.strip().endswith("run")
    assert invoke(text.replace("STEPS", "4")).exit_code == 0
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
        (GOOD.replace("steps = 2", "steps = 2\nrecipe = 'huge'"), "recipe must be one of paper, small, mini"),
        (GOOD.replace("hidden = 16", "hiden = 16"), "got 'hiden'"),
        (GOOD.replace("hidden = 16", "hidden = '16'"), "hidden in [changes] must be a int; got '16'"),
        (GOOD + "colour = 'red'\n", "[corpus] must hold fastas, genomes, vcf"),
        (GOOD + "[run]\nevaluate_every = 0\n", "evaluate_every of"),
        (GOOD + "[run]\ncheckpoint_every = true\n", "got True"),
        (GOOD.replace('["toy.fa"]', '"toy.fa"'), "must be a list of files; got 'toy.fa'"),
        (GOOD.replace("toy.fa", "absent.fa"), "absent.fa"),
        (GOOD.replace("chr2:1-1,000", "chr9:1-1,000"), "held-out region must lie on a contig"),
        (GOOD + "genomes = 'genomes.tsv'\n", "one of them; it names fastas and genomes"),
        (GOOD + "sheet = 'samples.tsv'\n", "belong to a vcf"),
        (GOOD + "vcf = 'toy.vcf.gz'\n", "masked without random k-mers"),
        (GOOD + "vcf = 'toy.vcf.gz'\nstore = 'index'\n", "one FASTA and no store"),
        (
            GOOD.replace(CORPORA["fastas"], "genomes = 'genomes.tsv'\nheld_out = []"),
            "neither vcf nor held_out",
        ),
        (GOOD.replace("[changes]", "run = 3\n[changes]"), "run of"),
    ],
)
def test_what_is_wrong_in_the_file_ends_with_2_and_is_said(invoke, files, text, message):
    answer = invoke(text)
    assert answer.exit_code == 2
    assert message in answer.stderr.replace("\n", " ")
    assert not (files / "run").exists()


def test_hours_must_be_some(invoke, files):
    answer = invoke(GOOD, "--hours", "0")
    assert answer.exit_code == 2 and "--hours must be above 0; got 0" in answer.stderr


def test_a_loss_that_is_not_finite_fails_with_1_and_a_lower_rate_goes_on_on_purpose(invoke, files):
    bad = GOOD.replace("steps = 2", "steps = 9").replace("[changes]", "[changes]\nlearning_rate = 1e42")
    answer = invoke(bad)
    assert answer.exit_code == 1
    assert "must be finite; at step 3, with learning rate 1.25e+38, the loss is nan" in answer.stderr
    assert not (files / "run" / "checkpoint").exists()
    assert "NaN" not in (files / "run" / "history.jsonl").read_text()
    assert invoke(GOOD).exit_code == 0
    lower = GOOD.replace("steps = 2", "steps = 3").replace("[changes]", "[changes]\nlearning_rate = 1e-5")
    answer = invoke(lower)
    assert answer.exit_code == 2 and "learning_rate was 0.0001 and is now 1e-05" in answer.stderr
    with pytest.warns(UserWarning, match="goes on after step 2, but learning_rate was 0.0001"):
        assert invoke(lower, "--accept-changes").exit_code == 0
    assert training.read_history(files / "run")["step"].tolist() == [1, 2, 3]


def test_a_byte_order_mark_is_no_part_of_the_toml(invoke):
    answer = invoke("\ufeff[corpse]\r\n")
    assert answer.exit_code == 2
    assert "got 'corpse'" in answer.stderr
