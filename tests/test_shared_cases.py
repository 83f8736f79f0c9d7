"""Files as people have them, beside the clone: each case's README says what must come out, and each is asked here.

The files are no part of the repository. Continuous integration has them in ../shared/cases, and fails here if it has not. A
machine of somebody's own without them does not collect this file at all (conftest.py), so nothing is skipped.
"""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ntviz import annotation, motifs
from ntviz.genome import Interval
from ntviz.reference import Reference
from ntviz.variants.vcf import VcfFile

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"


def case(name: str) -> Path:
    path = CASES / name
    if not path.exists():
        pytest.fail(f"{path} must lie beside the clone here, and does not. Copy it there, or unset CI.")
    return path


def asked(name: str, file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What the script of a case prints about one of its files."""
    monkeypatch.setattr(sys, "argv", ["ask.py", str(case(name) / file)])
    runpy.run_path(str(case(name) / "ask.py"))
    return capsys.readouterr().out


def stretches(found: annotation.Annotation, kind: str) -> list[list[int]]:
    return found.elements(kind)[["start", "end"]].values.tolist()


# Annotations ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["braker", "ucsc", "full"])
def test_augustus_bare_ids(name: str) -> None:
    found = annotation.read(case("augustus-bare-ids") / f"{name}.gtf")
    assert str(found.gene("g1")) == "c1:1501-1900(+)"
    assert stretches(found, "promoter") == [[500, 1600]]
    assert found.broken.empty


def test_bed_lines_lost() -> None:
    found = annotation.named(case("bed-lines-lost") / "peaks.bed")["peaks"]
    assert found.table["start"].tolist() == [43_000_000, 43_100_000, 43_200_000]


def test_byte_order_mark() -> None:
    assert set(annotation.read(case("byte-order-mark") / "in.bed").table["chrom"]) == {"c1"}


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("mixed.gff3", ["['missense', 'ND1']"]),
        ("bacterium.gff3", ["('start_codon', [[200, 203]])", "[['missense', 'dnaA'], ['stop_lost', 'dnaA'], ", "['intergenic', '']]"]),
        ("sgd.gff", ["('start_codon', [[200, 203]])", "[['missense', 'ABC1'], ['stop_lost', 'ABC1'], ", "['intergenic', '']]"]),
        # Its CDS of 30 and 16 bp has codon 15 at 263-265, before the last base: bcftools csq calls 265 missense, L to F.
        ("phytozome.gff3", ["('start_codon', [[200, 203]])", "('intron', [[230, 250]])", "('splice_donor', [[230, 232]])",
                            "[['missense', 'P1'], ['missense', 'P1'], ['intergenic', '']"]),
        ("prokka.gff", ["c1:201-266(+)\nc1:201-266(+)"]),
    ],
)  # fmt: skip
def test_cds_only_genes(
    file: str, told: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = asked("cds-only-genes", file, monkeypatch, capsys)
    assert [text for text in told if text not in printed] == []


@pytest.mark.parametrize("file", ["partial.gtf", "partial.gff3"])
def test_cds_phase(file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    printed = asked("cds-phase", file, monkeypatch, capsys)
    rows = [line.split() for line in printed.splitlines()[1:]]
    assert [(row[1], row[3]) for row in rows[:4]] == [("stop_gained", "GAA>TAA"), ("missense", "AAA>CAA")] * 2
    assert printed.endswith("start codons: []\n")


def test_gff_semicolon() -> None:
    found = annotation.read(case("gff-semicolon") / "in.gff3")
    assert (str(found.gene("AT1")), str(found.gene("g2"))) == ("c1:101-200(+)", "c1:301-400(+)")


def test_gff_transcript_types() -> None:
    files = sorted(case("gff-transcript-types").glob("*.gff3"))
    assert len(files) == 8
    for file in files:
        found = annotation.read(file)
        assert stretches(found, "intron") == [[200, 800]], file
        assert stretches(found, "splice_donor") == [[200, 202], [400, 402]]
        assert sorted(set(found.table["transcript"]) - {""}) == ["T1", "T2"]


def test_gtf_quoted_words() -> None:
    table = annotation.read(case("gtf-quoted-words") / "in.gtf").table
    assert table[["gene_id", "transcript"]].values.tolist() == [["A;B", "T1"], ["G2", "T2"], ["G3", "T3"]]


def test_narrowpeak_name() -> None:
    file = case("narrowpeak-name") / "x_peaks.narrowPeak"
    for found in (annotation.read(file), annotation.named(file)["x_peaks"]):
        assert found.table[["start", "end", "name"]].values.tolist() == [[100, 500, "p1"], [600, 700, "p2"]]


def test_protein_coding_gene() -> None:
    found = annotation.read(case("protein-coding-gene") / "veupathdb.gff")
    assert found.gene("LdX_010010") == found.gene("ABC1") == Interval("c1", 100, 400, "-")
    assert found.gene("tX") == Interval("c1", 800, 880, "+")
    assert set(found.table[found.table["element"] == "exon"]["gene"]) == {"ABC1", "LdX_nc"}


def test_two_loci_one_id() -> None:
    found = annotation.read(case("two-loci-one-id") / "refgene.gtf")
    with pytest.raises(ValueError, match=r"'DUX' is 2: DUX at c1:101-400, DUX at c1:500,101-500,400"):
        found.gene("DUX")


# References, motifs and VCFs as people have them ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["oneline.fa", "wrapped.fa", "crlf.fa", "short.fa"])
def test_a_fasta_without_a_last_line_end_is_scored(command, tmp_path, name):
    folder, out = case("fasta-no-final-newline"), tmp_path / "out.vcf"
    options = ("--scores", "llr", "--no-background")
    done = command("score", folder / "in.vcf", "--out", out, "--reference", folder / name, *options)
    assert done.returncode == 0, done.stderr
    records = [line for line in out.read_text().splitlines() if line[0] != "#"]
    assert len(records) == 2
    assert all("NTV_STATUS=ok" in record for record in records)


def test_a_fasta_that_was_cut_off_is_refused(tmp_path):
    path = shutil.copyfile(case("fasta-no-final-newline") / "cut.fa", tmp_path / "cut.fa")
    # As samtools faidx writes it of the whole: 3,000 bp in lines of 60.
    (tmp_path / "cut.fa.fai").write_text("c1\t3000\t4\t60\t61\n")
    with pytest.raises(
        ValueError, match=r"needs data at byte 3,053, and cut.fa \(2,504 bytes\) does not have it"
    ):
        Reference(path)


def test_an_empty_first_line_is_no_contig():
    assert Reference(case("fasta-leading-blank") / "blank.fa").contigs == {"c1": 60}
    with pytest.raises(ValueError, match="must have bases; 'a', line 1 of empty.fa, has none"):
        Reference(case("fasta-leading-blank") / "empty.fa")
    with pytest.raises(ValueError, match="line 3 of twice.fa repeats 'a' of line 1"):
        Reference(case("fasta-leading-blank") / "twice.fa")


def test_a_byte_order_mark_is_no_letter_of_a_signal_or_a_vcf():
    signal = annotation.read_signal(case("byte-order-mark") / "in.bedgraph")
    assert signal.values(Interval("c1", 1, 5)).tolist() == [0.4] * 4
    assert np.isnan(signal.values(Interval("c1", 0, 6))[[0, 5]]).all()
    with VcfFile(case("byte-order-mark") / "in.vcf") as file:
        assert [(record.chrom, record.pos, record.ref, record.alts) for record in file] == [
            ("c1", 1500, "A", ("C",))
        ]


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


# Checkpoints as people write them ------------------------------------------------------------------------------------


def printed(name: str) -> dict[str, float]:
    """The numbers that a case's ask.py prints, by the words before them."""
    done = subprocess.run(
        [sys.executable, str(case(name) / "ask.py")],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).resolve().parents[1],
    )
    assert done.returncode == 0, done.stderr
    lines = [line.rpartition(": ") for line in done.stdout.splitlines() if ": " in line]
    return {words: float(number) for words, _, number in lines}


@pytest.mark.parametrize(
    ("name", "words", "most"),
    [
        ("transformers5-names", "largest difference of a logit", 1e-4),
        ("gated-save-pretrained", "largest difference of a logit", 1e-6),
        ("headless-checkpoint", "largest difference of a state", 1e-4),
    ],
)
def test_a_checkpoint_gives_the_numbers_of_its_writer(name, words, most):
    assert printed(name)[words] < most


def test_results_in_a_folder_called_as_the_model_do_not_hide_it(command, tmp_path):
    shutil.copyfile(case("model-name-folder") / "in.vcf", tmp_path / "in.vcf")
    for name in ("one.vcf", "two.vcf"):
        done = command(
            "score", "in.vcf", "--model", "ntviz-mini", "--out", f"ntviz-mini/{name}", cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        (record,) = (
            line for line in (tmp_path / "ntviz-mini" / name).read_text().splitlines() if line[0] != "#"
        )
        assert "NTV_STATUS=ok" in record
