"""VCF as text: what is read, what is refused and in which words, that other tools read what is written; and damaged files."""

from __future__ import annotations

import gzip
import os
import random
import re
import subprocess
from collections import Counter
from pathlib import Path

import pysam
import pytest
from variant_toy import ToyModel, toy_reference

from ntviz import variants
from ntviz.variants import vcf
from ntviz.variants.files import score_file
from ntviz.variants.survey import survey

COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
HEAD = f"##fileformat=VCFv4.2\n##contig=<ID=20,length=63025520>\n{COLUMNS}\n"
RECORD = "20\t100\trs1\tA\tC,G\t50\tPASS\tAC=1,2;DB"
HEADER = vcf.Header(("##fileformat=VCFv4.2",), tuple(COLUMNS.split("\t")))
SAMPLES = HEAD.replace("INFO\n", "INFO\tFORMAT\ta\tb\n")


def file(folder, text, name="in.vcf"):
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def records(path):
    with vcf.VcfFile(path) as opened:
        return list(opened)


def bgzip(path, content):
    with pysam.BGZFile(str(path), "wb", None) as handle:
        for at in range(0, len(content), 20_000):
            handle.write(content[at : at + 20_000])
    return path


# Reading --------------------------------------------------------------------------------------------------------------


def test_a_record_and_its_columns(tmp_path):
    for version in ("4.0", "4.2", "4.5"):
        (one,) = records(file(tmp_path, HEAD.replace("4.2", version) + RECORD))
        found = (one.line, one.problem, one.chrom, one.pos, one.id, one.ref, one.alts)
        assert found == (4, "", "20", 100, "rs1", "A", ("C", "G"))


def test_compression_is_told_by_content(tmp_path):
    text = (HEAD + "".join(f"20\t{pos}\t.\tA\tC\t.\t.\t.\n" for pos in range(1, 9_000))).encode()
    plain = records(file(tmp_path, text, "a.vcf.gz"))
    assert records(file(tmp_path, gzip.compress(text[:5_000]) + gzip.compress(text[5_000:]), "b.vcf")) == plain
    assert records(bgzip(tmp_path / "c.txt", text)) == plain and len(plain) == 8_999


def test_line_ends_blank_lines_byte_order_marks_and_no_last_end(tmp_path):
    text = f"\ufeff\n\r\n{HEAD}{RECORD}\n\n{RECORD}".replace("\n", "\r\n")
    for pack in (bytes, gzip.compress):
        with vcf.VcfFile(file(tmp_path, pack(text.encode()))) as opened:
            found = list(opened)
            assert (opened.header.text, opened.blank_lines, opened.crlf) == (HEAD, 3, True)
        assert [(one.line, one.raw) for one in found] == [(6, RECORD), (8, RECORD)]
    assert records(file(tmp_path, HEAD)) == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("20\t100\t.\tA\tC", "5 columns separated by tabs, at least 8 needed"),
        ("20 100 . A C . . .", "1 columns"),
        (RECORD + "\tGT\t0/1", "10 columns, the header has 8"),
        (RECORD.replace("100", "1e2"), "POS is '1e2', not a whole number"),
        (RECORD.replace("100", "-5"), "POS is '-5'"),
        (RECORD.replace("\tA\t", "\t\t"), "REF is '', not bases"),
        (RECORD.replace("\tA\t", "\t<X>\t"), "REF is '<X>', not bases"),
        (RECORD.replace("20\t", "\t", 1), "CHROM is empty"),
        (RECORD.replace("PASS", "PA\x00SS"), "NUL"),
    ],
)
def test_a_line_that_is_no_record_costs_itself(tmp_path, line, why):
    good, bad, again = records(file(tmp_path, f"{HEAD}{RECORD}\n{line}\n{RECORD}\n"))
    assert good.problem == again.problem == "" and why in bad.problem
    assert bad.annotated({"NTV_STATUS": "malformed"}) == bad.raw == line


# Refusing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n" + b"x" * 50, "begin with ##fileformat=VCFv4"),
        (b">chr1\nACGT\n", "begin with ##fileformat=VCFv4"),
        (b"", "must end with the line of column names"),
        (b"##fileformat=VCFv4.2\n20\t1\t.\tA\tC\n", "must end with the line of column names"),
        (b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\n", r"column line .* line 2"),
        (SAMPLES.replace("\tb", "\ta").encode(), "'a' is there twice"),
        (b"BCF\x02\x02" + b"\0" * 30, "bcftools view IN.bcf"),
        ((HEAD + RECORD).encode("utf-16"), "must be UTF-8 text; .* It is UTF-16: iconv"),
        ((HEAD + RECORD).replace("\n", "\r").encode(), "must end in LF or CR LF; .* They end in CR alone: tr"),
    ],
)
def test_what_is_no_vcf_is_refused_in_words(tmp_path, content, message):
    with pytest.raises(vcf.VcfError, match=message):
        records(file(tmp_path, content))
    with pytest.raises(FileNotFoundError, match=r"no file .*gone\.vcf"):
        records(tmp_path / "gone.vcf")
    with pytest.raises(vcf.VcfError, match="not a folder"):
        records(tmp_path)


def test_compressed_files_that_are_cut_off_are_refused(tmp_path):
    text = HEAD + "".join(f"20\t{pos}\trs{pos * 7919 % 10_007}\tA\tC\t.\t.\t.\n" for pos in range(1, 20_000))
    whole = bgzip(tmp_path / "in.vcf.gz", text.encode()).read_bytes()
    # At the end of a block nothing but the missing last block tells.
    ends, at = [], 0
    while at < len(whole):
        at += int.from_bytes(whole[at + 16 : at + 18], "little") + 1
        ends.append(at)
    assert len(ends) > 3
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    cuts = [whole[:cut] for cut in (*ends[:-1], len(whole) - 5, len(whole) // 2)]
    for content in (*cuts, bytes(damaged), gzip.compress(text.encode())[:-40]):
        with pytest.raises(vcf.VcfError, match="must be whole; .* cut off or damaged"):
            records(file(tmp_path, content, "cut.vcf.gz"))


# Writing --------------------------------------------------------------------------------------------------------------


def test_keys_are_added_and_nothing_else_is_touched(tmp_path):
    for info, expected in (
        (".", "NTV_LLR=1"),
        ("DP=3", "DP=3;NTV_LLR=1"),
        ("DP=3;", "DP=3;NTV_LLR=1"),
        ("DB;NTV_LLR=7;NTV_STATUS=ok;AC=1", "DB;AC=1;NTV_LLR=1"),
        ("XNTV_LLR=2", "XNTV_LLR=2;NTV_LLR=1"),
    ):
        line = f"20\t100\trs1\ta\tC\t50.00\tq10;s50\t{info}\tGT:AD\t0/1:3,4\t./.:."
        (one,) = records(file(tmp_path, SAMPLES + line))
        assert one.annotated({"NTV_LLR": "1"}) == line.replace(f"\t{info}\t", f"\t{expected}\t")


def test_the_header_keeps_its_lines_and_replaces_ours():
    odd = '##contig=<length=5,ID=HLA-A*01:01,assembly="x">'
    ours = ('##INFO=<ID=NTV_LLR,Number=1,Description="old">', "##ntviz_model=old")
    lines = ("##fileformat=VCFv4.2", odd, *ours, "##last=1")
    contigs = {"20": 5, "21": None, "HLA-A*01:01": 6}
    new = vcf.Header(lines, HEADER.columns).with_info(["##INFO=<ID=NTV_LLR,new>"], ["##ntviz_model=new"], contigs)
    assert new.text.split("\n")[:-2] == [
        *(lines[0], odd, "##last=1", "##contig=<ID=20,length=5>", "##contig=<ID=21>"),
        *("##INFO=<ID=NTV_LLR,new>", "##ntviz_model=new"),
    ]
    assert new.with_info((), (), contigs).text.count("##contig=<ID=20") == 1


def test_other_tools_read_what_is_written(tmp_path):
    lines = [f"20\t{pos}\t.\tA\tC\t.\t.\tNTV_LLR=0.5" for pos in range(1_000, 60_000, 7)]
    info = '##INFO=<ID=NTV_LLR,Number=A,Type=Float,Description="x">'
    out, index = tmp_path / "out.vcf.gz", tmp_path / "out.vcf.gz.tbi"
    assert vcf.write(out, HEADER.with_info([info], [], {"20": 63_025_520}), lines) == index
    assert sorted(tmp_path.iterdir()) == [out, index]
    with pysam.VariantFile(str(out)) as opened:
        found = [(one.pos, one.info["NTV_LLR"]) for one in opened.fetch("20", 1_999, 2_100)]
    assert found == [(pos, (0.5,)) for pos in range(1_000, 60_000, 7) if 2_000 <= pos <= 2_100]
    asked = ["bcftools", "view", "--no-header", "--regions", "20:59900-59999", str(out)]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    expected = [line for line in lines if int(line.split("\t")[1]) >= 59_900]
    assert (done.stdout.splitlines(), done.stderr) == (expected, "")
    # Far positions take another index; the old one would point at the wrong bytes.
    assert vcf.write(out, HEADER, ["7\t600000000\t.\tA\tC\t.\t.\t."]).suffix == ".csi" and not index.exists()


def test_no_index_where_there_can_be_none(tmp_path, capfd):
    out = tmp_path / "out.vcf.gz"
    for places in ("20:5 20:4", "20:5 21:4 20:9", "20:x", f"20:5 20:{10**17}"):
        lines = ["{}\t{}\t.\tA\tC\t.\t.\t.".format(*place.split(":")) for place in places.split()]
        assert vcf.write(out, HEADER, lines) is None and list(tmp_path.iterdir()) == [out]
        assert gzip.decompress(out.read_bytes()).decode().splitlines()[-len(lines) :] == lines
        assert capfd.readouterr().err == ""


def test_nothing_half_written_stays(tmp_path):
    vcf.write(tmp_path / "out.vcf.gz", HEADER, ["20\t5\t.\tA\tC\t.\t.\t."])
    before = (tmp_path / "out.vcf.gz").read_bytes()

    def broken():
        yield "20\t6\t.\tA\tC\t.\t.\t."
        raise RuntimeError("in the middle")

    for name in ("out.vcf.gz", "plain.vcf"):
        with pytest.raises(RuntimeError, match="in the middle"):
            vcf.write(tmp_path / name, HEADER, broken())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.vcf.gz", "out.vcf.gz.tbi"]
    assert (tmp_path / "out.vcf.gz").read_bytes() == before


# A first look ---------------------------------------------------------------------------------------------------------


def test_duplicates_are_found_near_and_far(tmp_path):
    rows = ["20\t5\t.\tA\tC", "20\t5\t.\ta\tc,G", "chr20\t7\t.\tA\tC", "20\t9\t.\tA\tC"]
    far = [*rows, "21\t1\t.\tA\tC", "20\t7\t.\tA\tC,T"]
    found, again = (survey(file(tmp_path, HEAD + "".join(f"{row}\t.\t.\t.\n" for row in one))) for one in (rows, far))
    assert (found.duplicates, found.records, found.contigs) == ({(1, 0)}, 4, ["20", "chr20"])
    assert again.duplicates == {(1, 0), (5, 0)}


def test_lines_that_cannot_be_read_are_counted_and_the_first_named(tmp_path):
    found = survey(file(tmp_path, HEAD + "x\n" * 9 + RECORD))
    assert found.malformed_lines == 9 and [line for line, _ in found.malformed] == [4, 5, 6, 7, 8]
    none = r"line 4\. Of 3 lines none can; this one: 1 columns separated by tabs"
    with pytest.raises(vcf.VcfError, match=none):
        survey(file(tmp_path, HEAD + (RECORD.replace("\t", " ") + "\n") * 3))
    assert survey(file(tmp_path, HEAD)).records == 0


# Five thousand damaged files: each is scored with every line accounted for, or refused in words ------------------------

FILES, PARTS = 5_000, 4


def seeds(reference) -> list[bytes]:
    """Whole files of several kinds."""
    bases = reference.fetch("20:1-600").sequence
    head = [*HEAD.splitlines()[:2], '##FORMAT=<ID=GT,Number=1,Type=String,Description="g">']
    rows = []
    for pos in (1, 30, 31, 77, 200, 305, 450, 599):
        ref = bases[pos - 1].replace("N", "A")
        alt = {"A": "C", "C": "A,T", "G": "GTT", "T": "<DEL>,*,A"}[ref]
        chrom = ("20", "chr20")[pos % 2]
        rows.append(f"{chrom}\t{pos}\trs{pos}\t{ref}\t{alt}\t50\tPASS\tDP=3;NTV_LLR=1")
    plain = "\n".join([*head, COLUMNS, *rows, ""])
    samples = "\n".join([*head, f"{COLUMNS}\tFORMAT\ta\tb", *(f"{row}\tGT:DP\t0/1:3\t1/1:9" for row in rows), ""])
    return [plain.encode(), samples.encode(), samples.replace("\n", "\r\n").encode()]


ODD = (b"\t", b"\n", b"\r", b"\x00", b",", b";", b"=", b"\t\t", b"\n\n", b"\xff")
CELLS = b"|.|-1|99999999999999999999|1e3|NaN|N|<DUP>|]20:5]A|*,*|,|acgt|\xc3\xa9".split(b"|")


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content with one to four pieces of damage: to bytes, to lines, or to the cells of a line."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        if not data:
            break
        at, kind, lines = rng.randrange(len(data)), rng.randrange(12), data.split(b"\n")
        row = rng.randrange(len(lines))
        cells = lines[row].split(b"\t")
        one, other = rng.randrange(len(cells)), rng.randrange(len(cells))
        match kind:
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randint(1, 30)]
            case 2:
                data[at:at] = rng.randbytes(rng.randint(1, 8))
            case 3:
                del data[at:]
            case 4:
                data[at:at] = rng.choice(ODD)
            case 5:
                data[:] = data.replace(b"\t", b" ", rng.randint(1, 9))
            case 6:
                lines.insert(row, lines[row])
            case 7:
                del lines[row]
            case 8:
                cells[one], cells[other] = cells[other], cells[one]
            case 9:
                cells[one] = rng.choice(CELLS)
            case 10:
                cells[one] *= rng.randint(2, 2_000)
            case 11:
                rng.shuffle(lines)
        if kind in (8, 9, 10):
            lines[row] = b"\t".join(cells)
        if kind > 5:
            data[:] = b"\n".join(lines)
    return bytes(data)


def packed(content: bytes, kind: str, path: Path) -> bytes:
    if kind == "bgzip":
        return bgzip(path, content).read_bytes()
    return gzip.compress(content) if kind == "gzip" else content


def expected_lines(content: bytes) -> list[str]:
    """Lines that are records: what comes after the columns and is not blank."""
    lines = [line.rstrip(b"\r") for line in content.split(b"\n")]
    first = next(at for at, line in enumerate(lines) if line.strip() and not line.startswith(b"##")) + 1
    return [line.decode("utf-8", "surrogateescape") for line in lines[first:] if line.strip()]


@pytest.mark.parametrize("part", range(PARTS))
def test_no_line_is_lost_and_no_error_is_unclear(tmp_path, part, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    reference = toy_reference(tmp_path, contigs={"20": 600}, n=[("20", 300, 310)])
    scorer = variants.Scorer(ToyModel(max_tokens=8), reference, variants.Options(("llr",), both_strands=False))
    rng, texts = random.Random(part), seeds(reference)
    source, out = tmp_path / "in.vcf", tmp_path / "out.vcf"
    ended: Counter[str] = Counter()
    for number in range(FILES // PARTS):
        kind = rng.choice(["plain", "plain", "plain", "gzip", "bgzip"])
        content = rng.choice(texts)
        if kind == "plain" or rng.random() < 0.5:
            damaged = mutated(content, rng)
            raw = packed(damaged, kind, tmp_path / "scratch.gz")
        else:
            # The damage is to the compressed bytes.
            raw, damaged = mutated(packed(content, kind, tmp_path / "scratch.gz"), rng), b""
        source.write_bytes(raw)
        # Pieces are kept, as most are the same: what is tested here is text.
        how = {"piece": 3, "what": None, "overwrite": True, "with_table": number % 50 == 0}
        try:
            summary = score_file(source, out, scorer, cache=tmp_path / "kept", **how)
        except vcf.VcfError as error:
            # What must hold, what came, what to do.
            said = str(error)
            assert re.match(rf"[^;]+; received {re.escape(str(source))}(, line [\d,]+)?\. .+", said, re.DOTALL)
            ended["refused"] += 1
            continue
        if not damaged:
            # Damage that a checksum does not see cannot be there: what was read is what was compressed.
            damaged = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        wanted, found = expected_lines(damaged), expected_lines(out.read_bytes())
        assert len(found) == len(wanted) == summary.survey.records
        for before, after in zip(wanted, found, strict=True):
            if before == after:
                ended["passed on"] += 1
                continue
            old, new = before.split("\t"), after.split("\t")
            assert old[:7] + old[8:] == new[:7] + new[8:] and "NTV_STATUS=" in new[7]
            kept = [part for part in old[7].split(";") if part not in ("", ".") and not part.startswith("NTV_")]
            assert new[7].split(";")[: len(kept)] == kept
            ended["annotated"] += 1
        # Letters such as é are letters, and no bases: such a line can be read, its alleles cannot.
        assert summary.statuses["malformed"] >= summary.survey.malformed_lines
    # The damage was neither harmless nor deadly as a rule.
    assert min(ended["refused"], ended["passed on"]) > FILES / PARTS / 20 and ended["annotated"] > FILES / PARTS
