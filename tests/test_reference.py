"""Reading bases from a FASTA: known answers, brute force beside it, and every broken file that users bring."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import pickle
import random
import shutil
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pysam
import pytest

from ntviz import data
from ntviz import reference as files
from ntviz.genome import Interval
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference, build_index, recompress

BASES = "".join(random.Random(1).choices("ACGT", k=200_000))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("NTVIZ_CACHE", str(cache))
    return cache


def write_fasta(path, contigs):
    """A FASTA, by bgzip where its name ends so."""
    lines = []
    for name, text in contigs.items():
        lines += [f">{name}", *(text[start : start + 60] for start in range(0, len(text), 60))]
    with pysam.BGZFile(str(path), "wb") if path.suffix == ".gz" else path.open("wb") as handle:
        handle.write(("\n".join(lines) + "\n").encode("ascii"))
    return path


def names(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
def packed(tmp_path):
    return write_fasta(tmp_path / "a.fa.gz", {"chr1": BASES})


@pytest.fixture(params=["two.fa", "two.fa.gz"])
def fasta(request, tmp_path):
    return write_fasta(tmp_path / request.param, {"chr1": BASES, "chrM": "ACGTN"})


def age(path: Path, seconds: float) -> None:
    stat = path.stat()
    os.utime(path, (stat.st_atime, stat.st_mtime + seconds))


def test_every_region_equals_the_slice_of_the_whole(fasta):
    reference = Reference(fasta)
    assert reference.contigs == {"chr1": 200_000, "chrM": 5}
    generator = random.Random(2)
    for _ in range(200):
        start = generator.randrange(-50, len(BASES))
        end = generator.randrange(max(start + 1, 1), min(start + 2_000, len(BASES) + 50) + 1)
        strand = generator.choice("+-.")
        found = reference.fetch(Interval("chr1", start, end, strand))
        left, right = max(0, -start), max(0, end - len(BASES))
        expected = "N" * left + BASES[max(start, 0) : end] + "N" * right
        assert found.sequence == (reverse_complement(expected) if strand == "-" else expected)
        assert found.padded == (left, right) and len(found) == end - start


def test_long_regions_are_read_in_pieces_under_every_name_and_form(fasta, monkeypatch):
    monkeypatch.setattr(files, "_PIECE", 997)
    reference = Reference(fasta)
    assert reference.fetch(reference.whole("chr1")).sequence == BASES
    for start, end in ((0, 997), (1, 998), (996, 1_995), (5, 3_000)):
        assert reference.fetch(Interval("chr1", start, end)).sequence == BASES[start:end]
    reference = Reference(fasta)
    assert reference.fetch("chr1:1,001-1,010").sequence == BASES[1000:1010]
    for alias in ("1", "chr1", "NC_000001.10", "NC_000001.11"):
        asked = Interval(alias, 0, 20, "-")
        found = reference.fetch(asked)
        assert (found.interval, found.sequence, found.note) == (asked, reverse_complement(BASES[:20]), "")
    assert reference.fetch(Interval("MT", 0, 5)).sequence == "ACGTN"
    assert reference.whole("1") == Interval("1", 0, 200_000)


def test_what_is_done_to_the_bases_is_said_and_lengths_name_the_assembly(tmp_path):
    found = Reference(write_fasta(tmp_path / "a.fa", {"chr3": "ACGTacgtRYMN-*X"})).fetch("chr3:1-15")
    assert (found.sequence, found.soft_masked, found.ambiguous) == ("ACGTACGTNNNNNNN", 4, 6)
    said = "4 soft-masked (lower-case) letters were upper-cased. 6 IUPAC letters or gaps became N."
    assert found.note == said
    # Padding is in genome orientation on both strands.
    reference = Reference(write_fasta(tmp_path / "b.fa", {"chr3": "AACC"}))
    forward, backward = (reference.fetch(Interval("chr3", -2, 3, strand)) for strand in "+-")
    assert (forward.sequence, backward.sequence) == ("NNAAC", "GTTNN")
    assert forward.padded == backward.padded == (2, 0) and "2 N added before its start" in forward.note
    reference = Reference(write_fasta(tmp_path / "c.fa", {"chr1": "ACGT"}))
    for contigs, assembly in (
        ({"20": 63_025_520}, "GRCh37"),
        ({"chr20": 64_444_167, "chrX": 156_040_895, "chrUn_KI270302v1": 2_274}, "GRCh38"),
        ({"chr20": 64_444_167, "chr21": 48_129_895}, None),
        ({"chr20": 1_000}, None), ({"chr1": 249_250_621, "chr2": 1_000}, None), ({"plasmid": 5_000}, None),
    ):  # fmt: skip
        reference.contigs = contigs
        assert reference.assembly == assembly, contigs


def test_the_bundled_chromosome_is_of_grch37_alone():
    with Reference(data.bundle("chr20")) as reference:
        assert reference.assembly == "GRCh37" and reference.contigs == {"20": 63_025_520}
        assert repr(reference) == "Reference(chr20.GRCh37.fa.gz: 1 contigs, 63,025,520 bp, GRCh37)"
        # The start codon of HNF4A's canonical transcript.
        assert reference.fetch("chr20:43,030,013-43,030,015").sequence == "ATG"
        assert reference.fetch("NC_000020.10:1-5").sequence == "NNNNN"
    with pytest.raises(ValueError, match=r"which is of GRCh38, and chr20.GRCh37.fa.gz is GRCh37"):
        Reference(data.bundle("chr20")).fetch("NC_000020.11:43,000,000-43,000,010")


def fetched(reference, start):
    return reference.fetch(Interval("chr1", start, start + 100)).sequence


@pytest.mark.parametrize("method", sorted({"fork", "spawn"} & set(multiprocessing.get_all_start_methods())))
def test_other_processes_read_the_same(packed, method):
    reference, starts = Reference(packed), range(0, 5_000, 500)
    assert fetched(reference, 0) == BASES[:100]
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.starmap(fetched, [(reference, start) for start in starts])
    assert found == [BASES[start : start + 100] for start in starts]


def test_threads_share_a_reference_which_is_pickled_and_opens_again(fasta):
    reference = Reference(fasta)
    starts = random.Random(3).sample(range(len(BASES) - 500), 400)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda start: fetched(reference, start), starts))
    assert found == [BASES[start : start + 100] for start in starts]
    reference = Reference(fasta)
    reference.fetch("chr1:1-10")
    copy = pickle.loads(pickle.dumps(reference))
    reference.close()
    assert copy.fetch("chr1:1-10").sequence == reference.fetch("chr1:1-10").sequence == BASES[:10]


@pytest.mark.parametrize(("region", "message"), [
    ("chr1:200,001-200,010", "at least one base on its contig.*chr1 has 200,000 bp"),
    ("chr1:-9-0", "at least one base on its contig"),
    ("chr7:1-10", "'chr7'.*Nearest: .*chr1"),
    ("chr2:1-4", "must be made of A, C, G, T, N.*received 'E' at position 3"),
])  # fmt: skip
def test_region_that_cannot_be_read(tmp_path, region, message):
    reference = Reference(write_fasta(tmp_path / "two.fa", {"chr1": BASES, "chr2": "MKEV"}))
    with pytest.raises(ValueError, match=message):
        reference.fetch(region)
    with pytest.raises(FileNotFoundError, match=r"must exist.*absent\.fa, which is no such file"):
        Reference(tmp_path / "absent.fa")
    with pytest.raises(FileNotFoundError, match=r"which is a folder"):
        Reference(tmp_path)


def test_plain_gzip_is_refused_and_recompressed(tmp_path):
    zipped = tmp_path / "genome.fa.gz"
    zipped.write_bytes(gzip.compress(f">chr1\n{BASES}\n".encode()))
    with pytest.raises(ValueError, match=r"plain gzip\. Run ntviz.reference.recompress\("):
        Reference(zipped)
    assert Reference(recompress(zipped)).fetch(Interval("chr1", 0, len(BASES))).sequence == BASES
    assert names(tmp_path) == [*(f"genome.bgzip.fa.gz{end}" for end in ("", ".fai", ".gzi")), "genome.fa.gz"]


@pytest.mark.parametrize("damage", ["truncated", "corrupt"])
def test_recompress_leaves_nothing_of_a_broken_file(tmp_path, damage):
    content = bytearray(gzip.compress(f">chr1\n{BASES}\n".encode()))
    content = content[:-1000] if damage == "truncated" else content[:5000] + bytes(100) + content[5100:]
    (tmp_path / "genome.fa.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"must be a whole gzip file.*fetch it again"):
        recompress(tmp_path / "genome.fa.gz")
    assert names(tmp_path) == ["genome.fa.gz"]


def test_truncated_files_with_their_index_and_names_that_hide_bgzip(tmp_path, packed):
    plain = write_fasta(tmp_path / "a.fa", {"chr1": BASES})
    for path, lost, message in (
        (packed, 500, r"must end with its end marker.*truncated\. Fetch or copy it again"),
        (plain, 5_000, r"needs data at byte 203,339, and a.fa \(198,340 bytes\) does not have it"),
    ):
        Reference(path)
        path.write_bytes(path.read_bytes()[:-lost])
        age(path, -3600)
        with pytest.raises(ValueError, match=message):
            Reference(path)
    shutil.move(write_fasta(tmp_path / "c.fa.gz", {"chr1": BASES}), tmp_path / "b.fa")
    with pytest.raises(ValueError, match=r"must end in .gz when it is bgzip.*b.fa, which is bgzip. Rename"):
        Reference(tmp_path / "b.fa")


def test_corrupt_bgzip(packed, capfd):
    Reference(packed)
    content = bytearray(packed.read_bytes())
    content[30_000:30_050] = bytes(50)
    packed.write_bytes(content)
    index = [packed.with_name(f"a.fa.gz{suffix}") for suffix in (".fai", ".gzi")]
    for part in (packed, *index):
        os.utime(part, (1e9, 1e9))
    reference = Reference(packed)
    assert reference.fetch("chr1:1-10").sequence == BASES[:10]
    with pytest.raises(ValueError, match=r"chr1:90,001-150,000 of a.fa.gz is not\. The file is corrupt"):
        reference.fetch("chr1:90,001-150,000")
    for part in index:
        part.unlink()
    with pytest.raises(ValueError, match=r"a.fa.gz is not: .*fetch it again"):
        Reference(packed)
    assert names(packed.parent) == ["a.fa.gz"] and capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("content", "message"), [
    (b"", r"must begin with '>'.*is empty"),
    (b"chr1\t1\t2\n", r"must begin with '>'.*begins with b'chr1"),
    (b"\x1aA'C0000", r"must begin with '>'.*begins with"),
    (b">chr1\nACGT\nAC\nACGT\n", r"line 4 of a.fa, in 'chr1', follows a line of another length"),
    (b">chr1 x\nACGT\n>chr1 y\nACGT\n", r"name of its own; line 3 of a.fa repeats 'chr1' of line 1"),
    (b">\nACGT\n", r"name of its own; line 1 of a.fa has none"),
    (b">a\n>b\nACGT\n", r"must have bases; 'a', line 1 of a.fa, has none"),
    (b">b\nACGT\n>a\n", r"must have bases; 'a', line 3 of a.fa, has none.*if it was cut off"),
    (b">a\n\n\n>b\nACGT\n", r"must have bases; 'a', line 1"),
    (b">chr1\rACGT\rAC\r", r"line 1 of a.fa holds CR alone. Convert it: tr"),
    ("\ufeff>chr1\nACGT\n".encode("utf-16-le"), r"must begin with '>'; a.fa is UTF-16"),
])  # fmt: skip
def test_file_that_is_no_fasta_or_cannot_be_indexed(tmp_path, content, message, capfd):
    (tmp_path / "a.fa").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Reference(tmp_path / "a.fa")
    assert names(tmp_path) == ["a.fa"] and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("length", [1, 59, 60, 61, 120])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("width", [60, 1_000])
def test_a_last_line_needs_no_end(tmp_path, length, end, width):
    text = BASES[:length]
    lines = [">a", "ACGT", ">b first", *(text[at : at + width] for at in range(0, length, width))]
    path = tmp_path / "a.fa"
    path.write_bytes(end.join(lines).encode())
    with Reference(path) as reference:
        assert reference.contigs == {"a": 4, "b": length}
        assert reference.fetch(reference.whole("b")).sequence == text
    # The index is that of the same file with a line end, as samtools writes it, and one base less is one too few.
    path.write_bytes(path.read_bytes()[:-1])
    age(path, -10)
    with pytest.raises(ValueError, match=rf"needs data at byte {path.stat().st_size + 1:,}, "):
        Reference(path)


@pytest.mark.parametrize("start", ["\n", "\r\n\n", "\ufeff", "\ufeff\r\n"])
def test_an_empty_first_line_and_a_byte_order_mark_are_no_contigs(tmp_path, start):
    path = tmp_path / "a.fa"
    path.write_bytes(f"{start}>c1\n{BASES[:60]}\n{BASES[60:120]}\n{BASES[120:150]}\n>c2\nACGT\n".encode())
    with Reference(path) as reference:
        assert reference.contigs == {"c1": 150, "c2": 4}
        assert reference.fetch("c1:59-63").sequence == BASES[58:63]
        assert reference.fetch(reference.whole("c1")).sequence == BASES[:150]
        assert reference.fetch(reference.whole("c2")).sequence == "ACGT"


def test_a_byte_order_mark_goes_when_the_file_is_compressed(tmp_path):
    path = tmp_path / "a.fa"
    path.write_bytes(b"\xef\xbb\xbf>c1\nACGT\n")
    with pysam.BGZFile(str(tmp_path / "b.fa.gz"), "wb") as handle:
        handle.write(path.read_bytes())
    with pytest.raises(ValueError, match=r"begins with a byte order mark. Run ntviz.reference.recompress\("):
        Reference(tmp_path / "b.fa.gz")
    for name in ("a.fa", "b.fa.gz"):
        assert Reference(recompress(tmp_path / name)).fetch("c1:1-4").sequence == "ACGT"


def test_an_index_is_made_beside_the_file_or_found_elsewhere_and_must_be_one(fasta, tmp_path):
    Reference(fasta)
    suffixes = ("", ".fai", ".gzi") if fasta.suffix == ".gz" else ("", ".fai")
    assert names(fasta.parent) == [fasta.name + suffix for suffix in suffixes]
    Reference(fasta)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for suffix in (".fai", ".gzi"):
        if (beside := fasta.with_name(fasta.name + suffix)).exists():
            shutil.move(beside, elsewhere / f"index{suffix}")
    assert Reference(fasta, index=elsewhere / "index.fai").fetch("chr1:1-10").sequence == BASES[:10]
    with pytest.raises(FileNotFoundError, match=r"The index must exist.*absent.fai"):
        Reference(fasta, index=elsewhere / "absent.fai")
    Reference(fasta)
    index = fasta.with_name(fasta.name + ".fai")
    index.write_text("chr1\t20\tsix\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 1 of two.fa(.gz)?.fai is 'chr1"):
        Reference(fasta)
    index.write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match=r"at least one contig"):
        Reference(fasta)


@pytest.mark.parametrize("how", ["no access", "writing fails"])
def test_index_goes_to_the_cache_when_the_folder_is_read_only(fasta, own_cache, monkeypatch, how):
    real = files._write_index

    def refusing(path, fai, compressed):
        if fai.parent == path.parent:
            raise OSError(30, "Read-only file system")
        return real(path, fai, compressed)

    if how == "no access":
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    else:
        monkeypatch.setattr(files, "_write_index", refusing)
    assert Reference(fasta).fetch("chr1:1-10").sequence == BASES[:10] and names(fasta.parent) == [fasta.name]
    (made,) = (own_cache / "indexes").rglob("*.fai")
    before = made.stat().st_mtime_ns
    assert Reference(fasta).fetch("chr1:1-10").sequence == BASES[:10] and made.stat().st_mtime_ns == before


@pytest.mark.parametrize("which", ["file", "folder"])
def test_a_read_only_fasta_has_its_index_in_the_cache_for_root_too(tmp_path, own_cache, which):
    path = write_fasta(tmp_path / "a.fa", {"chr1": "ACGTACGT"})
    guarded = path if which == "file" else tmp_path
    guarded.chmod(0o444 if which == "file" else 0o555)
    try:
        assert Reference(path).fetch("chr1:2-4").sequence == "CGT" and names(tmp_path) == ["a.fa"]
        assert len(list(own_cache.rglob("a.fa.fai"))) == 1
    finally:
        guarded.chmod(0o755)


def test_stale_index_beside_a_read_only_fasta(fasta, own_cache):
    # Nobody here can replace it, so a fresh one of the cache is used; but a file that was cut off is refused.
    Reference(fasta)
    whole = fasta.read_bytes()
    write_fasta(fasta, {"chr1": "ACGTA" * 7, "chr2": BASES})
    age(fasta, 10)
    index = fasta.with_name(f"{fasta.name}.fai")
    fasta.chmod(0o444)
    # The old index of blocks fits the new file nowhere, which is refused as a cut file is.
    if fasta.suffix != ".gz":
        assert Reference(fasta).fetch("chr2:1-10").sequence == BASES[:10]
        assert Reference(fasta).fetch("chr1:1-6").sequence == "ACGTAA"
    fasta.chmod(0o644)
    fasta.write_bytes(whole[:1_000] + (whole[-28:] if fasta.suffix == ".gz" else b""))
    age(fasta, 20)
    fasta.chmod(0o444)
    with pytest.raises(ValueError, match="is not: |needs data at byte"):
        Reference(fasta)
    assert index.exists()


def test_index_older_than_a_changed_file(fasta):
    Reference(fasta)
    write_fasta(fasta, {"chr1": "ACGTA" * 7, "chr2": BASES})
    age(fasta, 10)
    with pytest.raises(ValueError, match=r"two.fa(.gz)? and differs.*Run .*build_index\(.*samtools faidx"):
        Reference(fasta)
    assert build_index(fasta) == fasta.with_name(fasta.name + ".fai")
    age(fasta, -20)
    assert Reference(fasta).fetch("chr2:1-10").sequence == BASES[:10]


def test_index_that_only_looks_older_is_used(fasta, tmp_path, monkeypatch):
    Reference(fasta)
    for seconds in (3600, 10):
        age(fasta, seconds)
        assert Reference(fasta).fetch("chr1:11-20").sequence == BASES[10:20]
        # A second time, nothing can be kept.
        (tmp_path / "file").touch()
        monkeypatch.setenv("NTVIZ_CACHE", str(tmp_path / "file" / "cache"))


def test_block_index_of_another_file(packed):
    Reference(packed)
    packed.with_name("a.fa.gz.gzi").write_bytes(struct.pack("<QQQ", 1, 12_345, 65_280))
    with pytest.raises(ValueError, match=r"needs data at byte 12,345"):
        Reference(packed)
