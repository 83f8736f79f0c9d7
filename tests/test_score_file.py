"""A VCF scored: the same records come out, each alternative with its status, in one run, in shards, by the command."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pandas as pd
import pysam
import pytest
from typer.testing import CliRunner
from variant_toy import ToyModel, toy_reference

from ntviz import data, variants
from ntviz.cli import app
from ntviz.reference import Reference
from ntviz.variants.alleles import STATUSES
from ntviz.variants.files import score_file
from ntviz.variants.plan import Mismatch
from ntviz.variants.survey import survey
from ntviz.variants.vcf import VcfError

OPTIONS = variants.Options(("llr", "entropy", "l2"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    return toy_reference(folder, contigs={"20": 3_000, "21": 900}, n=[("20", 1500, 1520)])


@pytest.fixture
def scorer(reference):
    return variants.Scorer(ToyModel(max_tokens=32), reference, OPTIONS)


@pytest.fixture
def run(scorer, tmp_path):
    """Scores rows of a VCF, or a file, into a file of the test's folder."""

    def scored(source, out="out.vcf.gz", by=scorer, **options):
        source = write(tmp_path, source) if isinstance(source, list) else source
        return score_file(source, tmp_path / out, by, what=None, **options)

    return scored


def base(reference, pos, chrom="20"):
    return reference.fetch(f"{chrom}:{pos}-{pos}").sequence


def other(letter, which=0):
    return "ACGT".replace(letter, "")[which]


def write(folder, rows, *, name="in.vcf", contigs=True, samples=()):
    head = ["##fileformat=VCFv4.3", '##INFO=<ID=DP,Number=1,Type=Integer,Description="d">']
    head += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="g">'] if samples else []
    head += ["##contig=<ID=20,length=3000>", "##contig=<ID=21,length=900>"] if contigs else []
    columns = "\t".join(("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO", *(("FORMAT", *samples) if samples else ())))
    rows = [f"{row}\t50\tPASS\tDP=3" + "\tGT\t0/1\t1/1" * bool(samples) for row in rows]
    (folder / name).write_text("\n".join([*head, columns, *rows, ""]))
    return folder / name


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


def bcftools(*words):
    """What it prints; it has nothing to warn about."""
    done = subprocess.run(["bcftools", *words], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_the_same_records_come_out(reference, scorer, run, tmp_path):
    source = write(tmp_path, some(reference), samples=("a", "b"))
    summary = run(source, piece=7)
    removed = ",".join(f"INFO/{key}" for key in (*(key for key, _ in scorer.keys.values()), "NTV_METHOD", "NTV_STATUS"))
    stripped = bcftools("annotate", "--no-version", "--remove", removed, tmp_path / "out.vcf.gz")
    kept = [line for line in stripped if not line.startswith("##ntviz")]
    assert kept == bcftools("view", "--no-version", source)
    assert summary.scored == summary.considered == sum(len(row[4].split(",")) for row in body(source))
    assert {path.name for path in summary.written} == {"out.vcf.gz", "out.vcf.gz.tbi", "out.parquet"}


def test_every_status_is_there_and_counted(reference, run, tmp_path):
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
    summary = run(rows)
    for fields in body(tmp_path / "out.vcf.gz"):
        assert info(fields).get("NTV_STATUS", "malformed") == fields[2]
        assert ("NTV_LLR" in info(fields)) == (fields[2] in ("ok", "duplicate"))
    assert dict(summary.statuses) == dict.fromkeys(STATUSES.keys() - {"swapped", "no_gene"}, 1)
    assert all(f"        1  {status}" in summary.text for status in summary.statuses)
    assert "1 line that cannot be read, passed on unchanged: line 17: REF is '?', not bases" in summary.text
    kept = [row.split("\t")[2] for row in rows if row.split("\t")[2] not in ("missing", "malformed")]
    assert pd.read_parquet(tmp_path / "out.parquet")["status"].tolist() == kept


def test_each_alternative_has_its_own_score_and_the_table_joins_back(reference, scorer, run, tmp_path):
    ref = base(reference, 1_400)
    a, b, c = (other(ref, which) for which in range(3))
    run([*some(reference), f"20\t1400\t.\t{ref}\t{c},<DEL>,{a},*,{ref}CC,{b}"], piece=4)
    assert info(body(tmp_path / "out.vcf.gz")[-1])["NTV_STATUS"] == "ok,symbolic,ok,symbolic,ok,ok"
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert " ".join(table.columns[:12]) == "chrom pos id ref alt record line alternative status kind method note"
    assert tuple(table.columns[12:]) == scorer.columns
    by_key = table.set_index(["chrom", "pos", "ref", "alt", "id"])["llr"]
    assert by_key.index.is_unique
    for fields in body(tmp_path / "out.vcf.gz"):
        for alt, text in zip(fields[4].split(","), info(fields)["NTV_LLR"].split(","), strict=True):
            known = by_key[fields[0], int(fields[1]), fields[3], alt, fields[2]]
            assert known == pytest.approx(float(text), rel=1e-5) if text != "." else alt in ("<DEL>", "*")
    places = table[["chrom", "pos", "ref", "alt"]]
    whole = variants.score(scorer.reader.model, reference, places, scores="llr", progress=None)
    np.testing.assert_allclose(whole["llr"], table["llr"], atol=1e-5)


@pytest.mark.parametrize("end", [".vcf.gz", ".tsv"])
def test_shards_write_what_one_run_writes(reference, scorer, run, tmp_path, end):
    source = write(tmp_path, some(reference)) if end == ".vcf.gz" else as_table(tmp_path, some(reference))
    kept = {"cache": tmp_path / "kept", "piece": 4}
    alleles = [tmp_path / "one/a.parquet", tmp_path / "many/a.parquet"]
    run(source, f"one/out{end}", piece=4, table=alleles[0])
    for shard in (3, 1, 2):
        summary = run(source, f"many/out{end}", shard=(shard, 3), **kept)
        assert summary.written == [] and not (tmp_path / f"many/out{end}").exists()
    assert f"run the same command without --shard to write out{end}" in summary.text
    before = scorer.reader.sequences
    written = run(source, f"many/out{end}", table=alleles[1], **kept).written
    assert scorer.reader.sequences == before
    names = ["a.parquet", f"out{end}", *(["out.vcf.gz.tbi"] if end == ".vcf.gz" else [])]
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == sorted(path.name for path in written) == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()
    assert len(list((tmp_path / "kept").rglob("*.npz"))) == -(-summary.survey.records // 4)


def test_only_the_run_that_writes_clears_what_others_left(reference, run, tmp_path):
    """A shard may run on another host, where the number of a living process says nothing."""
    left = tmp_path / ".out.vcf.gz.99999999-abcd.part"
    left.touch()
    run(some(reference), shard=(1, 2), piece=4)
    assert left.exists()
    run(some(reference), piece=4)
    assert (tmp_path / "out.vcf.gz").exists() and not left.exists()


def test_pieces_are_found_by_content_alone(reference, scorer, run, tmp_path):
    kept = {"cache": tmp_path / "kept", "piece": 5}
    source = write(tmp_path, some(reference))
    run(source, "a.vcf.gz", **kept)
    shutil.copy(source, tmp_path / "renamed.vcf")
    before = scorer.reader.sequences
    run(tmp_path / "renamed.vcf", "b.vcf.gz", **kept)
    assert scorer.reader.sequences == before
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    # The same names, another model: other numbers.
    same_name = variants.Scorer(ToyModel(max_tokens=32, seed=1), reference, OPTIONS)
    assert same_name.about["model"] == scorer.about["model"]
    run(source, "c.vcf.gz", same_name, **kept)
    first, again = (pd.read_parquet(tmp_path / f"{which}.parquet")["llr"] for which in "ac")
    assert not np.isclose(first, again).any()


def test_another_assembly_is_suspected(reference, run):
    bases = {pos: base(reference, pos + 1) for pos in range(700, 760)}
    summary = run([f"20\t{pos}\t.\t{letter}\t{other(letter)}" for pos, letter in bases.items()])
    assert 0.05 < summary.agreement < 0.6 and f"{100 * summary.agreement:.0f} % of REF agree" in summary.text
    assert "is this another assembly?" in summary.text
    summary.assembly = "GRCh37"
    assert "(GRCh37), " in summary.text and "is this another assembly (GRCh38)?" in summary.text
    fine = run(some(reference), "fine.vcf.gz")
    assert fine.agreement == 1 and "assembly" not in fine.text


def test_identifiers_of_another_assembly_are_noticed(tmp_path):
    for assembly, row, said in (
        ("GRCh37", "20\t700\tchr20_700_A_C_b38", "2 records of GRCh38 by ID or contig, such as chr20_700_A_C_b38, and"),
        ("GRCh37", "NC_000020.11\t700\t.", "2 records of GRCh38 by ID or contig, such as NC_000020.11, and"),
        ("GRCh38", "20\t700\tGRCh37:20:700", "2 records of GRCh37 by ID or contig"),
        ("GRCh38", "20\t700\tchr20_700_A_C_b38", ""),
        (None, "20\t700\tchr20_700_A_C_b38", ""),
    ):
        surveyed = survey(write(tmp_path, [f"{row}\tA\tC", f"{row}\tA\tG"]))
        text = variants.Summary(tmp_path, (1, 1), surveyed, assembly).text
        assert text.count("by ID or contig") == bool(said) and said in text


def as_table(folder, rows, name="in.tsv"):
    """The alleles of records, one a row, with a column of the person's own."""
    fields = [row.split("\t") for row in rows]
    places = [(*first, alt) for *first, alts in fields for alt in alts.split(",")]
    frame, path = pd.DataFrame(places, columns=["chrom", "pos", "id", "ref", "alt"]), folder / name
    frame["mine"] = range(len(frame))
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",", index=False)
    return path


@pytest.mark.parametrize("end", [".tsv", ".csv", ".parquet"])
def test_a_table_is_scored_as_the_vcf_of_the_same_alleles(reference, scorer, run, tmp_path, end):
    rows = [*some(reference), "20\tx\tbad\tA\tC"]
    summary = run(as_table(tmp_path, rows, f"in{end}"), f"out{end}", piece=4)
    run(rows[:-1], piece=4, table=tmp_path / "alleles.parquet")
    read = {".tsv": lambda p: pd.read_csv(p, sep="\t"), ".csv": pd.read_csv, ".parquet": pd.read_parquet}[end]
    found, plain = read(tmp_path / f"out{end}"), pd.read_parquet(tmp_path / "alleles.parquet")
    assert found["mine"].tolist() == list(range(len(plain) + 1))
    assert found["status"].tolist() == [*plain["status"], "malformed"]
    np.testing.assert_allclose(found[list(scorer.columns)][:-1], plain[list(scorer.columns)], atol=1e-5)
    assert summary.written == [tmp_path / f"out{end}"]
    line = len(found) + (end != ".parquet")
    assert f"1 line that cannot be read, passed on unchanged: line {line}: POS is 'x'" in summary.text


def test_comments_before_a_table_and_letters_that_are_no_utf_8(reference, run, tmp_path):
    here = base(reference, 700)
    rows = f"#CHROM\tPOS\tREF\tALT\tnote\n20\t700\t{here}\t{other(here)}\tcaf\xe9\n20\tx\tA\tC\t.\n"
    for first, line in (("#version 2.4\n", 4), ("##fileformat=VCFv4.2\n##source=x\n", 5)):
        (tmp_path / "in.tsv").write_bytes((first + rows).encode("latin-1"))
        summary = run(tmp_path / "in.tsv", "out.tsv", overwrite=True)
        assert pd.read_csv(tmp_path / "out.tsv", sep="\t")["status"].tolist() == ["ok", "malformed"]
        assert f"line {line}: POS is 'x'" in summary.text


def test_mismatches_by_rule(reference, run, tmp_path):
    here, model = base(reference, 700), ToyModel(max_tokens=32)
    rows = [f"20\t700\tturned\t{other(here)}\t{here}", f"20\t700\twrong\t{other(here)}\t{other(here, 1)}"]
    fail, swap = (
        variants.Scorer(model, reference, variants.Options(("llr",), on_mismatch=rule)) for rule in ("fail", "swap")
    )
    with pytest.raises(Mismatch, match=f"20:700 {other(here)}>{here}, where the reference has {here}"):
        run(rows, by=fail)
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith("out")]
    assert run(rows, by=swap).scored == 1
    turned, wrong = (info(fields) for fields in body(tmp_path / "out.vcf.gz"))
    assert (turned["NTV_STATUS"], wrong["NTV_STATUS"]) == ("swapped", "ref_mismatch")
    plain = variants.score(model, reference, f"20:700:{here}:{other(here)}", scores="llr")
    assert float(turned["NTV_LLR"]) == pytest.approx(-plain["llr"][0], rel=1e-4)


def test_unsorted_crlf_no_contigs_and_nothing(reference, run, tmp_path):
    assert run([]).considered == 0
    assert body(tmp_path / "out.vcf.gz") == [] and len(pd.read_parquet(tmp_path / "out.parquet")) == 0
    source, out = write(tmp_path, some(reference)[::-1], contigs=False), tmp_path / "out.vcf.gz"
    source.write_bytes(source.read_bytes().replace(b"\n", b"\r\n"))
    said = run(source, overwrite=True).text
    assert "has no index: the records are not sorted by position" in said and "CR LF" in said
    text = gzip.decompress(out.read_bytes())
    assert b"\r" not in text and b"##contig=<ID=20,length=3000>\n" in text
    bcftools("view", out)
    assert [row[1] for row in body(out)] == [row[1] for row in body(source)]


def test_the_header_says_how(reference, scorer, run, tmp_path):
    run(some(reference, 3), command="ntviz score x")
    with pysam.VariantFile(str(tmp_path / "out.vcf.gz")) as opened:
        keys = (*(key for key, _ in scorer.keys.values()), "NTV_METHOD", "NTV_STATUS")
        assert {opened.header.info[key].number for key in keys} == {"A"}
        llr, l2, entropy = (opened.header.info[f"NTV_{name}"].description for name in ("LLR", "L2", "ENTROPY"))
        text = str(opened.header)
    assert "negative: the alternative is less expected" in llr and "nats" in llr
    assert "summed over all tokens that it touches, masked together" in llr
    # How an indel is scored, of each key whose score indels have; variants.score reproduces one by hand.
    assert all("ceil(L/k)+1 tokens of k bp, L bp being the longer allele" in one for one in (llr, l2))
    assert "Insertions and deletions: none" in entropy
    for said in ("version=", 'model=<Name="toy of nt-v1"', "window=186 bp", "command=ntviz score x"):
        assert f"##ntviz_{said}" in text
    assert "SHA256=" in text and '"frames": 1' in text and str(tmp_path) not in text
    # Scored again, keys and lines are there once.
    run(tmp_path / "out.vcf.gz", "again.vcf.gz", command="ntviz score x")
    assert (tmp_path / "again.vcf.gz").read_bytes() == (tmp_path / "out.vcf.gz").read_bytes()


def test_what_cannot_be_is_refused(reference, scorer, run, tmp_path):
    semicolons = "chrom;pos;ref;alt. Put tabs between columns in .tsv, commas in"
    for name, text, said in (
        ("in.tsv", "", "must be tsv that can be read, with names of columns first; in.tsv is not"),
        ("in.parquet", "PAR1", "must be parquet that can be read"),
        ("in.csv", "chrom;pos;ref;alt\n20;1;A;C\n", f"lacks chrom among {semicolons}"),
        ("in.tsv", "chrom\tpos\tref\talt\n20\tx\tA\tC\n", "line 2. Of 1 lines none can; this one: POS is 'x'"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(VcfError, match=re.escape(said)):
            run(tmp_path / name, "out.tsv")
    source, table = write(tmp_path, some(reference, 3)), as_table(tmp_path, some(reference, 3))
    for given, out, options, said in (
        (source, "in.vcf", {}, "another file than the input"),
        (source, "out.vcf.gz", {"shard": (3, 2)}, r"received \(3, 2\)"),
        (source, "x.csv", {}, r"A VCF of variants must go to \.vcf or \.vcf\.gz; received x\.csv"),
        (table, "out.vcf", {}, r"A table of variants must go to .*\.csv; received out\.vcf for in\.tsv"),
        (table, "new.tsv", {"table": tmp_path / "new.tsv"}, "must be a file of its own"),
    ):
        with pytest.raises(ValueError, match=said):
            run(given, out, **options)
    for given, out in ((source, "out.vcf.gz"), (table, "out.tsv")):
        run(given, out)
        with pytest.raises(FileExistsError, match="must not be there yet"):
            run(given, out)
        run(given, out, overwrite=True)


@pytest.fixture(scope="module")
def chr20():
    return Reference(data.bundle("chr20"))


def asked(*words):
    return CliRunner().invoke(app, ["score", *map(str, words)])


def test_the_command_from_file_to_file(chr20, tmp_path):
    bases = {pos: base(chr20, pos) for pos in (43_030_000, 43_030_001, 43_042_364)}
    rows = [f"chr20\t{pos}\t.\t{ref}\t{other(ref)}" for pos, ref in bases.items()]
    source, out = write(tmp_path, rows, contigs=False), tmp_path / "out.vcf.gz"
    done = asked(source, "--out", out, "--shard", "1/1", "--scores", "llr")
    assert done.exit_code == 0, done.stderr
    endings = ("vcf.gz", "vcf.gz.tbi", "parquet", "json")
    assert done.stdout.split() == [str(tmp_path / f"out.{end}") for end in endings]
    assert "3 alleles considered, 3 scored" in done.stderr
    # The bundle brings the background: percentiles without waiting.
    assert 0 <= float(info(body(out)[0])["NTV_LLR_PCT"]) <= 100
    again = asked(source, "--out", out)
    assert again.exit_code == 2 and "--overwrite" in again.stderr


def test_the_command_scores_splice_sites(tmp_path):
    source = write(tmp_path, ["20\t43052895\td1\tG\tC"], contigs=False)
    genes = tmp_path / "chr20.GRCh37.gtf"
    lines = gzip.decompress(data.bundle("genes").read_bytes()).splitlines(keepends=True)
    lines = [line for line in lines if b"HNF4A" in line]
    genes.write_bytes(b"".join(lines) + b"20\thand\texon\tone\t9\t.\t+\t.\n")
    options = ["--model", "ci-spliceai", "--distance", "40", "--mask", "nearest", "--no-table", "--genes"]
    done = asked(source, "--out", tmp_path / "out.vcf", *options, genes)
    assert done.exit_code == 0, done.stderr
    found = info(body(tmp_path / "out.vcf")[0])["NTV_SPLICE"]
    assert found.startswith("C|HNF4A|0.00|0.00|0.00|1.00|") and found.endswith("|-1")
    text = (tmp_path / "out.vcf").read_text()
    for said in ("CC BY 4.0; cite Strauch", "within 40 bp of POS", "genes of chr20.GRCh37.gtf", "mask nearest"):
        assert said in text
    command = next(line for line in text.splitlines() if line.startswith("##ntviz_command="))
    typed = "--model ci-spliceai,--on-mismatch skip,--genes chr20.GRCh37.gtf,--distance 40,--mask nearest"
    assert all(said in command for said in typed.split(",")) and "--frames" not in command
    notes = json.loads((tmp_path / "out.json").read_text())["notes"]
    (lost,) = (note for note in notes if "could not be read; the first, line " in note)
    assert lost.startswith("1 of ") and done.stderr.count(lost) == 1


def test_the_command_scores_tables_and_a_small_reference_gives_no_percentiles(tmp_path):
    reference = toy_reference(tmp_path, contigs={"20": 3_000})
    ref = base(reference, 700)
    (tmp_path / "in.tsv").write_text(f"chrom\tpos\tref\talt\n20\t700\t{ref}\t{other(ref)}\n")
    out = tmp_path / "out.csv"
    done = asked(tmp_path / "in.tsv", "--reference", reference.path, "--out", out, "--scores", "llr")
    assert done.exit_code == 0, done.stderr
    note = "no percentiles: A background must have 200 substitutions of each class; toy.fa gives fewer of"
    assert note in done.stderr
    assert "A larger --reference gives them." in done.stderr and "per_class" not in done.stderr
    table = pd.read_csv(out)
    assert table["status"].tolist() == ["ok"] and "llr" in table and "llr_percentile" not in table
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["alleles"] == {"ok": 1} and [note in one for one in card["notes"]] == [True]


@pytest.mark.parametrize("seconds", [0.3, 1.5])
def test_an_interruption_while_it_starts_ends_in_one_line(start, tmp_path, seconds):
    source = write(tmp_path, ["20\t43052895\td1\tG\tC"], contigs=False)
    with start("score", source, "--out", tmp_path / "out.vcf", cwd=tmp_path) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert errors.strip().splitlines()[-1].startswith("ntviz: interrupted")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gone.vcf",), "there is none at gone.vcf"),
        (("in.vcf", "--shard", "5/4"), "--shard must be i/n"),
        (("in.vcf", "--on-mismatch", "guess"), "'guess' is not one of"),
        (("in.vcf", "--no-background"), "begin with ##fileformat"),
        (("in.vcf", "--model", "ci-spliceai", "--frames", "6"), "--on-mismatch, but frames came"),
        (("in.vcf", "--model", "ci-spliceai", "--distance", "9000"), "distance must be 1 to 5,000 bp; received 9000"),
    ],
)
def test_wrong_arguments_end_with_two(monkeypatch, tmp_path, arguments, said):
    (tmp_path / "in.vcf").write_text("no vcf\n")
    monkeypatch.chdir(tmp_path)
    done = asked(*arguments, "--out", "out.vcf.gz")
    assert done.exit_code == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out.vcf.gz").exists()
