"""VCF as text: what is read, what is refused and in which words, and that other tools read what is written."""

from __future__ import annotations

import gzip
import subprocess

import pysam
import pytest

from ntviz.variants import vcf
from ntviz.variants.survey import survey

COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
HEAD = f"##fileformat=VCFv4.2\n##contig=<ID=20,length=63025520>\n{COLUMNS}\n"
RECORD = "20\t100\trs1\tA\tC,G\t50\tPASS\tAC=1,2;DB"


def file(folder, text, name="in.vcf"):
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def records(path):
    with vcf.VcfFile(path) as opened:
        return list(opened)


def bgzip(folder, text, name="in.vcf.gz"):
    path = folder / name
    with pysam.BGZFile(str(path), "wb", None) as handle:
        for at in range(0, len(text), 20_000):
            handle.write(text[at : at + 20_000].encode())
    return path


# Reading --------------------------------------------------------------------------------------------------------------


def test_a_record_and_its_columns(tmp_path):
    (one,) = records(file(tmp_path, HEAD + RECORD))
    assert (one.line, one.problem) == (4, "")
    assert (one.chrom, one.pos, one.id, one.ref, one.alts) == ("20", 100, "rs1", "A", ("C", "G"))


@pytest.mark.parametrize("version", ["4.0", "4.1", "4.2", "4.3", "4.4", "4.5"])
def test_every_version_of_four(tmp_path, version):
    assert len(records(file(tmp_path, HEAD.replace("4.2", version) + RECORD))) == 1


def test_compression_is_told_by_content(tmp_path):
    text = HEAD + "".join(f"20\t{pos}\t.\tA\tC\t.\t.\t.\n" for pos in range(1, 9_000))
    plain = records(file(tmp_path, text, "a.vcf.gz"))
    halves = gzip.compress(text[:5_000].encode()) + gzip.compress(text[5_000:].encode())
    assert records(file(tmp_path, halves, "b.vcf")) == plain
    assert records(bgzip(tmp_path, text, "c.txt")) == plain
    assert len(plain) == 8_999


def test_line_ends_blank_lines_and_no_last_end(tmp_path):
    path = file(tmp_path, (HEAD + RECORD + "\n\n" + RECORD).replace("\n", "\r\n"))
    with vcf.VcfFile(path) as opened:
        found = list(opened)
        assert (len(found), opened.blank_lines, opened.crlf) == (2, 1, True)
    assert [one.raw for one in found] == [RECORD, RECORD]
    assert [one.line for one in found] == [4, 6]
    assert records(file(tmp_path, HEAD)) == []


def test_samples_and_contigs(tmp_path):
    text = HEAD.replace("INFO\n", "INFO\tFORMAT\ta\tb\n") + RECORD + "\tGT\t0/1\t1|2\n"
    with vcf.VcfFile(file(tmp_path, text)) as opened:
        assert opened.header.samples == ("a", "b")
        assert opened.header.contigs == {"20": 63_025_520}
        assert [one.problem for one in opened] == [""]
    odd = '##contig=<length=5,ID=HLA-A*01:01,assembly="x">\n##contig=<ID=GL0.1>\n'
    with vcf.VcfFile(file(tmp_path, HEAD.replace("#CHROM", odd + "#CHROM"))) as opened:
        assert list(opened.header.contigs) == ["20", "HLA-A*01:01", "GL0.1"]


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
    assert good.problem == again.problem == ""
    assert bad.problem.startswith(why) or why in bad.problem
    assert bad.annotated({"NTV_STATUS": "malformed"}) == bad.raw == line


# Refusing -------------------------------------------------------------------------------------------------------------


def test_what_is_no_vcf_is_refused_in_words(tmp_path):
    for content, message in (
        (b"\x89PNG\r\n\x1a\n" + b"x" * 50, "begin with ##fileformat=VCFv4"),
        (b">chr1\nACGT\n", "begin with ##fileformat=VCFv4"),
        (b"", "must end with the line of column names"),
        (b"##fileformat=VCFv4.2\n20\t1\t.\tA\tC\n", "must end with the line of column names"),
        (b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\n", r"column line .* line 2"),
        (HEAD.replace("INFO", "INFO\tFORMAT\ta\ta").encode(), "'a' is there twice"),
        (b"BCF\x02\x02" + b"\0" * 30, "bcftools view IN.bcf"),
    ):
        with pytest.raises(vcf.VcfError, match=message):
            records(file(tmp_path, content))
    with pytest.raises(FileNotFoundError, match=r"no file .*gone\.vcf"):
        records(tmp_path / "gone.vcf")
    with pytest.raises(vcf.VcfError, match="not a folder"):
        records(tmp_path)


def test_compressed_files_that_are_cut_off_are_refused(tmp_path):
    text = HEAD + "".join(f"20\t{pos}\trs{pos * 7919 % 10_007}\tA\tC\t.\t.\t.\n" for pos in range(1, 20_000))
    whole = bgzip(tmp_path, text).read_bytes()
    # At the end of a block nothing but the missing last block tells.
    ends, at = [], 0
    while at < len(whole):
        at += int.from_bytes(whole[at + 16 : at + 18], "little") + 1
        ends.append(at)
    assert len(ends) > 3
    for cut in (*ends[:-1], len(whole) - 5, len(whole) // 2):
        with pytest.raises(vcf.VcfError, match="whole"):
            records(file(tmp_path, whole[:cut], "cut.vcf.gz"))
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    with pytest.raises(vcf.VcfError, match="cut off or damaged"):
        records(file(tmp_path, bytes(damaged), "damaged.vcf.gz"))
    with pytest.raises(vcf.VcfError, match="whole"):
        records(file(tmp_path, gzip.compress(text.encode())[:-40], "plain.vcf.gz"))


# Writing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (".", "NTV_LLR=1"),
        ("DP=3", "DP=3;NTV_LLR=1"),
        ("DP=3;", "DP=3;NTV_LLR=1"),
        ("DB;NTV_LLR=7;NTV_STATUS=ok;AC=1", "DB;AC=1;NTV_LLR=1"),
        ("XNTV_LLR=2", "XNTV_LLR=2;NTV_LLR=1"),
    ],
)
def test_keys_are_added_and_nothing_else_is_touched(tmp_path, info, expected):
    line = f"20\t100\trs1\ta\tC\t50.00\tq10;s50\t{info}\tGT:AD\t0/1:3,4\t./.:."
    text = HEAD.replace("INFO\n", "INFO\tFORMAT\ta\tb\n") + line
    (one,) = records(file(tmp_path, text))
    assert one.annotated({"NTV_LLR": "1"}) == line.replace(f"\t{info}\t", f"\t{expected}\t")


def test_the_header_keeps_its_lines_and_replaces_ours():
    lines = ("##fileformat=VCFv4.2", "##source=x", '##INFO=<ID=NTV_LLR,Number=1,Description="old">', "##ntviz_model=old", "##last=1")  # fmt: skip
    header = vcf.Header(lines, tuple(COLUMNS.split("\t")))
    new = header.with_info(["##INFO=<ID=NTV_LLR,new>"], ["##ntviz_model=new"], {"20": 5, "21": None})
    assert new.text.split("\n")[:-2] == [
        *("##fileformat=VCFv4.2", "##source=x", "##last=1", "##contig=<ID=20,length=5>", "##contig=<ID=21>"),
        *("##INFO=<ID=NTV_LLR,new>", "##ntviz_model=new"),
    ]
    assert new.with_info((), (), {"20": 6}).text.count("##contig=<ID=20") == 1


def test_other_tools_read_what_is_written(tmp_path):
    lines = [f"20\t{pos}\t.\tA\tC\t.\t.\tNTV_LLR=0.5" for pos in range(1_000, 60_000, 7)]
    info = '##INFO=<ID=NTV_LLR,Number=A,Type=Float,Description="x">'
    header = vcf.Header(("##fileformat=VCFv4.2",), tuple(COLUMNS.split("\t")))
    written = vcf.write(tmp_path / "out.vcf.gz", header.with_info([info], [], {"20": 63_025_520}), lines)
    assert written.index == tmp_path / "out.vcf.gz.tbi"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.vcf.gz", "out.vcf.gz.tbi"]
    with pysam.VariantFile(str(written.path)) as opened:
        found = [(one.pos, one.info["NTV_LLR"]) for one in opened.fetch("20", 1_999, 2_100)]
    assert found == [(pos, (0.5,)) for pos in range(1_000, 60_000, 7) if 2_000 <= pos <= 2_100]
    asked = ["bcftools", "view", "--no-header", "--regions", "20:59900-59999", str(written.path)]
    said = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == [line for line in lines if int(line.split("\t")[1]) >= 59_900]
    assert said.stderr == ""


def test_far_positions_take_the_other_index(tmp_path):
    header = vcf.Header(("##fileformat=VCFv4.2",), tuple(COLUMNS.split("\t")))
    near = vcf.write(tmp_path / "out.vcf.gz", header, ["7\t5\t.\tA\tC\t.\t.\t."])
    far = vcf.write(tmp_path / "out.vcf.gz", header, ["7\t600000000\t.\tA\tC\t.\t.\t."])
    assert (near.index.suffix, far.index.suffix) == (".tbi", ".csi")
    # The old one would point at the wrong bytes.
    assert not near.index.exists()


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["20\t5\t.\tA\tC", "20\t4\t.\tA\tC"], "not sorted by position"),
        (["20\t5\t.\tA\tC", "21\t4\t.\tA\tC", "20\t9\t.\tA\tC"], "not side by side"),
        (["20\tx\t.\tA\tC"], "no position"),
    ],
)
def test_no_index_where_there_can_be_none(tmp_path, lines, reason):
    header = vcf.Header(("##fileformat=VCFv4.2",), tuple(COLUMNS.split("\t")))
    written = vcf.write(tmp_path / "out.vcf.gz", header, lines)
    assert written.index is None
    assert reason in written.reason
    assert gzip.decompress(written.path.read_bytes()).decode().splitlines()[-len(lines) :] == lines


def test_a_position_beyond_every_index_costs_the_index_alone(tmp_path):
    header = vcf.Header(("##fileformat=VCFv4.2",), tuple(COLUMNS.split("\t")))
    lines = ["20\t5\t.\tA\tC\t.\t.\t.", f"20\t{10**17}\t.\tA\tC\t.\t.\t."]
    written = vcf.write(tmp_path / "out.vcf.gz", header, lines)
    assert written.index is None
    assert "beyond what an index reaches" in written.reason
    assert [path.name for path in tmp_path.iterdir()] == ["out.vcf.gz"]
    assert gzip.decompress(written.path.read_bytes()).decode().splitlines()[-2:] == lines


def test_nothing_half_written_stays(tmp_path):
    header = vcf.Header(("##fileformat=VCFv4.2",), tuple(COLUMNS.split("\t")))
    before = vcf.write(tmp_path / "out.vcf.gz", header, ["20\t5\t.\tA\tC\t.\t.\t."]).path.read_bytes()

    def broken():
        yield "20\t6\t.\tA\tC\t.\t.\t."
        raise RuntimeError("in the middle")

    for name in ("out.vcf.gz", "plain.vcf"):
        with pytest.raises(RuntimeError, match="in the middle"):
            vcf.write(tmp_path / name, header, broken())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.vcf.gz", "out.vcf.gz.tbi"]
    assert (tmp_path / "out.vcf.gz").read_bytes() == before


# A first look ---------------------------------------------------------------------------------------------------------


def test_duplicates_are_found_near_and_far(tmp_path):
    rows = ["20\t5\t.\tA\tC", "20\t5\t.\ta\tc,G", "chr20\t7\t.\tA\tC", "20\t9\t.\tA\tC"]
    found = survey(file(tmp_path, HEAD + "".join(f"{row}\t.\t.\t.\n" for row in rows)))
    assert found.duplicates == {(1, 0)}
    assert (found.records, found.alleles, found.contigs) == (4, 5, ["20", "chr20"])
    far = [*rows, "21\t1\t.\tA\tC", "20\t7\t.\tA\tC,T"]
    assert survey(file(tmp_path, HEAD + "".join(f"{row}\t.\t.\t.\n" for row in far))).duplicates == {
        (1, 0),
        (5, 0),
    }


def test_a_vcf_of_which_no_line_can_be_read_is_refused(tmp_path):
    path = file(tmp_path, HEAD + (RECORD.replace("\t", " ") + "\n") * 3)
    with pytest.raises(
        vcf.VcfError, match=r"line 4\. Of 3 lines none can; this one: 1 columns separated by tabs"
    ):
        survey(path)
    assert survey(file(tmp_path, HEAD)).records == 0


@pytest.mark.parametrize("kind", ["plain", "gzip"])
def test_a_byte_order_mark_and_empty_first_lines_are_no_part_of_a_vcf(tmp_path, kind):
    text = f"\ufeff\n\r\n{HEAD}{RECORD}\n".encode()
    path = tmp_path / "in.vcf"
    path.write_bytes(gzip.compress(text) if kind == "gzip" else text)
    with vcf.VcfFile(path) as opened:
        assert opened.header.text == HEAD
        assert [record.raw for record in opened] == [RECORD]
        assert (opened.blank_lines, opened.crlf) == (2, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ((HEAD + RECORD).encode("utf-16"), "must be UTF-8 text; .* It is UTF-16: iconv"),
        ((HEAD + RECORD).replace("\n", "\r").encode(), "must end in LF or CR LF; .* They end in CR alone: tr"),
    ],
)  # fmt: skip
def test_text_that_is_no_vcf_yet_is_refused_for_its_reason(tmp_path, text, message):
    (tmp_path / "in.vcf").write_bytes(text)
    with pytest.raises(vcf.VcfError, match=message):
        vcf.VcfFile(tmp_path / "in.vcf")


def test_malformed_lines_are_counted_and_the_first_named(tmp_path):
    found = survey(file(tmp_path, HEAD + "x\n" * 9 + RECORD))
    assert found.malformed_lines == 9
    assert [line for line, _ in found.malformed] == [4, 5, 6, 7, 8]
