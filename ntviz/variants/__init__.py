"""Variants: scores without training, maps of a locus, and any VCF in with the same VCF out, scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntviz.environment import lazily

if TYPE_CHECKING:
    from ntviz.variants.alleles import STATUSES, Allele
    from ntviz.variants.backgrounds import Background, background
    from ntviz.variants.calibration import Calibration, calibration
    from ntviz.variants.consequences import SEVERITY, Markov, baselines, consequence
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
    from ntviz.variants.files import Summary, score, score_file
    from ntviz.variants.haplotypes import PHASED, Haplotypes, haplotypes
    from ntviz.variants.labelled import negatives, read_labelled, regions
    from ntviz.variants.learn import Head, Learned, learn
    from ntviz.variants.options import SCORES, Options
    from ntviz.variants.pairs import PAIRED, pairs
    from ntviz.variants.plan import Mismatch
    from ntviz.variants.saturation import Dependency, Saturation, dependency, saturation
    from ntviz.variants.scorer import Scored, Scorer
    from ntviz.variants.simulation import intron_controls, simulate
    from ntviz.variants.splice import MASKS, SpliceScorer

__getattr__, __all__ = lazily(__name__)
