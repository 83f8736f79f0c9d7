"""A VCF scored: the same records come out, each alternative with its status, in one run, in shards, by the command."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pandas as pd
import pysam
import pytest
from variant_toy import ToyModel, toy_reference

from ntviz import data, variants
from ntviz.variants import keys
from ntviz.variants.alleles import STATUSES
from ntviz.variants.filing import score_file
from ntviz.variants.planning import Mismatch
from ntviz.variants.surveying import survey
from ntviz.variants.vcf import VcfError

COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
OPTIONS = variants.Options(("llr", "entropy", "l2"))


@pytest.fixture
def reference(tmp_path):
    return toy_reference(tmp_path, contigs={"20": 3_000, "21": 900}, n=[("20", 1500, 1520)])


@pytest.fixture
def scorer(reference):
    return variants.Scorer(ToyModel(max_tokens=32), reference, OPTIONS)


def base(reference, pos, chrom="20"):
    return reference.fetch(f"{chrom}:{pos}-{pos}").sequence


def other(letter, which=0):
    return "ACGT".replace(letter, "")[which]


def write(folder, rows, *, name="in.vcf", contigs=True, samples=()):
    head = ["##fileformat=VCFv4.3", '##INFO=<ID=DP,Number=1,Type=Integer,Description="d">']
    head += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="g">'] if samples else []
    head += ["##contig=<ID=20,length=3000>", "##contig=<ID=21,length=900>"] if contigs else []
    columns = COLUMNS + ("\tFORMAT\t" + "\t".join(samples) if samples else "")
    rows = [f"{row}\t50\tPASS\tDP=3" + "\tGT\t0/1\t1/1" * bool(samples) for row in rows]
    path = folder / name
    path.write_text("\n".join([*head, columns, *rows]) + "\n")
    return path


def body(path):
    content = path.read_bytes()
    text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


def info(fields):
    return dict(part.partition("=")[::2] for part in fields[7].split(";"))


def some(reference, count=30, seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for pos in np.sort(rng.choice(np.arange(200, 1_300), count, replace=False)):
        ref = base(reference, pos)
        alt = (other(ref), f"{other(ref)},{other(ref, 2)}", ref + "GATT")[int(rng.integers(3))]
        rows.append(f"20\t{pos}\trs{pos}\t{ref}\t{alt}")
    return rows


def test_the_same_records_come_out(reference, scorer, tmp_path):
    source = write(tmp_path, some(reference), samples=("a", "b"))
    summary = score_file(source, tmp_path / "out.vcf.gz", scorer, piece=7, what=None)
    asked = ["bcftools", "annotate", "--no-version", "--remove", ",".join(f"INFO/{key}" for key in _keys())]
    stripped = subprocess.run([*asked, tmp_path / "out.vcf.gz"], capture_output=True, text=True, check=True)
    plain = subprocess.run(
        ["bcftools", "view", "--no-version", source], capture_output=True, text=True, check=True
    )
    ours = [line for line in stripped.stdout.splitlines() if not line.startswith("##ntviz")]
    assert ours == plain.stdout.splitlines()
    assert stripped.stderr == ""
    assert summary.scored == summary.considered == sum(len(row[4].split(",")) for row in body(source))
    assert {path.name for path in summary.written} == {"out.vcf.gz", "out.vcf.gz.tbi", "out.parquet"}


def _keys():
    return [*keys.columns(OPTIONS, percentiles=False).values(), "NTV_METHOD", "NTV_STATUS"]


def test_each_alternative_has_its_own_score(reference, scorer, tmp_path):
    ref = base(reference, 700)
    alts = [other(ref, which) for which in range(3)]
    source = write(tmp_path, [f"20\t700\t.\t{ref}\t{alts[2]},<DEL>,{alts[0]},*,{ref}CC,{alts[1]}"])
    score_file(source, tmp_path / "out.vcf.gz", scorer, what=None)
    with pysam.VariantFile(str(tmp_path / "out.vcf.gz")) as opened:
        (one,) = opened
        found = dict(one.info)
    assert found["NTV_STATUS"] == ("ok", "symbolic", "ok", "symbolic", "ok", "ok")
    for place, alt in enumerate((alts[2], None, alts[0], None, f"{ref}CC", alts[1])):
        if alt is None:
            assert found["NTV_LLR"][place] is None
            continue
        alone = variants.score(
            scorer.reader.model, reference, f"20:700:{ref}:{alt}", scores="llr", progress=None
        )
        assert found["NTV_LLR"][place] == pytest.approx(alone["llr"][0], rel=1e-4)
        assert found["NTV_LLR_FWD"][place] == pytest.approx(alone["llr_fwd"][0], rel=1e-4)


def test_every_status_is_there_and_counted(reference, scorer, tmp_path):
    at = {pos: base(reference, pos) for pos in (600, 601, 602, 603, 604, 605)}
    long = reference.fetch("20:800-1000").sequence
    rows = [
        f"20\t600\tok\t{at[600]}\t{other(at[600])}",
        f"20\t600\tduplicate\t{at[600]}\t{other(at[600])}",
        f"20\t601\tref_mismatch\t{other(at[601])}\t{at[601]}",
        f"99\t5\tcontig_missing\t{at[600]}\t{other(at[600])}",
        "20\t3001\tout_of_bounds\tA\tC",
        "20\t1505\tn_in_window\tA\tC",
        f"20\t602\tambiguous_base\t{at[602]}\tR",
        f"20\t603\tsymbolic\t{at[603]}\t<DUP>",
        f"20\t604\tmissing\t{at[604]}\t.",
        f"20\t605\tsame_as_ref\t{at[605]}\t{at[605].lower()}",
        f"20\t800\ttoo_long\t{long}\t{long[0]}",
        "20\t1\tmalformed\t?\tC",
    ]
    summary = score_file(write(tmp_path, rows), tmp_path / "out.vcf.gz", scorer, what=None)
    for fields in body(tmp_path / "out.vcf.gz"):
        assert info(fields).get("NTV_STATUS", "malformed") == fields[2]
        assert ("NTV_LLR" in info(fields)) == (fields[2] in ("ok", "duplicate"))
    assert dict(summary.statuses) == dict.fromkeys(STATUSES.keys() - {"swapped", "no_gene"}, 1)
    for status in summary.statuses:
        assert f"        1  {status}" in summary.text
    assert "1 line that cannot be read, passed on unchanged: line 17: REF is '?', not bases" in summary.text
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert table["status"].tolist() == [row.split("\t")[2] for row in rows if "missing\t" not in row.replace("contig_missing", "") and "malformed" not in row]  # fmt: skip


def test_the_table_joins_back(reference, scorer, tmp_path):
    source = write(tmp_path, some(reference))
    score_file(source, tmp_path / "out.vcf.gz", scorer, piece=4, what=None)
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert list(table.columns[:12]) == [
        *("chrom", "pos", "id", "ref", "alt", "record", "line", "alternative"),
        *("status", "kind", "method", "note"),
    ]
    assert tuple(table.columns[12:]) == scorer.columns
    by_key = table.set_index(["chrom", "pos", "ref", "alt", "id"])["llr"]
    assert by_key.index.is_unique
    for fields in body(tmp_path / "out.vcf.gz"):
        for alt, text in zip(fields[4].split(","), info(fields)["NTV_LLR"].split(","), strict=True):
            assert by_key[fields[0], int(fields[1]), fields[3], alt, fields[2]] == pytest.approx(
                float(text), rel=1e-5
            )
    whole = variants.score(
        scorer.reader.model, reference, table[["chrom", "pos", "ref", "alt"]], scores="llr", progress=None
    )
    np.testing.assert_allclose(whole["llr"], table["llr"], atol=1e-5)


def test_shards_write_what_one_run_writes(reference, scorer, tmp_path):
    source = write(tmp_path, some(reference))
    one, many = tmp_path / "one", tmp_path / "many"
    for folder in (one, many):
        folder.mkdir()
    score_file(source, one / "out.vcf.gz", scorer, piece=4, what=None)
    for shard in (3, 1, 2):
        summary = score_file(source, many / "out.vcf.gz", scorer, shard=(shard, 3), piece=4, what=None)
        assert summary.written == []
        assert not (many / "out.vcf.gz").exists()
    assert "run the same command without --shard to write out.vcf.gz" in summary.text
    before = scorer.reader.sequences
    score_file(source, many / "out.vcf.gz", scorer, piece=4, what=None)
    assert scorer.reader.sequences == before
    assert sorted(path.name for path in many.iterdir()) == ["out.parquet", "out.vcf.gz", "out.vcf.gz.tbi"]
    for name in ("out.vcf.gz", "out.vcf.gz.tbi", "out.parquet"):
        assert (one / name).read_bytes() == (many / name).read_bytes()


def test_only_the_run_that_writes_clears_what_others_left(reference, scorer, tmp_path):
    """A shard may run on another host, where the number of a living process says nothing."""
    source, out = write(tmp_path, some(reference)), tmp_path / "out.vcf.gz"
    left = tmp_path / ".out.vcf.gz.99999999-abcd.part"
    left.touch()
    score_file(source, out, scorer, shard=(1, 2), piece=4, what=None)
    assert left.exists()
    score_file(source, out, scorer, piece=4, what=None)
    assert out.exists() and not left.exists()


def test_pieces_are_found_by_content_alone(reference, scorer, tmp_path):
    kept = tmp_path / "kept"
    source = write(tmp_path, some(reference))
    score_file(source, tmp_path / "a.vcf.gz", scorer, cache=kept, piece=5, what=None)
    assert kept.is_dir()
    shutil.copy(source, tmp_path / "renamed.vcf")
    before = scorer.reader.sequences
    score_file(tmp_path / "renamed.vcf", tmp_path / "b.vcf.gz", scorer, cache=kept, piece=5, what=None)
    assert scorer.reader.sequences == before
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    # The same names, another model: other numbers.
    same_name = variants.Scorer(ToyModel(max_tokens=32, seed=1), reference, OPTIONS)
    assert same_name.about["model"] == scorer.about["model"]
    score_file(source, tmp_path / "c.vcf.gz", same_name, cache=kept, piece=5, what=None)
    a, c = (pd.read_parquet(tmp_path / f"{name}.parquet")["llr"] for name in "ac")
    assert not np.isclose(a, c).any()
    # Other bases under the same names as well.
    (tmp_path / "moved").mkdir()
    elsewhere = toy_reference(tmp_path / "moved", seed=9, contigs={"20": 3_000, "21": 900})
    moved = variants.Scorer(
        scorer.reader.model, elsewhere, variants.Options(OPTIONS.scores, on_mismatch="flag")
    )
    score_file(source, tmp_path / "d.vcf.gz", moved, cache=kept, piece=5, what=None)
    assert not np.isclose(a, pd.read_parquet(tmp_path / "d.parquet")["llr"]).any()


def test_another_assembly_is_suspected(reference, scorer, tmp_path):
    rows = [
        f"20\t{pos}\t.\t{base(reference, pos + 1)}\t{other(base(reference, pos + 1))}"
        for pos in range(700, 760)
    ]
    summary = score_file(write(tmp_path, rows), tmp_path / "out.vcf.gz", scorer, what=None)
    assert 0.05 < summary.agreement < 0.6
    assert f"{100 * summary.agreement:.0f} % of REF agree" in summary.text
    assert "is this another assembly" in summary.text
    summary.assembly = "GRCh37"
    assert "(GRCh37), " in summary.text
    assert "is this another assembly (GRCh38)?" in summary.text
    fine = score_file(write(tmp_path, some(reference)), tmp_path / "fine.vcf.gz", scorer, what=None)
    assert fine.agreement == 1
    assert "assembly" not in fine.text


@pytest.mark.parametrize(
    ("contigs", "row", "said"),
    [
        (
            {"20": 63_025_520},
            "20\t700\tchr20_700_A_C_b38",
            "2 records of GRCh38 by ID or contig, such as chr20_700_A_C_b38, and",
        ),
        (
            {"20": 63_025_520},
            "NC_000020.11\t700\t.",
            "2 records of GRCh38 by ID or contig, such as NC_000020.11, and",
        ),
        ({"20": 64_444_167}, "20\t700\tGRCh37:20:700", "2 records of GRCh37 by ID or contig"),
        ({"20": 64_444_167}, "20\t700\tchr20_700_A_C_b38", ""),
        ({"20": 63_025_520}, "20\t700\trs38", ""),
        ({"other": 9_000}, "20\t700\tchr20_700_A_C_b38", ""),
    ],
)
def test_identifiers_of_another_assembly_are_noticed(tmp_path, contigs, row, said):
    surveyed = survey(write(tmp_path, [f"{row}\tA\tC", f"{row}\tA\tG"]))
    names = [
        assembly
        for assembly, length in (("GRCh37", 63_025_520), ("GRCh38", 64_444_167))
        if length in contigs.values()
    ]
    summary = variants.Summary(tmp_path, tmp_path, (1, 1), surveyed, names[0] if names else None)
    assert summary.text.count("by ID or contig") == bool(said)
    assert said in summary.text


# Tables ---------------------------------------------------------------------------------------------------------------


def as_table(folder, rows, name="in.tsv"):
    """The alleles of records, one a row, with a column of the person's own."""
    fields = [row.split("\t") for row in rows]
    frame = pd.DataFrame(
        [(chrom, pos, name, ref, alt) for chrom, pos, name, ref, alts in fields for alt in alts.split(",")],
        columns=["chrom", "pos", "id", "ref", "alt"],
    ).assign(mine=lambda table: range(len(table)))
    path = folder / name
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",", index=False)
    return path


@pytest.mark.parametrize("end", [".tsv", ".csv", ".parquet"])
def test_a_table_is_scored_as_the_vcf_of_the_same_alleles(reference, scorer, tmp_path, end):
    rows = [*some(reference), "20\tx\tbad\tA\tC"]
    summary = score_file(
        as_table(tmp_path, rows, f"in{end}"), tmp_path / f"out{end}", scorer, piece=4, what=None
    )
    score_file(
        write(tmp_path, rows[:-1]),
        tmp_path / "out.vcf.gz",
        scorer,
        piece=4,
        what=None,
        table=tmp_path / "alleles.parquet",
    )
    read = {".tsv": lambda p: pd.read_csv(p, sep="\t"), ".csv": pd.read_csv, ".parquet": pd.read_parquet}[end]
    found, plain = read(tmp_path / f"out{end}"), pd.read_parquet(tmp_path / "alleles.parquet")
    assert found["mine"].tolist() == list(range(len(plain) + 1))
    assert found["status"].tolist() == [*plain["status"], "malformed"]
    np.testing.assert_allclose(found[list(scorer.columns)][:-1], plain[list(scorer.columns)], atol=1e-5)
    assert summary.written == [tmp_path / f"out{end}"]
    line = len(found) + (end != ".parquet")
    assert f"1 line that cannot be read, passed on unchanged: line {line}: POS is 'x'" in summary.text


def test_tables_obey_shards_pieces_cache_and_table(reference, scorer, tmp_path):
    source, kept = as_table(tmp_path, some(reference)), tmp_path / "kept"
    score_file(source, tmp_path / "one.tsv", scorer, piece=4, what=None)
    for shard in (2, 1, 3):
        summary = score_file(
            source, tmp_path / "many.tsv", scorer, shard=(shard, 3), piece=4, cache=kept, what=None
        )
        assert summary.written == []
        assert not (tmp_path / "many.tsv").exists()
    assert "run the same command without --shard to write many.tsv" in summary.text
    before = scorer.reader.sequences
    alleles = tmp_path / "alleles.parquet"
    summary = score_file(source, tmp_path / "many.tsv", scorer, piece=4, cache=kept, table=alleles, what=None)
    assert scorer.reader.sequences == before
    assert summary.written == [tmp_path / "many.tsv", alleles]
    assert (tmp_path / "one.tsv").read_bytes() == (tmp_path / "many.tsv").read_bytes()
    assert len(list(kept.rglob("*.npz"))) == -(-len(pd.read_parquet(alleles)) // 4)
    with pytest.raises(FileExistsError, match="must not be there yet"):
        score_file(source, tmp_path / "one.tsv", scorer, what=None)
    for out, table, said in (
        (
            "out.vcf",
            None,
            r"A table of variants must go to \.tsv or \.csv or \.parquet; received out\.vcf for in\.tsv",
        ),
        ("new.tsv", "new.tsv", "must be a file of its own"),
    ):
        with pytest.raises(ValueError, match=said):
            score_file(source, tmp_path / out, scorer, table=table and tmp_path / table, what=None)
    with pytest.raises(ValueError, match=r"A VCF of variants must go to \.vcf or \.vcf\.gz; received x\.csv"):
        score_file(write(tmp_path, some(reference, 3)), tmp_path / "x.csv", scorer, what=None)


def test_a_table_of_another_assembly_is_asked_about(reference, scorer, tmp_path):
    rows = [
        f"20\t{pos}\tv{pos}\t{base(reference, pos + 1)}\t{other(base(reference, pos + 1))}"
        for pos in range(700, 760)
    ]
    summary = score_file(as_table(tmp_path, rows), tmp_path / "out.tsv", scorer, what=None)
    assert 0.05 < summary.agreement < 0.6
    assert "is this another assembly" in summary.text


def test_a_table_none_of_whose_rows_can_be_read_ends_with_a_word(scorer, tmp_path):
    with pytest.raises(ValueError, match=r"in\.tsv, line 2\. Of 1 lines none can; this one: POS is 'x'"):
        score_file(as_table(tmp_path, ["20\tx\t.\tA\tC"]), tmp_path / "out.tsv", scorer, what=None)


@pytest.mark.parametrize("first", ["#version 2.4\n", "##fileformat=VCFv4.2\n##source=x\n"])
def test_comments_before_a_table_and_letters_that_are_no_utf_8(reference, scorer, tmp_path, first):
    here = base(reference, 700)
    text = f"{first}#CHROM\tPOS\tREF\tALT\tnote\n20\t700\t{here}\t{other(here)}\tcaf\xe9\n20\tx\tA\tC\t.\n"
    (tmp_path / "in.tsv").write_bytes(text.encode("latin-1"))
    summary = score_file(tmp_path / "in.tsv", tmp_path / "out.tsv", scorer, what=None)
    assert pd.read_csv(tmp_path / "out.tsv", sep="\t")["status"].tolist() == ["ok", "malformed"]
    assert f"line {first.count(chr(10)) + 3}: POS is 'x'" in summary.text


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("in.tsv", "", "must be tsv that can be read, with names of columns first; in.tsv is not"),
        ("in.parquet", "PAR1", "must be parquet that can be read"),
        ("in.csv", "chrom;pos;ref;alt\n20;1;A;C\n", "lacks chrom among chrom;pos;ref;alt. Put tabs between columns in .tsv, commas in"),
    ],
)  # fmt: skip
def test_a_table_that_is_none_ends_in_one_sentence(scorer, tmp_path, name, text, told):
    (tmp_path / name).write_text(text)
    with pytest.raises(VcfError, match=told):
        score_file(tmp_path / name, tmp_path / "out.tsv", scorer, what=None)


@pytest.mark.parametrize("rule", ["skip", "flag", "swap", "fail"])
def test_mismatches_by_rule(reference, tmp_path, rule):
    here = base(reference, 700)
    rows = [f"20\t700\tturned\t{other(here)}\t{here}", f"20\t700\twrong\t{other(here)}\t{other(here, 1)}"]
    scorer = variants.Scorer(ToyModel(max_tokens=32), reference, variants.Options(("llr",), on_mismatch=rule))
    out = tmp_path / "out.vcf.gz"
    if rule == "fail":
        with pytest.raises(Mismatch, match=f"20:700 {other(here)}>{here}, where the reference has {here}"):
            score_file(write(tmp_path, rows), out, scorer, what=None)
        assert not [path.name for path in tmp_path.iterdir() if path.name.startswith("out")]
        return
    summary = score_file(write(tmp_path, rows), out, scorer, what=None)
    turned, wrong = (info(fields) for fields in body(out))
    assert turned["NTV_STATUS"] == ("swapped" if rule == "swap" else "ref_mismatch")
    assert wrong["NTV_STATUS"] == "ref_mismatch"
    assert ("NTV_LLR" in turned, "NTV_LLR" in wrong) == (rule != "skip", rule == "flag")
    assert summary.scored == {"skip": 0, "flag": 2, "swap": 1}[rule]
    if rule != "skip":
        plain = variants.score(scorer.reader.model, reference, f"20:700:{here}:{other(here)}", scores="llr")
        assert float(turned["NTV_LLR"]) == pytest.approx(-plain["llr"][0], rel=1e-4)


def test_unsorted_crlf_and_no_contigs(reference, scorer, tmp_path):
    source = write(tmp_path, some(reference)[::-1], contigs=False)
    source.write_bytes(source.read_bytes().replace(b"\n", b"\r\n"))
    summary = score_file(source, tmp_path / "out.vcf.gz", scorer, what=None)
    assert "has no index: the records are not sorted by position" in summary.text
    assert "CR LF" in summary.text
    text = gzip.decompress((tmp_path / "out.vcf.gz").read_bytes())
    assert b"\r" not in text
    assert b"##contig=<ID=20,length=3000>\n" in text
    checked = subprocess.run(
        ["bcftools", "view", tmp_path / "out.vcf.gz"], capture_output=True, text=True, check=True
    )
    assert checked.stderr == ""
    assert [row[1] for row in body(tmp_path / "out.vcf.gz")] == [row[1] for row in body(source)]


def test_the_header_says_how(reference, scorer, tmp_path):
    score_file(
        write(tmp_path, some(reference, 3)),
        tmp_path / "out.vcf.gz",
        scorer,
        what=None,
        command="ntviz score x",
    )
    with pysam.VariantFile(str(tmp_path / "out.vcf.gz")) as opened:
        found = {key: opened.header.info[key] for key in _keys()}
        text = str(opened.header)
    assert {one.number for one in found.values()} == {"A"}
    assert "negative: the alternative is less expected" in found["NTV_LLR"].description
    assert "nats" in found["NTV_LLR"].description
    # How an indel is scored, of each key whose score indels have; tables.score reproduces one by hand.
    for key in ("NTV_LLR", "NTV_L2"):
        assert "ceil(L/k)+1 tokens of k bp, L bp being the longer allele" in found[key].description
    assert "Insertions and deletions: none" in found["NTV_ENTROPY"].description
    assert "summed over all tokens that it touches, masked together" in found["NTV_LLR"].description
    for said in ("##ntviz_version=", '##ntviz_model=<Name="toy of nt-v1"', "SHA256=", "##ntviz_window=186 bp", "##ntviz_command=ntviz score x", '"frames": 1'):  # fmt: skip
        assert said in text
    assert str(tmp_path) not in text
    # Scored again, keys and lines are there once.
    score_file(tmp_path / "out.vcf.gz", tmp_path / "again.vcf.gz", scorer, what=None, command="ntviz score x")
    assert (tmp_path / "again.vcf.gz").read_bytes() == (tmp_path / "out.vcf.gz").read_bytes()


def test_a_reference_without_index_in_a_folder_that_cannot_be_written_to(reference, tmp_path, monkeypatch):
    locked = tmp_path / "locked"
    locked.mkdir()
    shutil.copy(reference.path, locked / "toy.fa")
    monkeypatch.setenv("NTVIZ_CACHE", str(tmp_path / "cache"))
    source = write(tmp_path, some(reference, 5))
    os.chmod(locked, 0o555)
    try:
        # The superuser may write here all the same; then the index lies beside the file.
        opened = type(reference)(locked / "toy.fa")
        summary = score_file(
            source,
            tmp_path / "out.vcf.gz",
            variants.Scorer(ToyModel(max_tokens=32), opened, OPTIONS),
            what=None,
        )
    finally:
        os.chmod(locked, 0o755)
    assert summary.scored == summary.considered


def test_what_cannot_be_is_refused(reference, scorer, tmp_path):
    source = write(tmp_path, some(reference, 3))
    with pytest.raises(ValueError, match="another file than the input"):
        score_file(source, source, scorer)
    with pytest.raises(ValueError, match="received 3/2"):
        score_file(source, tmp_path / "out.vcf.gz", scorer, shard=(3, 2))
    score_file(source, tmp_path / "out.vcf.gz", scorer, what=None)
    with pytest.raises(FileExistsError, match="must not be there yet"):
        score_file(source, tmp_path / "out.vcf.gz", scorer, what=None)
    score_file(source, tmp_path / "out.vcf.gz", scorer, what=None, overwrite=True)


def test_an_empty_vcf_comes_back_empty(scorer, tmp_path):
    summary = score_file(write(tmp_path, []), tmp_path / "out.vcf.gz", scorer, what=None)
    assert (summary.considered, summary.scored, summary.written[0].name) == (0, 0, "out.vcf.gz")
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == 0


# The command ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chr20():
    from ntviz.reference import Reference

    return Reference(data.bundle("chr20"))


def test_the_command_from_file_to_file(command, chr20, tmp_path):
    rows = []
    for pos in (43_030_000, 43_030_001, 43_042_364):
        ref = base(chr20, pos)
        rows.append(f"chr20\t{pos}\t.\t{ref}\t{other(ref)}")
    source = write(tmp_path, rows, contigs=False)
    done = command(
        "score", source, "--out", tmp_path / "out.vcf.gz", "--shard", "1/1", cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        str(tmp_path / name) for name in ("out.vcf.gz", "out.vcf.gz.tbi", "out.parquet", "out.json")
    ]
    assert "3 alleles considered, 3 scored" in done.stderr
    # The bundle brings the background: percentiles without waiting.
    assert 0 <= float(info(body(tmp_path / "out.vcf.gz")[0])["NTV_LLR_PCT"]) <= 100
    again = command("score", source, "--out", tmp_path / "out.vcf.gz", cwd=tmp_path, timeout=300)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


def test_the_command_scores_splice_sites(command, chr20, tmp_path):
    source = write(tmp_path, ["20\t43052895\td1\tG\tC"], contigs=False)
    genes = tmp_path / "chr20.GRCh37.gtf"
    genes.write_bytes(
        gzip.decompress(data.bundle("genes").read_bytes()) + b"20\thand\texon\tone\t9\t.\t+\t.\n"
    )
    options = (
        "--model",
        "ci-spliceai",
        "--distance",
        "40",
        "--mask",
        "nearest",
        "--no-table",
        "--genes",
        genes,
    )
    done = command("score", source, "--out", tmp_path / "out.vcf", *options, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    found = info(body(tmp_path / "out.vcf")[0])
    assert found["NTV_SPLICE"].startswith("C|HNF4A|0.00|0.00|0.00|1.00|")
    assert found["NTV_SPLICE"].endswith("|-1")
    text = (tmp_path / "out.vcf").read_text()
    for said in (
        "CC BY 4.0; cite Strauch",
        "within 40 bp of POS",
        "genes of chr20.GRCh37.gtf",
        "mask nearest",
    ):
        assert said in text
    command_line = next(line for line in text.splitlines() if line.startswith("##ntviz_command="))
    assert command_line.endswith(
        "--model ci-spliceai --on-mismatch skip --genes chr20.GRCh37.gtf --distance 40 --mask nearest --dtype float32"
    )
    notes = json.loads((tmp_path / "out.json").read_text())["notes"]
    (lost,) = (
        note for note in notes if " lines of chr20.GRCh37.gtf could not be read; the first, line " in note
    )
    assert lost.startswith("1 of ")
    assert done.stderr.count(lost) == 1


def test_the_command_scores_tables(command, chr20, tmp_path):
    ref = base(chr20, 43_030_000)
    (tmp_path / "in.tsv").write_text(f"chrom\tpos\tref\talt\nchr20\t43030000\t{ref}\t{other(ref)}\n")
    out = tmp_path / "out.csv"
    done = command(
        "score", "in.tsv", "--out", out, "--scores", "llr", "--no-background", cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(out)["status"].tolist() == ["ok"]
    assert json.loads(out.with_suffix(".json").read_text()) == {"alleles": {"ok": 1}, "notes": []}


def test_a_small_reference_gives_scores_without_percentiles(command, tmp_path):
    small = toy_reference(tmp_path, contigs={"20": 3_000})
    ref = base(small, 700)
    source = write(tmp_path, [f"20\t700\t.\t{ref}\t{other(ref)}"], contigs=False)
    options = ("--reference", small.path, "--out", tmp_path / "out.vcf", "--scores", "llr")
    done = command("score", source, *options, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (
        "no percentiles: A background must have 200 substitutions of each class; toy.fa gives fewer of"
        in done.stderr
    )
    assert "A larger --reference gives them." in done.stderr
    assert "per_class" not in done.stderr
    found = info(body(tmp_path / "out.vcf")[0])
    assert "NTV_LLR" in found
    assert "NTV_LLR_PCT" not in found


@pytest.mark.parametrize("seconds", [0.3, 1.2, 2.5])
def test_an_interruption_while_it_starts_ends_in_one_line(start, tmp_path, seconds):
    source = write(tmp_path, ["20\t43052895\td1\tG\tC"], contigs=False)
    with start("score", source, "--out", tmp_path / "out.vcf", cwd=tmp_path) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1].startswith("ntviz: interrupted")
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gone.vcf",), "there is none at gone.vcf"),
        (("in.vcf", "--shard", "5/4"), "--shard must be i/n"),
        (("in.vcf", "--scores", "cadd"), "scores must be among"),
        (("in.vcf", "--on-mismatch", "guess"), "on_mismatch must be one of"),
        (("in.vcf", "--model", "nt-v9"), "nt-v9"),
        (("in.vcf", "--reference", "gone.fa"), "gone.fa"),
        (("in.vcf", "--no-background"), "begin with ##fileformat"),
        (("in.vcf", "--model", "ci-spliceai", "--frames", "6"), "--on-mismatch, but frames came"),
        (
            ("in.vcf", "--model", "ci-spliceai", "--distance", "9000"),
            "distance must be 1 to 5,000 bp; received 9,000",
        ),
    ],
)
def test_wrong_arguments_end_with_two(command, tmp_path, arguments, said):
    (tmp_path / "in.vcf").write_text("no vcf\n")
    done = command("score", *arguments, "--out", "out.vcf.gz", cwd=tmp_path, timeout=300)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.vcf.gz").exists()
