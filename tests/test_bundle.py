"""The bundle is what its README says: checksums, sizes, and the numbers that are known of its content."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import itertools
import random
import sqlite3
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import pytest

from ntviz import annotation, data, environment, motifs
from ntviz.annotation import Annotation
from ntviz.genome import Interval
from ntviz.genome.sequence import reverse_complement
from ntviz.reference import Reference

LIMIT = 45_000_000
# Two versions of a complex, whose second protein's class is said again; an older collection; a plant's; one without kinds.
TOY_JASPAR = """
CREATE TABLE MATRIX (ID INTEGER, COLLECTION TEXT, BASE_ID TEXT, VERSION INTEGER, NAME TEXT);
CREATE TABLE MATRIX_VERSION (ID INTEGER, RELEASE TEXT);
CREATE TABLE MATRIX_ANNOTATION (ID INTEGER, TAG TEXT, VAL TEXT, LOCAL_ID INTEGER);
CREATE TABLE MATRIX_DATA (ID INTEGER, row TEXT, col INTEGER, val REAL);
INSERT INTO MATRIX VALUES (1, 'CORE', 'MA1', 1, 'Old'), (2, 'CORE', 'MA1', 2, 'Fos::Jun'), (3, 'CORE', 'MA2', 1, 'Alone'),
    (4, 'CORE', 'MA3', 1, 'Plant'), (5, 'UNVALIDATED', 'MA4', 1, 'Unsure'), (6, 'CORE', 'MA5', 1, 'Gone');
INSERT INTO MATRIX_VERSION VALUES (1, '2026'), (2, '2026'), (3, '2026'), (4, '2026'), (5, '2026'), (6, '2024');
INSERT INTO MATRIX_ANNOTATION VALUES (1, 'tax_group', 'vertebrates', 1), (2, 'tax_group', 'vertebrates', 2),
    (3, 'tax_group', 'vertebrates', 3), (4, 'tax_group', 'plants', 4), (5, 'tax_group', 'vertebrates', 5),
    (6, 'tax_group', 'vertebrates', 6), (2, 'family', 'Jun-related', 9), (2, 'family', 'Fos-related ', 8),
    (2, 'class', 'bZIP', 7), (2, 'class', 'bZIP', 10), (1, 'family', 'Wrong', 11);
INSERT INTO MATRIX_DATA VALUES (1, 'A', 1, 9), (1, 'C', 1, 0), (1, 'G', 1, 0), (1, 'T', 1, 0),
    (2, 'T', 2, 4), (2, 'A', 2, 0), (2, 'C', 2, 0), (2, 'G', 2, 0), (2, 'A', 1, 1), (2, 'C', 1, 3), (2, 'G', 1, 0),
    (2, 'T', 1, 0), (3, 'A', 1, 2), (3, 'C', 1, 0), (3, 'G', 1, 0), (3, 'T', 1, 0);
"""
LETTERS = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
CODONS = dict(zip(map("".join, itertools.product("TCAG", repeat=3)), LETTERS, strict=True))


@pytest.fixture(scope="module")
def build() -> ModuleType:
    path = environment.data_dir() / "build.py"
    specification = importlib.util.spec_from_file_location("ntviz_data_build", path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look their module up while they are made
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def chromosome() -> str:
    with Reference(data.bundle("chr20")) as reference:
        return reference.fetch(reference.whole("20")).sequence


@pytest.fixture(scope="module")
def genes() -> Annotation:
    return annotation.read(data.bundle("genes"), on_error="raise")


# Files


def test_checksums_of_every_file(build):
    folder = environment.data_dir()
    content = (folder / build.CHECKSUMS).read_text(encoding="utf-8")
    # The script runs by itself.
    command = [sys.executable, str(folder / "build.py"), "--check"]
    assert subprocess.check_output(command, text=True) == "every file is as listed\n"
    listed = {name: digest for digest, name in (line.split("  ") for line in content.splitlines())}
    fasta = {build.FASTA, f"{build.FASTA}.fai", f"{build.FASTA}.gzi"}
    assert {*fasta, build.GENES, build.MOTIFS, build.FAMILIES} <= set(listed)
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for name, digest in listed.items():
        # Those of the model change with each training: the README points to the list.
        assert name.startswith("ntviz-mini/") or (name in readme and digest[:16] in readme)
    assert all(f"`{name}`" in readme for name in data.CATALOGUE)
    files = build.bundled(folder)
    assert f"{data.bundle('ntviz-mini').name}/model.safetensors" in files
    assert sum((folder / name).stat().st_size for name in files) < LIMIT


def test_changed_file_is_found(build, tmp_path: Path, capsys):
    (tmp_path / "genes").mkdir()
    (tmp_path / "genes" / "a").write_text("a")
    (tmp_path / build.CHECKSUMS).write_text(build.checksums(tmp_path))
    to = ["--to", str(tmp_path)]
    assert build.main([*to, "--check"]) == 0
    (tmp_path / "genes" / "a").write_text("b")
    (tmp_path / "new").write_text("c")
    assert build.main([*to, "--check"]) == 1
    printed = capsys.readouterr().out
    assert "missing or changed: genes/a" in printed
    assert "not as listed: new" in printed
    assert build.main([*to, "--checksums"]) == build.main([*to, "--check"]) == 0


# Genome


def test_chromosome_20(chromosome):
    assert len(chromosome) == 63_025_520
    assert hashlib.md5(chromosome.encode("ascii")).hexdigest() == "0dec9660ec1efaaf33281c0d5ea2560f"


def test_the_index_is_that_of_the_file(build, tmp_path: Path):
    copy = tmp_path / "chr20.fa.gz"
    copy.write_bytes(data.bundle("chr20").read_bytes())
    build.index_fasta(copy)
    for suffix in (".fai", ".gzi"):
        assert Path(f"{copy}{suffix}").read_bytes() == Path(f"{data.bundle('chr20')}{suffix}").read_bytes()


# Genes


def test_transcripts_and_introns(genes, chromosome):
    table = genes.table
    assert (table["element"] == "transcript").sum() == 544
    assert table["gene"].nunique() == 544
    introns = donors = acceptors = 0
    for _, exons in table[table["element"] == "exon"].groupby("transcript"):
        exons = exons.sort_values("start")
        for start, end in zip(exons["end"].iloc[:-1], exons["start"].iloc[1:], strict=True):
            intron = chromosome[start:end]
            if exons["strand"].iloc[0] == "-":
                intron = reverse_complement(intron)
            introns += 1
            donors += intron.startswith("GT")
            acceptors += intron.endswith("AG")
    assert (introns, donors, acceptors) == (4533, 4490, 4520)
    assert min(donors, acceptors) / introns > 0.99


@pytest.fixture(scope="module")
def coding(chromosome) -> dict[str, list[tuple[str, int]]]:
    """Pieces of CDS, 5' to 3', with the frame that the file states, by gene."""
    pieces = defaultdict(list)
    with gzip.open(data.bundle("genes"), "rt", encoding="utf-8") as handle:
        lines = [line.rstrip("\n").split("\t") for line in handle if not line.startswith("#")]
    for fields in lines:
        if fields[2] == "CDS":
            bases = chromosome[int(fields[3]) - 1 : int(fields[4])]
            gene = fields[8].split('"')[3]
            pieces[gene].append((bases if fields[6] == "+" else reverse_complement(bases), int(fields[7])))
    return pieces


def translate(bases: str) -> str:
    return "".join(CODONS[bases[start : start + 3]] for start in range(0, len(bases) - 2, 3))


def test_each_cds_is_an_open_reading_frame(genes, chromosome, coding):
    assert len(coding) == 540
    stops = genes.table[genes.table["element"] == "stop_codon"].groupby("gene")
    for gene, pieces in coding.items():
        joined = "".join(bases for bases, _ in pieces)
        protein = translate(joined)
        assert len(joined) % 3 == 0
        assert protein.startswith("M")
        assert "*" not in protein
        done = 0
        for bases, frame in pieces:
            assert frame == -done % 3
            done += len(bases)
        rows = stops.get_group(gene).sort_values("start")
        stop = "".join(chromosome[start:end] for start, end in zip(rows["start"], rows["end"], strict=True))
        assert CODONS[stop if rows["strand"].iloc[0] == "+" else reverse_complement(stop)] == "*"


# Lengths of the canonical proteins in UniProt.
PROTEINS = {
    "HNF4A": (474, "MRLSKTLVDM"), "SRC": (536, "MGSNKSKPKD"), "PRNP": (253, "MANLGCWMLV"), "AURKA": (403, "MDRSKENCIS"),
    "BMP2": (396, "MVAGTRCLLA"), "TOP1": (765, "MSGDHLHNDS"), "ADA": (363, "MAQTPAFDKP"),
}  # fmt: skip


def test_known_proteins(coding):
    for gene, (residues, begins) in PROTEINS.items():
        protein = translate("".join(bases for bases, _ in coding[gene]))
        assert (len(protein), protein[:10]) == (residues, begins)


def test_parts_tile_the_exons(genes):
    parts = ("CDS", "stop_codon", "five_prime_utr", "three_prime_utr")
    lengths = (genes.table["end"] - genes.table["start"]).groupby([genes.table["transcript"], genes.table["element"]])
    lengths = lengths.sum().unstack(fill_value=0)
    lengths = lengths[lengths["CDS"] > 0]
    assert len(lengths) == 540
    assert (lengths[[*parts]].sum(axis=1) == lengths["exon"]).all()


def test_origin_is_labelled(genes):
    origins = genes.table.groupby("element")["origin"].agg(set)
    canonical = "GENCODE V24 canonical transcript"
    assert origins["exon"] == origins["transcript"] == {canonical}
    both = "all isoforms, from CI-SpliceAI 1.2.2 and the GENCODE V24 canonical transcript"
    assert origins["gene"] == {canonical, both}
    for element in ("CDS", "start_codon", "stop_codon", "five_prime_utr", "three_prime_utr"):
        assert origins[element] == {"longest ATG ORF"}


def test_genes_and_genome_speak_of_the_same_contig(genes):
    with Reference(data.bundle("chr20")) as reference:
        assert set(genes.table["chrom"]) == set(reference.contigs)
        chrom, start, strand = genes.tss("HNF4A")
        assert (start, strand) == (43_029_923, "+")
        assert len(reference.fetch(Interval.around(chrom, start, 600, strand))) == 600


def test_genes_have_ensembl_identifiers_and_the_extent_of_all_isoforms(genes):
    whole = genes.table[genes.table["element"] == "gene"].set_index("gene")
    transcript = genes.table[genes.table["element"] == "transcript"].set_index("gene").loc[whole.index]
    known = whole["gene_id"].str.fullmatch(r"ENSG\d{11}")
    assert (len(whole), known.sum(), whole["gene_id"].nunique()) == (544, 503, 544)
    assert (whole["gene_id"][~known] == whole.index[~known]).all()
    assert (genes.table["gene_id"] == whole["gene_id"].loc[genes.table["gene"]].to_numpy()).all()
    ensembl = {"SRC": 197122, "PRNP": 171867, "AURKA": 87586, "BMP2": 125845, "TOP1": 198900, "ADA": 196839, "GNAS": 87460, "RTEL1": 258366}  # fmt: skip
    assert whole["gene_id"].loc[[*ensembl]].tolist() == [f"ENSG{number:011}" for number in ensembl.values()]
    left, right = transcript["start"] - whole["start"], whole["end"] - transcript["end"]
    assert min(left.min(), right.min()) == 0
    assert ((left + right > 0).sum(), (left + right > 1000).sum()) == (301, 115)
    assert (left + right)[~known].max() == 0


def test_a_gene_of_two_promoters(genes):
    for name in ("HNF4A", "ENSG00000101076", "ENSG00000101076.7", "ensg00000101076.21"):
        # From the first base of P2 to the end of the canonical transcript, which begins at P1.
        assert genes.gene(name) == Interval("20", 42_984_339, 43_063_236, "+")
        assert genes.tss(name) == ("20", 43_029_923, "+")


def test_another_promoter_is_not_intergenic_and_not_annotated(genes):
    place = Interval("chr20", 42_984_439, 42_984_440)
    held = {kind for kind in genes.kinds if genes.indicator(place, kind).any()}
    assert held == {"gene"}
    assert genes.within(place).indicator(place, "promoter").tolist() == [False]
    transcripts = genes.table[genes.table["element"] == "transcript"]
    for _, row in transcripts.iloc[::60].iterrows():
        first = row["start"] if row["strand"] == "+" else row["end"] - 1
        assert genes.tss(row["gene"]) == ("20", first, row["strand"])


# Building


def brute_longest_orf(sequence: str) -> tuple[int, int] | None:
    best: tuple[int, int] | None = None
    for start in range(len(sequence) - 2):
        codons = [sequence[place : place + 3] for place in range(start, len(sequence) - 2, 3)]
        stop = next((index for index, codon in enumerate(codons) if CODONS[codon] == "*"), None)
        if codons[0] == "ATG" and stop is not None and (best is None or 3 * stop + 3 > best[1] - best[0]):
            best = (start, start + 3 * stop + 3)
    return best


def test_longest_orf_equals_brute_force(build):
    generator = random.Random(1)
    for _ in range(300):
        sequence = "".join(generator.choices("ACGT", k=generator.randrange(0, 200)))
        assert build.longest_orf(sequence) == brute_longest_orf(sequence)
    assert build.longest_orf("CCATGAAATAGCC") == (2, 11)
    assert build.longest_orf("ATGAAA") is None


def test_transcript_pieces_on_both_strands(build):
    exons = ((10, 14), (20, 26))
    forward, backward = build.Transcript("a", "+", exons), build.Transcript("a", "-", exons)
    assert forward.on_genome(2, 6) == [(12, 14), (20, 22)]
    assert backward.on_genome(2, 8) == [(20, 24), (12, 14)]
    chromosome = "N" * 10 + "AACC" + "N" * 6 + "GGTTAC"
    assert forward.spliced(chromosome) == "AACCGGTTAC"
    assert backward.spliced(chromosome) == reverse_complement("AACCGGTTAC")
    for transcript in (forward, backward):
        for start in range(10):
            for end in range(start + 1, 11):
                bases = [chromosome[left:right] for left, right in transcript.on_genome(start, end)]
                joined = "".join(bases if transcript.strand == "+" else map(reverse_complement, bases))
                assert joined == transcript.spliced(chromosome)[start:end]


ISOFORMS = """gene_id,chr,strand,start,end,jn_start,jn_end
both,chr20,+,1,900,"100,300","201,401"
half,chr20,+,1001,1500,"1100,1300","1191,1401"
less,chr20,+,2001,2500,"2100,2300","2191,2401"
strand,chr20,-,3001,3500,"3100","3201"
one,chr20,+,4001,4500,"4100","4201"
one of two,chr20,+,5001,5500,"5100","5201"
two of two,chr20,+,5001,5500,"5100","5201"
nearer,chr20,+,6001,6500,"6100","6201"
farther,chr20,+,5901,6600,"6100","6201"
elsewhere,chr21,+,1,900,"100","201"
single,chr20,+,7001,7500,,
"""


def test_a_transcript_and_a_gene_are_matched_where_each_is_the_others_best(build):
    exons = {
        "all ends": ((0, 100), (200, 300), (400, 500)),
        # A readthrough that has half of the same ends, and no gene of its own.
        "second": ((0, 100), (200, 350), (450, 800)),
        "two of four": ((1000, 1100), (1200, 1300), (1450, 1500)),
        "one of four": ((2000, 2100), (2200, 2310), (2450, 2500)),
        "other strand": ((3000, 3100), (3200, 3500)),
        "equal": ((4000, 4100), (4200, 4500)),
        "its equal": ((4000, 4100), (4200, 4500)),
        "of two equal genes": ((5000, 5100), (5200, 5500)),
        "of two genes": ((6000, 6100), (6200, 6500)),
        "no intron": ((7000, 7500),),
    }
    transcripts = [build.Transcript(name, "+", pieces) for name, pieces in exons.items()]
    found = build.matched(transcripts, build.read_collapsed(ISOFORMS, "20"))
    assert {name: gene.identifier for name, gene in found.items()} == {
        "all ends": "both",
        "two of four": "half",
        "of two genes": "nearer",
    }
    gene = found["all ends"]
    assert (gene.start, gene.end, set(gene.before), set(gene.after)) == (0, 900, {100, 300}, {200, 400})


def test_a_gene_row_is_the_union_of_isoforms_and_transcript(build):
    transcript = build.Transcript("A", "+", ((50, 60), (80, 90)))
    gene = build.Collapsed("ENSG", "+", 20, 85, frozenset({60}), frozenset({80}))
    for given, whole in (((gene,), (20, 90)), ((), (50, 90))):
        rows = {row[0]: row[1:3] for row in build.gtf_rows(transcript, "A" * 100, *given) if row[0] != "exon"}
        assert rows == {"gene": whole, "transcript": (50, 90)}


def test_gzip_has_no_time_inside(build, tmp_path: Path):
    build.write_gzip(tmp_path / "a.gz", "text")
    build.write_gzip(tmp_path / "other name.gz", "text")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "other name.gz").read_bytes()
    for name in ("genes", "motifs"):
        assert data.bundle(name).read_bytes()[4:8] == bytes(4)


def test_wrong_packages_end_the_script(build, tmp_path: Path):
    options = ["--to", str(tmp_path), "--packages", str(tmp_path)]
    with pytest.raises(SystemExit, match=r"must hold one file vt-examples_\*\.deb, but it holds 0"):
        build.main(options)
    (tmp_path / "vt-examples_1_all.deb").write_bytes(b"no package")
    with pytest.raises(SystemExit, match=r"must be a Debian package, but it has no ar header"):
        build.main(options)
    with pytest.raises(SystemExit, match=r"must have 63,025,520 bp and MD5 0dec.*, but it has 4 bp"):
        build.build_genome(gzip.compress(b">20\nACGT\n"), tmp_path)


def test_a_frozen_graph_that_is_cut_or_another_one_is_refused(build, tmp_path):
    node = b"\x0a\x01x\x12\x05Const\x2a\x19\x0a\x05value\x12\x10\x42\x0e\x08\x01\x12\x04\x12\x02\x08\x01\x22\x04\x00\x00\x80\x3f"
    graph = b"\x0a" + bytes([len(node)]) + node
    assert {name: values.tolist() for name, values in build.graph_constants(graph).items()} == {"x": [1.0]}
    with pytest.raises(IndexError, match="ends behind the message"):
        build.graph_constants(graph[:-3])
    with pytest.raises(SystemExit, match=r"must have SHA-256 34330c2f.*Use the pinned package"):
        build.build_splicing(graph, tmp_path)
    assert not list(tmp_path.iterdir())


# Motifs


def test_motifs():
    with gzip.open(data.bundle("motifs"), "rt", encoding="utf-8") as handle:
        head, *blocks = handle.read().split("\nMOTIF ")
    assert head.startswith("MEME version 4\n")
    assert "ALPHABET= ACGT" in head
    names = {}
    for block in blocks:
        header, shape, *rows, url = block.strip().splitlines()
        identifier, name = header.split(" ")
        names[identifier] = name
        assert len(rows) == int(shape.split("w= ")[1].split()[0])
        values = [[float(value) for value in row.split()] for row in rows]
        assert all(len(row) == 4 and abs(sum(row) - 1) < 1e-5 for row in values)
        assert url == f"URL https://jaspar.elixir.no/matrix/{identifier}"
    assert names["MA0114.5"] == "HNF4A"
    # One version a matrix.
    assert len(blocks) == len({identifier.split(".")[0] for identifier in names}) == 1019


def test_families_are_those_of_the_motifs():
    known = motifs.families(data.bundle("motif-families"))
    assert list(known) == [motif.id for motif in motifs.read(data.bundle("motifs"))]
    assert known["MA0114.5"] == ("Nuclear receptors with C4 zinc fingers", "RXR-related receptors (NR2)")
    assert sum(not kind.group for kind in known.values()) == 2
    assert sum(not kind.family for kind in known.values()) == 3
    lines = data.bundle("motif-families").read_text(encoding="utf-8").splitlines()
    names = dict(line.split("\t")[:2] for line in lines)
    assert all(names[motif.id] == motif.name for motif in motifs.read(data.bundle("motifs")))


def test_motifs_are_made_of_the_latest_matrices_of_a_database(build, tmp_path: Path):
    path = tmp_path / "toy.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(TOY_JASPAR)
    connection.close()
    (tmp_path / "work").mkdir()
    build.build_motifs(path.read_bytes(), tmp_path / "work", tmp_path)
    assert (tmp_path / build.FAMILIES).read_text(encoding="utf-8") == (
        "motif\tname\tclass\tfamily\nMA1.2\tFos::Jun\tbZIP\tFos-related::Jun-related\nMA2.1\tAlone\t\t\n"
    )
    made = motifs.read(tmp_path / build.MOTIFS)
    about = [(motif.id, motif.name, motif.nsites) for motif in made]
    assert about == [("MA1.2", "Fos::Jun", 4), ("MA2.1", "Alone", 2)]
    assert made["MA1.2"].probabilities.tolist() == [[0.25, 0.75, 0, 0], [0, 0, 0, 1]]
