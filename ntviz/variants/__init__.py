"""Variants: scores without training, maps of a locus, and any VCF in with the same VCF out, scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.variants.alleles import STATUSES, Allele
    from ntviz.variants.backgrounds import Background, background
    from ntviz.variants.consequences import SEVERITY, consequence
    from ntviz.variants.dependencies import Dependency, dependency
    from ntviz.variants.evaluation import (
        HARM,
        auprc,
        auroc,
        brief,
        evaluate,
        read_clinvar,
        read_mpra,
        severity,
        spearman,
    )
    from ntviz.variants.filing import Summary, score, score_file
    from ntviz.variants.options import SCORES, Options
    from ntviz.variants.saturating import Saturation, saturation
    from ntviz.variants.scoring import Scored, Scorer
    from ntviz.variants.simulation import intron_controls, simulate
    from ntviz.variants.splicing import MASKS, SpliceScorer
    from ntviz.variants.without_model import Markov, baselines

_HOMES = {
    "alleles": ("STATUSES", "Allele"),
    "backgrounds": ("Background", "background"),
    "consequences": ("SEVERITY", "consequence"),
    "dependencies": ("Dependency", "dependency"),
    "evaluation": (
        *("HARM", "auprc", "auroc", "brief", "evaluate", "read_clinvar", "read_mpra", "severity", "spearman"),
    ),
    "filing": ("Summary", "score", "score_file"),
    "options": ("SCORES", "Options"),
    "saturating": ("Saturation", "saturation"),
    "scoring": ("Scored", "Scorer"),
    "simulation": ("intron_controls", "simulate"),
    "splicing": ("MASKS", "SpliceScorer"),
    "without_model": ("Markov", "baselines"),
}

__all__ = [
    "HARM",
    "MASKS",
    "SCORES",
    "SEVERITY",
    "STATUSES",
    "Allele",
    "Background",
    "Dependency",
    "Markov",
    "Options",
    "Saturation",
    "Scored",
    "Scorer",
    "SpliceScorer",
    "Summary",
    "auprc",
    "auroc",
    "background",
    "baselines",
    "brief",
    "consequence",
    "dependency",
    "evaluate",
    "intron_controls",
    "read_clinvar",
    "read_mpra",
    "saturation",
    "score",
    "score_file",
    "severity",
    "simulate",
    "spearman",
]

# pandas and the reader are loaded by what is used, not by the import.
__getattr__ = lazily(__name__, _HOMES)
