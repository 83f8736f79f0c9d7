"""What a scored VCF says: its INFO keys, their header lines, and the values of a record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ntviz.variants.alleles import SCORED, STATUSES
from ntviz.variants.options import SCORES, Options

if TYPE_CHECKING:
    from ntviz.variants.scoring import Scorer
    from ntviz.variants.splicing import SpliceScorer

_ENDINGS = {
    "_fwd": ("_FWD", "the forward strand alone"),
    "_rev": ("_REV", "the reverse strand alone"),
    "_gap": ("_GAP", "forward minus reverse strand: as large as the score itself, it is mostly noise"),
    "_spread": ("_SPREAD", "standard deviation over the frames"),
}


def columns(options: Options, *, percentiles: bool) -> dict[str, str]:
    """INFO key of each column that goes into a VCF: all of the first score, and value, spread and percentile of others."""
    found = {}
    for place, name in enumerate(options.scores):
        key = SCORES[name].key
        found[name] = key
        for ending, (suffix, _) in _ENDINGS.items():
            if name + ending in options.columns and (place == 0 or ending == "_spread"):
                found[name + ending] = key + suffix
        if percentiles:
            found[f"{name}_percentile"] = f"{key}_PCT"
    return found


def info_lines(scorer: Scorer) -> list[str]:
    """The `##INFO` lines of a scorer's keys."""
    lines = []
    options = scorer.options
    strands = "Mean of both strands" if options.both_strands else "Forward strand"
    for column, key in columns(options, percentiles=scorer.background is not None).items():
        score = SCORES.get(column)
        if score is not None:
            how = f"{score.description}. Insertions and deletions: {score.indels}"
            said = f"{score.unit}; {score.direction}. Substitutions: {how}. {strands}"
        elif column.endswith("_percentile"):
            said = f"{key.removesuffix('_PCT')}: {scorer.background.statement}"
        else:
            suffix, meaning = next(_ENDINGS[ending] for ending in _ENDINGS if column.endswith(ending))
            said = f"{key.removesuffix(suffix)}: {meaning}"
        lines.append(info_line(key, "Float", said))
    said = (
        "masked: substitutions, all touched tokens masked together; pll: insertions and deletions, pseudo-log-likelihood, "
        "each token masked by itself"
    )
    return [*lines, info_line("NTV_METHOD", "String", said), status_line()]


def status_line() -> str:
    """The `##INFO` line of the statuses."""
    statuses = "; ".join(f"{name}: {meaning}" for name, meaning in STATUSES.items())
    return info_line("NTV_STATUS", "String", f"what became of the allele. {statuses}")


def info_line(key: str, kind: str, description: str, *, number: str = "A") -> str:
    """An `##INFO` line."""
    escaped = description.replace("\\", "\\\\").replace('"', '\\"')
    return f'##INFO=<ID={key},Number={number},Type={kind},Description="{escaped}">'


def meta_lines(scorer: Scorer | SpliceScorer, reference_sha256: str, version: str, command: str) -> list[str]:
    """The `##ntviz_` lines: what the scores were made with. No dates and no folders, so that bytes can be compared."""
    about = scorer.about
    weights = f'Name="{about["model"]}",Revision="{about["revision"] or ""}",WeightsSHA256="{about["weights_sha256"]}"'
    reference = scorer.reference
    options = {
        name: about[name] for name in sorted(about) if name not in ("model", "revision", "weights_sha256")
    }
    lines = [
        f"##ntviz_version={version}",
        f"##ntviz_model=<{weights},Tokens={about['vocabulary']}>",
        f'##ntviz_reference=<File="{reference.path.name}",Assembly={reference.assembly or "unknown"},SHA256={reference_sha256}>',
        f"##ntviz_window={about['window_bp']} bp around the variant",
        f"##ntviz_options={json.dumps(options, sort_keys=True)}",
        f"##ntviz_coordinates=POS counts from 1; scores are of the alternative against the reference, {scorer.unit}",
    ]
    return [*lines, f"##ntviz_command={command}"] if command else lines


def info_of(
    statuses: Sequence[str], methods: Sequence[str], values: np.ndarray, keys: Mapping[str, int]
) -> dict[str, str]:
    """The INFO values of a record: one for each alternative, "." where there is none.

    Parameters
    ----------
    statuses, methods
        [alternative].
    values
        [alternative, column].
    keys
        Column of each key.
    """
    found: dict[str, str] = {}
    if any(status in SCORED for status in statuses) or np.isfinite(values).any():
        for key, column in keys.items():
            texts = ["." if np.isnan(value) else f"{value:.6g}" for value in values[:, column].tolist()]
            if any(text != "." for text in texts):
                found[key] = ",".join(texts)
        found["NTV_METHOD"] = ",".join(method or "." for method in methods)
    found["NTV_STATUS"] = ",".join(statuses) or "missing"
    return found
