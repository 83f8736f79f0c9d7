"""The published tasks: names, lengths, classes and sizes, with how well each number is known.

References
----------
Dalla-Torre et al. (2025) Nature Methods 22:287-297: 18 revised tasks, judged on chromosomes 20 and 21, and the 18 original
ones that they replace. DeepSEA: Zhou & Troyanskaya (2015) Nature Methods 12:931. SpliceAI: Jaganathan et al. (2019) Cell
176:535. DeepSTARR: de Almeida et al. (2022) Nature Genetics 54:613.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

GRADES = {
    "read": "read in a public configuration, card or copy",
    "size": "follows from the published size of the file",
    "recalled": "recalled from the paper; check before quoting",
    "unknown": "not known",
}


@dataclass(frozen=True)
class TaskSpec:
    """A published task.

    Attributes
    ----------
    name, generation
        As in its configuration; "revised", "original" or "other".
    kind, classes
        See `benchmark.Task`; names of the classes, in the order of the labels, where they are few.
    outputs
        Number of classes, tracks or targets.
    length
        bp.
    train, test
        Examples; None where not known.
    grade
        How well the counts are known; see `GRADES`.
    metric
        The first one.
    split
        How train and test were separated.
    category, source
        For averages; where the labels come from.
    note
        What else is to be known.
    """

    name: str
    generation: str
    kind: str
    classes: tuple[str, ...]
    outputs: int
    length: int
    train: int | None
    test: int | None
    grade: str
    metric: str
    split: str
    category: str
    source: str
    note: str = ""


_TWO = ("0", "1")
_THREE = ("0", "1", "2")
_CHROMOSOMES = "chromosomes 20 and 21 are the test part; balanced; 30,000 to learn from at most"


def _revised(
    name: str,
    length: int,
    train: int | None,
    test: int | None,
    grade: str,
    category: str,
    source: str,
    note: str = "",
) -> TaskSpec:
    three = name in ("enhancers_types", "splice_sites_all")
    return TaskSpec(
        name, "revised", "multiclass" if three else "binary", _THREE if three else _TWO, 3 if three else 2, length, train,
        test, grade, "mcc", _CHROMOSOMES, category, source, note,
    )  # fmt: skip


def _original(
    name: str, length: int, train: int, test: int, category: str, source: str, note: str = ""
) -> TaskSpec:
    three = name in ("enhancers_types", "splice_sites_all")
    return TaskSpec(
        name, "original", "multiclass" if three else "binary", _THREE if three else _TWO, 3 if three else 2, length, train,
        test, "read", "mcc", "as published by each source, without regard to chromosomes", category, source, note,
    )  # fmt: skip


_K562 = "ENCODE histone ChIP-seq of K562"
_EPD = "EPDnew promoters, -49 to +250 around the start of transcription"
_SCREEN = "ENCODE SCREEN enhancers"
_GENCODE = "GENCODE v44 splice sites"
_YEAST = "yeast histone marks (Pokholok et al. 2005)"
_ROWS = "the hub's configuration has 8 rows elsewhere between the two TATA tasks"

_ALL = (
    _revised("promoter_all", 300, 30_000, 1_584, "read", "promoters", _EPD, "13 duplicate rows in test, 141 in all"),
    _revised("promoter_no_tata", 300, 30_000, 1_372, "size", "promoters", _EPD),
    _revised("promoter_tata", 300, 5_062, 212, "size", "promoters", _EPD),
    _revised("enhancers", 400, 30_000, 3_000, "recalled", "enhancers", _SCREEN),
    _revised("enhancers_types", 400, 30_000, 3_000, "recalled", "enhancers", _SCREEN),
    _revised("splice_sites_all", 600, 30_000, 3_000, "size", "splicing", _GENCODE),
    _revised("splice_sites_acceptors", 600, 30_000, 3_000, "recalled", "splicing", _GENCODE),
    _revised("splice_sites_donors", 600, 30_000, 3_000, "recalled", "splicing", _GENCODE),
    *(
        _revised(mark, 1_000, 30_000, 3_000, "recalled", "chromatin", _K562)
        for mark in ("H2AFZ", "H3K27me3", "H3K36me3", "H3K4me1")
    ),
    _revised("H3K27ac", 1_000, 30_000, 1_616, "recalled", "chromatin", _K562),
    _revised("H3K4me2", 1_000, 30_000, 2_138, "recalled", "chromatin", _K562),
    _revised("H3K4me3", 1_000, None, 776, "recalled", "chromatin", _K562, "fewer than 30,000 to learn from"),
    _revised("H3K9ac", 1_000, 23_274, 1_004, "recalled", "chromatin", _K562),
    _revised("H3K9me3", 1_000, 27_438, 850, "recalled", "chromatin", _K562, "the test count was read"),
    _revised("H4K20me1", 1_000, 30_000, 2_270, "recalled", "chromatin", _K562),
    *(
        _original(mark, 500, train, test, "chromatin", _YEAST)
        for mark, train, test in (
            ("H3", 13_468, 1_497), ("H3K14ac", 29_743, 3_305), ("H3K36me3", 31_392, 3_488), ("H3K4me1", 28_509, 3_168),
            ("H3K4me2", 27_614, 3_069), ("H3K4me3", 33_119, 3_680), ("H3K79me3", 25_953, 2_884), ("H3K9ac", 25_003, 2_779),
            ("H4", 13_140, 1_461), ("H4ac", 30_685, 3_410),
        )
    ),
    _original("enhancers", 200, 14_968, 400, "enhancers", "iEnhancer-type sets, with synthetic sequences"),
    _original("enhancers_types", 200, 14_968, 400, "enhancers", "iEnhancer-type sets, with synthetic sequences"),
    _original("promoter_all", 300, 53_276, 5_920, "promoters", "DeePromoter"),
    _original("promoter_no_tata", 300, 47_759, 5_299, "promoters", "DeePromoter", _ROWS),
    _original("promoter_tata", 300, 5_517, 621, "promoters", "DeePromoter", _ROWS),
    _original("splice_sites_all", 400, 27_000, 3_000, "splicing", "SpliceFinder"),
    _original("splice_sites_acceptors", 600, 19_961, 2_218, "splicing", "Spliceator"),
    _original("splice_sites_donors", 600, 19_775, 2_198, "splicing", "Spliceator"),
    TaskSpec(
        "deepsea", "other", "multilabel", (), 919, 1_000, None, None, "unknown", "auroc",
        "chromosomes 8 and 9 are the test part", "chromatin", "690 transcription factors, 125 DNase and 104 histone tracks",
    ),
    TaskSpec(
        "spliceai", "other", "per_base", ("none", "acceptor", "donor"), 3, 5_000, None, None, "unknown", "top_k",
        "chromosomes 1, 3, 5, 7 and 9 are the test part, without paralogs", "splicing", "canonical GENCODE transcripts",
    ),
    TaskSpec(
        "deepstarr", "other", "regression", ("developmental", "housekeeping"), 2, 249, None, None, "unknown", "pearson",
        "as published: train, validation and test files", "enhancers", "UMI-STARR-seq of Drosophila S2 cells",
    ),
)  # fmt: skip
SPECS = {(spec.generation, spec.name): spec for spec in _ALL}
"""Every published task by generation and name."""


def find(name: str, generation: str = "revised") -> TaskSpec:
    """The spec of a published task, upper or lower case.

    Raises
    ------
    ValueError
        There is none; the nearest names are given.

    Examples
    --------
    >>> find("promoter_tata").length, find("h3k9me3").test
    (300, 850)
    """
    names = {one.lower(): one for kind, one in SPECS if kind == generation}
    if name.lower() not in names:
        near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.4)
        raise ValueError(
            f"A {generation} task must be one of {', '.join(names.values()) or 'none: that generation is unknown'}; received "
            f"{name!r}." + (f" Did you mean {' or '.join(names[one] for one in near)}?" if near else "")
        )
    return SPECS[generation, names[name.lower()]]
