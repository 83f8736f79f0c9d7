"""What data ntviz knows: the bundle in a clone, what can be built, and what can be fetched, with pinned addresses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Local:
    """Something that is in the bundle, or is built on this machine.

    Parameters
    ----------
    path
        Path below the data folder (bundle) or below the cache folder (built).
    what, licence
        For people.
    command
        What to type when it is missing.
    """

    path: str
    what: str
    licence: str
    command: str


@dataclass(frozen=True, slots=True)
class File:
    """One file at one address.

    Parameters
    ----------
    path
        Path of the file below the entry's folder.
    url
        Where it is; http or https.
    md5, size
        Checksum and size in bytes where the publisher's are known.
    checksum_url
        Where the publisher states the MD5, read at the first fetch; a list of files or a single checksum.
    """

    path: str
    url: str
    md5: str | None = None
    size: int | None = None
    checksum_url: str | None = None


@dataclass(frozen=True, slots=True)
class External:
    """Data to fetch: one version of one thing, in one or more files."""

    name: str
    version: str
    what: str
    licence: str
    files: tuple[File, ...]

    def part(self, prefix: str) -> External:
        """The entry with those of its files alone that are in the folder `prefix`; none are left when there are none."""
        return External(
            self.name,
            self.version,
            self.what,
            self.licence,
            tuple(file for file in self.files if file.path.startswith(f"{prefix}/")),
        )

    @property
    def parts(self) -> list[str]:
        """Folders in the entry, such as the tasks of a benchmark."""
        return sorted({file.path.partition("/")[0] for file in self.files if "/" in file.path})


_BUILD = "python data/build.py"

BUNDLE = {
    "chr20": Local(
        "genome/chr20.GRCh37.fa.gz",
        "human chromosome 20, GRCh37, 63,025,520 bp (bgzip FASTA)",
        "no restrictions stated (Genome Reference Consortium)",
        _BUILD,
    ),
    "genes": Local(
        "genes/chr20.GRCh37.gtf.gz",
        "544 genes of chromosome 20, their extents and canonical transcripts (GTF); CDS by the longest ATG-started ORF",
        "coordinates of GENCODE, open; extents and identifiers CC BY 4.0 (CI-SpliceAI)",
        _BUILD,
    ),
    "motifs": Local(
        "motifs/JASPAR2026_CORE_vertebrates.meme.gz",
        "JASPAR 2026 CORE vertebrates, 1,019 matrices (MEME)",
        "CC BY 4.0",
        _BUILD,
    ),
    "motif-families": Local(
        "motifs/JASPAR2026_CORE_vertebrates.families.tsv",
        "classes and families of the proteins of these matrices (tab-separated)",
        "CC BY 4.0",
        _BUILD,
    ),
    "ntviz-mini": Local(
        "ntviz-mini",
        "the default model, pretrained by notebooks/10_pretraining.ipynb",
        "Apache-2.0",
        "git checkout -- data/ntviz-mini, or the command in its model card",
    ),
    "ci-spliceai": Local(
        "ci-spliceai",
        "five splice networks, CI-SpliceAI 1.2.2 (safetensors)",
        "CC BY 4.0",
        _BUILD,
    ),
    "backgrounds": Local(
        "backgrounds",
        "scores of 1,800 random substitutions of chromosome 20 by the default model (NumPy .npz)",
        "Apache-2.0",
        "git checkout -- data/backgrounds, or let `ntviz score` make it anew",
    ),
}

BUILT = {
    "chrX-70mb": Local(
        "corpora/chrX_70Mb.GRCh37.fa.gz",
        "human chromosome X to 70 Mb, GRCh37, a training corpus (bgzip FASTA)",
        "no restrictions stated (Genome Reference Consortium)",
        f"{_BUILD} --extra",
    ),
}

_NCBI_GENOME = "https://ftp.ncbi.nlm.nih.gov/genomes/all/GCA/000/001/405/GCA_000001405.15_GRCh38/seqs_for_alignment_pipelines.ucsc_ids"
_UCSC_HG19 = "https://hgdownload.soe.ucsc.edu/goldenPath/hg19/bigZips/analysisSet"
_GENCODE = "https://ftp.ebi.ac.uk/pub/databases/gencode/Gencode_human/release_46"
_CLINVAR = "https://ftp.ncbi.nlm.nih.gov/pub/clinvar"
_HUB = "https://huggingface.co/datasets/InstaDeepAI"
_NT_LICENCE = "none stated on the dataset card; the Nucleotide Transformer repository is CC BY-NC-SA 4.0"

TASKS_ORIGINAL = (
    "H3",
    "H3K14ac",
    "H3K36me3",
    "H3K4me1",
    "H3K4me2",
    "H3K4me3",
    "H3K79me3",
    "H3K9ac",
    "H4",
    "H4ac",
    "enhancers",
    "enhancers_types",
    "promoter_all",
    "promoter_no_tata",
    "promoter_tata",
    "splice_sites_acceptors",
    "splice_sites_all",
    "splice_sites_donors",
)
TASKS_REVISED = (
    "H2AFZ",
    "H3K27ac",
    "H3K27me3",
    "H3K36me3",
    "H3K4me1",
    "H3K4me2",
    "H3K4me3",
    "H3K9ac",
    "H3K9me3",
    "H4K20me1",
    "enhancers",
    "enhancers_types",
    "promoter_all",
    "promoter_no_tata",
    "promoter_tata",
    "splice_sites_acceptors",
    "splice_sites_all",
    "splice_sites_donors",
)


def _clinvar(assembly: str) -> External:
    url = f"{_CLINVAR}/vcf_{assembly}/archive_2.0/2025/clinvar_20250106.vcf.gz"
    return External(
        f"clinvar-{assembly.lower()}",
        "2025-01-06",
        f"ClinVar variants on {assembly} (VCF)",
        "public domain (NCBI)",
        (
            File("clinvar_20250106.vcf.gz", url, checksum_url=f"{url}.md5"),
            File("clinvar_20250106.vcf.gz.tbi", f"{url}.tbi"),
        ),
    )


def _tasks(
    name: str, what: str, repository: str, revision: str, tasks: tuple[str, ...], suffix: str
) -> External:
    paths = [f"{task}/{split}.{suffix}" for task in tasks for split in ("train", "test")]
    return External(
        name,
        revision[:12],
        f"the 18 tasks of the Nucleotide Transformer benchmark, {what}",
        _NT_LICENCE,
        tuple(File(path, f"{_HUB}/{repository}/resolve/{revision}/{path}") for path in paths),
    )


CATALOGUE: dict[str, External] = {
    entry.name: entry
    for entry in (
        External(
            "grch38",
            "GCA_000001405.15",
            "human genome GRCh38, primary assembly with masked duplicates (NCBI's no-alt analysis set, gzip FASTA)",
            "no restrictions stated (Genome Reference Consortium)",
            (
                File(
                    "GCA_000001405.15_GRCh38_no_alt_analysis_set.fna.gz",
                    f"{_NCBI_GENOME}/GCA_000001405.15_GRCh38_no_alt_analysis_set.fna.gz",
                    md5="a08035b6a6e31780e96a34008ff21bd6",
                    size=872_949_833,
                ),
            ),
        ),
        External(
            "grch37",
            "p13.plusMT",
            "human genome GRCh37, primary assembly with masked duplicates (UCSC's no-alt analysis set, gzip FASTA)",
            "no restrictions stated (Genome Reference Consortium)",
            (
                File(
                    "hg19.p13.plusMT.no_alt_analysis_set.fa.gz",
                    f"{_UCSC_HG19}/hg19.p13.plusMT.no_alt_analysis_set.fa.gz",
                    checksum_url=f"{_UCSC_HG19}/md5sum.txt",
                ),
            ),
        ),
        External(
            "gencode-grch38",
            "v46",
            "GENCODE basic gene annotation on GRCh38 (GTF)",
            "open (GENCODE)",
            (
                File(
                    "gencode.v46.basic.annotation.gtf.gz",
                    f"{_GENCODE}/gencode.v46.basic.annotation.gtf.gz",
                    checksum_url=f"{_GENCODE}/MD5SUMS",
                ),
            ),
        ),
        External(
            "gencode-grch37",
            "v46lift37",
            "GENCODE basic gene annotation mapped to GRCh37 (GTF)",
            "open (GENCODE)",
            (
                File(
                    "gencode.v46lift37.basic.annotation.gtf.gz",
                    f"{_GENCODE}/GRCh37_mapping/gencode.v46lift37.basic.annotation.gtf.gz",
                    checksum_url=f"{_GENCODE}/GRCh37_mapping/MD5SUMS",
                ),
            ),
        ),
        External(
            "ccres-grch38",
            "Registry-V4",
            "ENCODE candidate cis-regulatory elements on GRCh38 (BED)",
            "open (ENCODE)",
            (File("GRCh38-cCREs.bed", "https://downloads.wenglab.org/Registry-V4/GRCh38-cCREs.bed"),),
        ),
        _clinvar("GRCh37"),
        _clinvar("GRCh38"),
        _tasks(
            "tasks-revised",
            "revised (Nature Methods), one parquet file a split",
            "nucleotide_transformer_downstream_tasks_revised",
            "851f9946252e90c665cdb3cc3eedb78f1f26197c",
            TASKS_REVISED,
            "parquet",
        ),
        _tasks(
            "tasks-revised-fasta",
            "revised (Nature Methods), one FASTA file a split, as first published",
            "nucleotide_transformer_downstream_tasks_revised",
            "41d75abb2345f7f6194f6b07d35b4257d2ff3629",
            TASKS_REVISED,
            "fna",
        ),
        _tasks(
            "tasks-original-fasta",
            "original (preprint), one FASTA file a split",
            "nucleotide_transformer_downstream_tasks",
            "35505196a3ce21d6db1ad42462094ede77108916",
            TASKS_ORIGINAL,
            "fna",
        ),
    )
}
