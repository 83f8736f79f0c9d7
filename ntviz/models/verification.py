"""Checks that a checkpoint directory gives the numbers that its conversion promised."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntviz import storage
from ntviz.models import checkpoints, nucleotide_transformer


@dataclass(frozen=True)
class Verification:
    """By output the largest absolute difference from the expected.npz of a model, padding aside, and what was allowed."""

    differences: dict[str, float]
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether every difference is a number and within the tolerance."""
        return all(np.isfinite(d) and d <= self.tolerance for d in self.differences.values())


def verify(directory: str | os.PathLike[str], *, tolerance: float = 1e-4) -> Verification:
    """Largest differences of logits, hidden states and attentions from the directory's expected.npz.

    Parameters
    ----------
    directory
        A checkpoint with expected.npz beside config.json: `input_ids` [sequence, token], and any of `logits`
        [sequence, token, vocab], `hidden_states` [sequence, layer, token, hidden] (after each block, the last after
        the final LayerNorm) and `attentions` [sequence, layer, head, query, key].
    tolerance
        Largest absolute difference that passes.
    """
    path = Path(directory) / "expected.npz"
    if not path.is_file():
        raise FileNotFoundError(
            f"expected.npz must lie beside config.json in {directory}. Write it where the original model runs: "
            "input_ids, logits, hidden_states, attentions."
        )
    try:
        # numpy leaves the file open when it is no zip archive, hence a handle of our own; one array has no names.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            expected = {name: stored[name] for name in stored.files}
    except (OSError, *storage.DAMAGED) as error:
        raise ValueError(f"{path} must be an npz of plain arrays; reading it failed: {error}.") from error
    names = [name for name in ("logits", "hidden_states", "attentions") if name in expected]
    if "input_ids" not in expected or not names:
        raise ValueError(
            f"{path} must hold input_ids and at least one of logits, hidden_states, attentions; "
            f"it holds {', '.join(sorted(expected)) or 'nothing'}."
        )
    model = nucleotide_transformer.load(checkpoints.local(Path(directory)), device="cpu")
    forward = model.forward(expected["input_ids"].astype(np.int64), outputs=names)
    differences = {}
    for name in names:
        ours = getattr(forward, name)
        ours = ours[:, 1:] if name == "hidden_states" else ours
        if ours.shape != expected[name].shape:
            raise ValueError(f"{name} in {path} must have shape {ours.shape}; it has {expected[name].shape}.")
        # The token axis, or the query axis of attentions, is last but one everywhere.
        keep = np.moveaxis(np.abs(ours - expected[name]), -2, 1)[forward.attention_mask]
        differences[name] = float(keep.max())
    return Verification(differences, tolerance)
