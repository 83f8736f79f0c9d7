"""Five thousand damaged VCF files: each is scored with every line accounted for, or refused in words."""

from __future__ import annotations

import gzip
import random
import re
from collections import Counter
from pathlib import Path

import pysam
import pytest
from variant_toy import ToyModel, toy_reference

from ntviz import variants
from ntviz.variants import vcf
from ntviz.variants.files import score_file

FILES = 5_000
PARTS = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    reference = toy_reference(folder, contigs={"20": 600}, n=[("20", 300, 310)])
    model = ToyModel(max_tokens=8)
    return reference, variants.Scorer(model, reference, variants.Options(("llr",)))


def seeds(reference) -> list[bytes]:
    """Whole files of several kinds."""
    bases = reference.fetch("20:1-600").sequence
    head = [
        "##fileformat=VCFv4.2",
        "##contig=<ID=20,length=600>",
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="g">',
    ]
    columns = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]
    rows, with_samples = [], []
    for pos in (1, 30, 31, 77, 200, 305, 450, 599):
        ref = bases[pos - 1].replace("N", "A")
        alt = {"A": "C", "C": "A,T", "G": "GTT", "T": "<DEL>,*,A"}[ref]
        rows.append(
            [("20", "chr20")[pos % 2], str(pos), f"rs{pos}", ref, alt, "50", "PASS", "DP=3;NTV_LLR=1"]
        )
        with_samples.append([*rows[-1], "GT:DP", "0/1:3", "1/1:9"])
    plain = "\n".join([*head, "\t".join(columns), *map("\t".join, rows)]) + "\n"
    samples = (
        "\n".join([*head, "\t".join([*columns, "FORMAT", "a", "b"]), *map("\t".join, with_samples)]) + "\n"
    )
    return [plain.encode(), samples.encode(), samples.replace("\n", "\r\n").encode()]


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content with one to four pieces of damage."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data)) if data else 0
        kind = rng.randrange(12)
        if not data:
            break
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            del data[at : at + rng.randint(1, 30)]
        elif kind == 2:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 8)))
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            data[at:at] = rng.choice(
                [b"\t", b"\n", b"\r", b"\x00", b",", b";", b"=", b"\t\t", b"\n\n", b"\xff"]
            )
        elif kind == 5:
            data[:] = data.replace(b"\t", b" ", rng.randint(1, 9))
        else:
            _mutate_line(data, rng, kind)
    return bytes(data)


def _mutate_line(data: bytearray, rng: random.Random, kind: int) -> None:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    fields = lines[at].split(b"\t")
    column = rng.randrange(len(fields))
    if kind == 6:
        lines.insert(at, lines[at])
    elif kind == 7:
        del lines[at]
    elif kind == 8:
        other = rng.randrange(len(fields))
        fields[column], fields[other] = fields[other], fields[column]
    elif kind == 9:
        odd = (b"", b".", b"-1", b"99999999999999999999", b"1e3", b"NaN", b"N", b"<DUP>", b"]20:5]A", b"*,*", b",", b"acgt", "é".encode())  # fmt: skip
        fields[column] = rng.choice(odd)
    elif kind == 10:
        fields[column] *= rng.randint(2, 2_000)
    else:
        rng.shuffle(lines)
    if kind in (8, 9, 10):
        lines[at] = b"\t".join(fields)
    data[:] = b"\n".join(lines)


def compressed(content: bytes, kind: str, path: Path) -> bytes:
    if kind == "plain":
        return content
    if kind == "gzip":
        return gzip.compress(content)
    with pysam.BGZFile(str(path), "wb", None) as handle:
        handle.write(content)
    return path.read_bytes()


def expected_lines(content: bytes) -> list[str]:
    """Lines that are records: what comes after the columns and is not blank."""
    lines = [line.rstrip(b"\r") for line in content.split(b"\n")]
    first = next(at for at, line in enumerate(lines) if line.strip() and not line.startswith(b"##")) + 1
    return [line.decode("utf-8", "surrogateescape") for line in lines[first:] if line.strip()]


@pytest.mark.parametrize("part", range(PARTS))
def test_no_line_is_lost_and_no_error_is_unclear(place, tmp_path, part):
    reference, scorer = place
    rng = random.Random(part)
    texts = seeds(reference)
    source, out = tmp_path / "in.vcf", tmp_path / "out.vcf"
    ended: Counter[str] = Counter()
    for number in range(FILES // PARTS):
        kind = rng.choice(["plain", "plain", "plain", "gzip", "bgzip"])
        content = rng.choice(texts)
        if kind == "plain" or rng.random() < 0.5:
            damaged = mutated(content, rng)
            raw = compressed(damaged, kind, tmp_path / "scratch.gz")
        else:
            # The damage is to the compressed bytes.
            raw, damaged = mutated(compressed(content, kind, tmp_path / "scratch.gz"), rng), b""
        source.write_bytes(raw)
        summary = refused = None
        try:
            summary = score_file(
                source, out, scorer, piece=3, what=None, overwrite=True, with_table=number % 10 == 0
            )
        except vcf.VcfError as error:
            refused = str(error)
        if summary is None:
            # What must hold, what came, what to do.
            assert re.match(
                rf"[^;]+; received {re.escape(str(source))}(, line [\d,]+)?\. .+", refused, re.DOTALL
            )
            ended["refused"] += 1
            continue
        if not damaged:
            # Damage that a checksum does not see cannot be there: what was read is what was compressed.
            damaged = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        wanted = expected_lines(damaged)
        found = expected_lines(out.read_bytes())
        assert len(found) == len(wanted) == summary.survey.records
        for before, after in zip(wanted, found, strict=True):
            if before == after:
                ended["passed on"] += 1
                continue
            old, new = before.split("\t"), after.split("\t")
            assert old[:7] + old[8:] == new[:7] + new[8:]
            assert "NTV_STATUS=" in new[7]
            kept = [
                part for part in old[7].split(";") if part not in ("", ".") and not part.startswith("NTV_")
            ]
            assert new[7].split(";")[: len(kept)] == kept
            ended["annotated"] += 1
        # Letters such as é are letters, and no bases: such a line can be read, its alleles cannot.
        assert summary.statuses["malformed"] >= summary.survey.malformed_lines
    # The damage was neither harmless nor deadly as a rule.
    assert ended["refused"] > FILES / PARTS / 20
    assert ended["annotated"] > FILES / PARTS
    assert ended["passed on"] > FILES / PARTS / 20
