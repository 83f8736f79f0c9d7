"""Files as people have them, beside the clone (see conftest.py): each case's README says what must come out."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pysam
import pytest
from typer.testing import CliRunner

from ntviz import annotation, benchmark, cli, motifs
from ntviz.genome import Interval
from ntviz.reference import Reference
from ntviz.variants.vcf import VcfFile

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"


def case(name: str) -> Path:
    path = CASES / name
    if not path.exists():
        pytest.fail(f"{path} must lie beside the clone here, and does not. Copy it there, or unset CI.")
    return path


@pytest.fixture
def asked(monkeypatch, capsys):
    """What the script of a case prints, of one of its files where it takes one."""

    def ask(name: str, *files: str) -> str:
        monkeypatch.setattr(sys, "argv", ["ask.py", *(str(case(name) / file) for file in files)])
        capsys.readouterr()
        runpy.run_path(str(case(name) / "ask.py"))
        return capsys.readouterr().out

    return ask


def ntviz(*words: object):
    return CliRunner().invoke(cli.app, list(map(str, words)))


def done(*words: object):
    """The command in this process, which must end well."""
    result = ntviz(*words)
    assert result.exit_code == 0, result.output
    return result


def stretches(found: annotation.Annotation, kind: str) -> list[list[int]]:
    return found.elements(kind)[["start", "end"]].values.tolist()


@pytest.mark.parametrize("name", ["braker", "ucsc", "full"])
def test_augustus_bare_ids(name):
    found = annotation.read(case("augustus-bare-ids") / f"{name}.gtf")
    assert str(found.gene("g1")) == "c1:1501-1900(+)" and stretches(found, "promoter") == [[500, 1600]]
    assert found.broken.empty


def test_beds():
    found = annotation.named(case("bed-lines-lost") / "peaks.bed")["peaks"]
    assert found.table["start"].tolist() == [43_000_000, 43_100_000, 43_200_000]
    file = case("narrowpeak-name") / "x_peaks.narrowPeak"
    for found in (annotation.read(file), annotation.named(file)["x_peaks"]):
        assert found.table[["start", "end", "name"]].values.tolist() == [[100, 500, "p1"], [600, 700, "p2"]]


@pytest.mark.parametrize(("file", "told"), [
    ("mixed.gff3", ["['missense', 'ND1']"]),
    ("bacterium.gff3", ["('start_codon', [[200, 203]])", "[['missense', 'dnaA'], ['stop_lost', 'dnaA'], ", "['intergenic', '']]"]),
    ("sgd.gff", ["('start_codon', [[200, 203]])", "[['missense', 'ABC1'], ['stop_lost', 'ABC1'], ", "['intergenic', '']]"]),
    # Its CDS of 30 and 16 bp has codon 15 at 263-265, before the last base: bcftools csq calls 265 missense, L to F.
    ("phytozome.gff3", ["('start_codon', [[200, 203]])", "('intron', [[230, 250]])", "('splice_donor', [[230, 232]])",
                        "[['missense', 'P1'], ['missense', 'P1'], ['intergenic', '']"]),
    ("prokka.gff", ["c1:201-266(+)\nc1:201-266(+)"]),
])  # fmt: skip
def test_cds_only_genes(file, told, asked):
    printed = asked("cds-only-genes", file)
    assert [text for text in told if text not in printed] == []


@pytest.mark.parametrize("file", ["partial.gtf", "partial.gff3"])
def test_cds_phase(file, asked):
    printed = asked("cds-phase", file)
    rows = [line.split() for line in printed.splitlines()[1:]]
    assert [(row[1], row[3]) for row in rows[:4]] == [("stop_gained", "GAA>TAA"), ("missense", "AAA>CAA")] * 2
    assert printed.endswith("start codons: []\n")


def test_gff_transcript_types():
    files = sorted(case("gff-transcript-types").glob("*.gff3"))
    assert len(files) == 8
    for file in files:
        found = annotation.read(file)
        assert stretches(found, "intron") == [[200, 800]], file
        assert stretches(found, "splice_donor") == [[200, 202], [400, 402]]
        assert sorted(set(found.table["transcript"]) - {""}) == ["T1", "T2"]


def test_names_of_genes():
    found = annotation.read(case("gff-semicolon") / "in.gff3")
    assert (str(found.gene("AT1")), str(found.gene("g2"))) == ("c1:101-200(+)", "c1:301-400(+)")
    table = annotation.read(case("gtf-quoted-words") / "in.gtf").table
    assert table[["gene_id", "transcript"]].values.tolist() == [["A;B", "T1"], ["G2", "T2"], ["G3", "T3"]]

    found = annotation.read(case("protein-coding-gene") / "veupathdb.gff")
    assert found.gene("LdX_010010") == found.gene("ABC1") == Interval("c1", 100, 400, "-")
    assert found.gene("tX") == Interval("c1", 800, 880, "+")
    assert set(found.table[found.table["element"] == "exon"]["gene"]) == {"ABC1", "LdX_nc"}
    found = annotation.read(case("two-loci-one-id") / "refgene.gtf")
    with pytest.raises(ValueError, match=r"'DUX' is 2: DUX at c1:101-400, DUX at c1:500,101-500,400"):
        found.gene("DUX")


LLR = ("--scores", "llr", "--no-background")


@pytest.mark.parametrize("name", ["oneline.fa", "wrapped.fa", "crlf.fa", "short.fa"])
def test_a_fasta_without_a_last_line_end_is_scored(tmp_path, name):
    folder, out = case("fasta-no-final-newline"), tmp_path / "out.vcf"
    done("score", folder / "in.vcf", "--out", out, "--reference", folder / name, *LLR)
    records = [line for line in out.read_text().splitlines() if line[0] != "#"]
    assert len(records) == 2 and all("NTV_STATUS=ok" in record for record in records)


def test_fastas_that_are_cut_off_or_begin_with_an_empty_line(tmp_path):
    path = shutil.copyfile(case("fasta-no-final-newline") / "cut.fa", tmp_path / "cut.fa")
    # As samtools faidx writes it of the whole: 3,000 bp in lines of 60.
    (tmp_path / "cut.fa.fai").write_text("c1\t3000\t4\t60\t61\n")
    with pytest.raises(ValueError, match=r"needs data at byte 3,053, and cut.fa \(2,504 bytes\) does not"):
        Reference(path)
    assert Reference(case("fasta-leading-blank") / "blank.fa").contigs == {"c1": 60}
    with pytest.raises(ValueError, match="must have bases; 'a', line 1 of empty.fa, has none"):
        Reference(case("fasta-leading-blank") / "empty.fa")
    with pytest.raises(ValueError, match="line 3 of twice.fa repeats 'a' of line 1"):
        Reference(case("fasta-leading-blank") / "twice.fa")


def test_a_byte_order_mark_is_no_letter():
    assert set(annotation.read(case("byte-order-mark") / "in.bed").table["chrom"]) == {"c1"}
    signal = annotation.read_signal(case("byte-order-mark") / "in.bedgraph")
    assert signal.values(Interval("c1", 1, 5)).tolist() == [0.4] * 4
    assert np.isnan(signal.values(Interval("c1", 0, 6))[[0, 5]]).all()
    with VcfFile(case("byte-order-mark") / "in.vcf") as file:
        assert [(row.chrom, row.pos, row.ref, row.alts) for row in file] == [("c1", 1500, "A", ("C",))]


def test_motifs_of_other_programs():
    folder = case("meme-text-output")
    found = motifs.read(folder / "meme.txt")
    assert [len(motif) for motif in found] == [3]
    assert found.background == pytest.approx((0.29, 0.21, 0.21, 0.29))
    (like,) = motifs.read(folder / "dnalike.meme")
    assert np.array_equal(like.probabilities, next(iter(found)).probabilities)
    (counted,) = motifs.read(folder / "jaspar.pfm")
    assert (counted.id, counted.name) == ("X0001.1", "toy")
    assert counted.counts == pytest.approx(np.array([[4, 16, 0, 0], [19, 0, 1, 0], [0, 20, 0, 0]]))
    (homer,) = motifs.read(folder / "homer.motif")
    assert homer.probabilities == pytest.approx(np.array([[0.9, 0.03, 0.03, 0.04], [0.05, 0.9, 0.02, 0.03]]))


@pytest.mark.parametrize(("name", "words", "most"), [
    ("transformers5-names", "largest difference of a logit", 1e-4),
    ("gated-save-pretrained", "largest difference of a logit", 1e-6),
    ("headless-checkpoint", "largest difference of a state", 1e-4),
])  # fmt: skip
def test_a_checkpoint_gives_the_numbers_of_its_writer(name, words, most, asked):
    lines = asked(name).splitlines()
    (number,) = (line.rpartition(": ")[2] for line in lines if line.startswith(f"{words}: "))
    assert float(number) < most


def test_results_in_a_folder_called_as_the_model_do_not_hide_it(monkeypatch, tmp_path):
    shutil.copyfile(case("model-name-folder") / "in.vcf", tmp_path / "in.vcf")
    monkeypatch.chdir(tmp_path)
    for name in ("one.vcf", "two.vcf"):
        done("score", "in.vcf", "--model", "ntviz-mini", "--out", f"ntviz-mini/{name}", *LLR)
        lines = (tmp_path / "ntviz-mini" / name).read_text().splitlines()
        assert ["NTV_STATUS=ok" in line for line in lines if line[0] != "#"] == [True]


MINI = ("benchmark", "run", "--models", "ntviz-mini", "--permutations", "0", "--no-twins")


def test_a_test_part_of_one_class_is_not_defined_and_not_ranked(tmp_path):
    out = tmp_path / "out"
    told = done(*MINI, "--tasks", case("one-class-test"), "--methods", "kmer,logistic", "--out", out)
    assert "0.000" not in told.stdout
    reason = "mcc is not defined: all 8 judged examples are of class 1"
    assert told.stdout.count(reason) == told.stderr.count(reason) == 2
    board = benchmark.leaderboard(out)
    assert board.overall[["value", "low", "high", "rank"]].isna().all(axis=None)
    assert reason in (out / "report.html").read_text()


def test_missing_labels_are_left_out_and_parts_known_by_their_files(asked):
    r, python = asked("missing-labels").splitlines()
    assert r.startswith("r.csv binary ('0', '1') 24 2 rows whose label is missing (NA) were left out")
    assert python.startswith("python.csv binary ('0', '1') 24 1 rows whose label is missing (nan) were left out")
    assert "1 rows whose label is missing (None) were left out" in python
    assert asked("part-file-names").startswith("{'train': 16, 'test': 8}")


def test_labels_of_every_kind_are_taken_rightly_or_refused(asked):
    lines = asked("kinds-of-labels").splitlines()
    found = dict(line.split(": ", 1) if "Error" in line else line.rsplit(": ", 1) for line in lines)
    for kind in ("int64", "bool", "float64", "int32", "int8"):
        assert (found[f"tune {kind}"], float(found[f"scores {kind}"])) == (found["tune int64"], 1.0)
        assert float(found[f"probe {kind}"]) == pytest.approx(0.7526, abs=1e-4)
    for verb in ("tune", "scores", "probe"):
        text = "ValueError Labels of a binary task must be numbers from 0 to 1; received text"
        assert found[f"{verb} str"].startswith(text)
        assert found[f"{verb} 1 and 2"].endswith("received 2. Pass labels - 1.")
    assert found["train as indices 0 to 15, judged"] == "8"
    text = "ValueError Labels must be finite; those of 1 of 24 examples"
    assert found["regression with a missing value"].startswith(text)
    assert any("'pearson': 1.0" in line for line in lines if line.startswith("regression of one target"))


def test_half_precision_models_are_tuned_and_benchmarked(asked, tmp_path):
    lines = asked("half-precision-tuning").splitlines()
    assert len(lines) == 8 and all(line.endswith(" finite") and "not" not in line for line in lines)
    how = ("--methods", "head", "--dtype", "bfloat16", "--folds", "2", "--steps", "4", "--out", tmp_path / "out")
    done(*MINI, "--tasks", case("half-precision-tuning") / "task.csv", *how)


def test_the_mask_baseline_is_what_the_model_reads(asked):
    for line in asked("mask-baseline-token-dropout").splitlines():
        numbers = [float(number) for number in re.findall(r"-\d\.\d+", line)]
        value, model, baseline, masked = numbers[:4]
        assert (value, baseline) == (pytest.approx(model, abs=2e-5), pytest.approx(masked, abs=2e-5))


@pytest.mark.parametrize("words", [
    ("enrich", "--out", "out.tsv", "--windows", "2", "--around", "promoter", "--within", "chr20:42,900,001-43,300,000", "--nulls",
     "none", "--bootstrap", "10", "--length", "600"),
    ("landscape", "chr20:42,999,801-43,001,000", "--out", "out.npz", "--window", "300", "--by-element"),
])  # fmt: skip
def test_of_a_bed_no_line_is_lost_without_a_word(words, monkeypatch, tmp_path):
    """The start 4.31e+07 of one of three lines is read, or the terminal and the .json name its line."""
    monkeypatch.chdir(tmp_path)
    told = done(*words, "--beds", case("bed-lines-lost") / "peaks.bed").stderr
    notes = json.loads((tmp_path / "out.json").read_text())["notes"]
    (counted,) = (note for note in notes if note.startswith("Elements are those that overlap"))
    assert counted in told and "could not be read" not in told
    within = 3 if words[0] == "enrich" else 1  # the peaks start at 43.0, 43.1 and 43.2 Mb
    assert counted.endswith(f"; {within} of 3 features of peaks.bed do.")


def test_a_gap_among_numbers_is_no_letter(asked):
    assert asked("float-chromosome").splitlines() == ["['ok', 'ok', 'contig_missing']", "['missing', 'malformed']"]


def test_a_pretraining_goes_on_with_what_it_was_begun_with(tmp_path):
    folder, first = case("corpus-changed"), (case("corpus-changed") / "first.toml").read_text()

    def pretrain(config, out="out"):
        return ntviz("pretrain", config, "--out", tmp_path / out, "--device", "cpu")

    def history(out="out"):
        rows = map(json.loads, (tmp_path / out / "history.jsonl").read_text().splitlines())
        return [(row["loss"], row.get("held_out_loss")) for row in rows]

    assert pretrain(folder / "first.toml").exit_code == 0
    begun = history()
    for name, words in (
        ("other_genome", "contig was c1 of a.fa (6,000 bp) and is now c1 of b.fa (6,000 bp)"),
        ("other_held_out", "it was trained on c1:1-936, now held out"),
    ):
        refused = pretrain(folder / f"{name}.toml")
        assert (refused.exit_code, history()) == (2, begun) and words in refused.stderr
    # More steps of the same FASTA, moved and compressed, beside a run of that many that was never stopped.
    pysam.tabix_compress(str(folder / "a.fa"), str(tmp_path / "moved.fa.gz"))
    for out, fasta in (("out", "moved.fa.gz"), ("whole", str(folder / "a.fa"))):
        config = tmp_path / f"{out}.toml"
        config.write_text(first.replace("a.fa", fasta).replace("steps = 4", "steps = 8", 1))
        assert pretrain(config, out).exit_code == 0
    assert history()[:4] == begun and history() == history("whole")


@pytest.mark.parametrize("name", ["trailing_tabs", "comment"])
def test_empty_columns_and_comments_of_a_sheet_say_nothing(name, tmp_path):
    sheet, how = case("excel-sheet") / f"{name}.tsv", ("--profile", "local", "--dry-run")
    assert "007" in done("submit", sheet, "--out", tmp_path / "out", *how).stdout
