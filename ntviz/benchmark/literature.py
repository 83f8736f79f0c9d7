"""What others reported, number by number, each with its source and how well it is known: to stand beside, not to be beaten by.

Protocols differ: original tasks in ten folds, revised ones by chromosome, third parties with other recipes. Numbers of
different rows of `source` must not be subtracted from each other, nor from ours on tasks of chromosome 20.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_FIGURE = "figure of the published results on the original tasks, ten folds; read off the image"
_SECONDARY = "notes made from the paper's full text"
_RERUN = "third-party re-run, single seed, from scratch"
_SPACE = "third-party re-evaluation on the revised tasks"
_RECALLED = "third-party re-run, recalled; unverified"

_MODELS = (
    "NT multispecies 2.5B", "NT 1000G 2.5B", "NT 1000G 500M", "NT human ref 500M", "Enformer", "DNABERT-2", "DNABERT-1",
    "HyenaDNA 32k", "HyenaDNA 1k",
)  # fmt: skip
_ORIGINAL = """
H3 .79 .75 .74 .72 .72 .79 .76 .75 .78
H3K14ac .54 .45 .38 .37 .28 .52 .40 .40 .61
H3K36me3 .62 .53 .47 .45 .35 .59 .47 .48 .61
H3K4me1 .54 .42 .38 .36 .29 .51 .40 .39 .51
H3K4me2 .32 .28 .26 .27 .21 .33 .28 .28 .45
H3K4me3 .41 .31 .24 .24 ? .35 .26 .29 .55
H3K79me3 .62 .57 .56 .57 .50 .62 .58 .57 .67
H3K9ac .55 .49 .48 .45 .42 .55 .51 .47 .59
H4 .81 .79 .76 .75 .74 .80 .78 .76 .76
H4ac .49 .41 .34 .33 .28 .46 .36 .38 .56
enhancers .55 .55 .51 .50 .45 .52 .50 .49 .52
enhancers_types .44 .43 .40 .43 .31 .42 .37 .35 .40
promoter_all .95 .93 .90 .90 .91 .94 .92 .91 .92
promoter_no_tata .95 .93 .90 .90 .91 .94 .92 .91 .92
promoter_tata .92 .91 .87 .88 .92 .91 .91 .87 .88
splice_sites_all .97 .96 .95 .96 .77 .91 .96 .94 .93
splice_sites_acceptors .97 .96 .93 .92 .83 .95 ? .92 .92
splice_sites_donors .97 .96 .94 .94 .81 .93 ? .91 .89
"""
_BPNET = {
    "H2AFZ": 0.457, "H3K27ac": 0.428, "H3K27me3": 0.550, "H3K36me3": 0.555, "H3K4me1": 0.461, "H3K4me2": 0.537,
    "H3K4me3": 0.624, "H3K9ac": 0.521, "H3K9me3": 0.330, "H4K20me1": 0.606, "enhancers": 0.473,
}  # fmt: skip
_V2_500M = {
    "H2AFZ": 0.524, "H3K27ac": 0.488, "H3K27me3": 0.610, "H3K36me3": 0.633, "H3K4me1": 0.490, "H3K4me2": 0.552,
    "H3K4me3": 0.627, "H3K9ac": 0.551, "H3K9me3": 0.467, "H4K20me1": 0.654, "enhancers": 0.575, "enhancers_types": 0.541,
    "promoter_all": 0.780, "promoter_no_tata": 0.785, "promoter_tata": 0.919, "splice_sites_acceptors": 0.965,
    "splice_sites_all": 0.968, "splice_sites_donors": 0.976,
}  # fmt: skip
_REEVALUATED = {
    "H3K4me3": (0.646, 0.618, 0.635),
    "H3K9ac": (0.564, 0.527, 0.593),
    "enhancers": (0.517, 0.527, 0.614),
    "enhancers_types": (0.476, 0.484, 0.573),
}
_MEANS = (
    ("revised", "BPNet", 0.665), ("revised", "BPNet large", 0.683), ("revised", "NT v2 250M", 0.769),
    ("original, first preprint, mixed metrics", "NT human ref 500M", 0.634),
    ("original, first preprint, mixed metrics", "NT 1000G 500M", 0.641),
    ("original, first preprint, mixed metrics", "NT 1000G 2.5B", 0.669),
    ("original, first preprint, mixed metrics", "NT multispecies 2.5B", 0.709),
    ("original, first preprint, mixed metrics", "baseline", 0.674),
)  # fmt: skip


def published() -> pd.DataFrame:
    """Columns [generation, task, model, metric, value, method, source, grade]; nan where a number cannot be read.

    `grade` says how well a number is known: "read" off a figure or page, "secondary" from notes on the paper, "third party", or
    "recalled". `task` "mean" is the mean over the tasks of its generation.
    """
    import pandas as pd

    rows: list[tuple] = []
    for line in _ORIGINAL.split("\n"):
        task, *values = line.split() or [""]
        for model, text in zip(_MODELS, values, strict=False):
            value = np.nan if text == "?" else float(text)
            rows.append(("original", task, model, "mcc", value, "fine-tuned", _FIGURE, "read"))
    rows += [
        ("revised", t, "BPNet", "mcc", v, "from scratch", _RERUN, "third party") for t, v in _BPNET.items()
    ]
    rows += [
        ("revised", t, "NT v2 500M", "mcc", v, "fine-tuned", _RECALLED, "recalled")
        for t, v in _V2_500M.items()
    ]
    for task, values in _REEVALUATED.items():
        for model, value in zip(("DNABERT-2", "NT multispecies 2.5B", "Enformer"), values, strict=True):
            rows.append(("revised", task, model, "mcc", value, "fine-tuned", _SPACE, "third party"))
    for generation, model, value in _MEANS:
        how = "from scratch" if model.startswith("BPNet") else "fine-tuned"
        metric = "mcc" if generation == "revised" else "mixed"
        rows.append((generation, "mean", model, metric, value, how, _SECONDARY, "secondary"))
    columns = ["generation", "task", "model", "metric", "value", "method", "source", "grade"]
    return pd.DataFrame(rows, columns=columns)
