"""`verify`: whether a checkpoint gives the numbers that lie beside it, as users check their own conversions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntviz import storage
from ntviz.models import checkpoints

_INPUTS = {"input_ids", "species_ids", "rescaling_override"}


@dataclass(frozen=True)
class Verification:
    """By output the largest absolute difference from an expected.npz, padding aside, and what was allowed.

    `others` are arrays of the file that the model has no output of, so that nobody takes them for compared.
    """

    differences: dict[str, float]
    tolerance: float
    others: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every difference is a number and within the tolerance."""
        return all(np.isfinite(d) and d <= self.tolerance for d in self.differences.values())


def verify(directory: str | os.PathLike[str], *, tolerance: float = 1e-4) -> Verification:
    """Largest differences of a checkpoint's outputs from the expected.npz beside its config.json.

    It holds `input_ids` [sequence, token] and outputs of these, by name. Of all models `logits` [sequence, token, vocab],
    `hidden_states` [sequence, layer, token, hidden] (after each block, the last after the final LayerNorm) and `attentions`
    [sequence, layer, head, query, key]. Of SegmentNT `logits` [sequence, base, element, 2], `probabilities` and the U-Net's states
    `unet_down_0`, `unet_up_0`, …, `unet_out`. Of NTv3 `after_stem`, `conv_tower_1`, `transformer_1`, `deconv_tower_1`, …,
    `embedding`, and with `species_ids` [sequence] `bigwig_tracks_logits`, `bed_tracks_logits`, `bed_probabilities` of the cropped window.
    `tolerance` is the largest absolute difference that passes.
    """
    import torch

    from ntviz.models import nucleotide_transformer, peers

    path = Path(directory) / "expected.npz"
    if not path.is_file():
        raise FileNotFoundError(
            f"expected.npz must lie beside config.json in {directory}. Write it where the original model runs."
        )
    try:
        # numpy leaves the file open when it is no zip archive, hence a handle of our own; one array has no names.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
            expected = {name: stored[name] for name in stored.files}
    except (OSError, *storage.DAMAGED) as error:
        raise ValueError(f"{path} must be an npz of plain arrays; reading it failed: {error}.") from error
    located = checkpoints.local(Path(directory))
    family = peers.family(located.directory) or nucleotide_transformer
    model = family.load(located, None).placed(located, "cpu", torch.float32)
    ours = model.reproduced(expected) if "input_ids" in expected else {}
    if not ours:
        raise ValueError(
            f"{path} must hold input_ids and at least one output of them, such as logits; it holds "
            f"{', '.join(sorted(expected)) or 'nothing'}."
        )
    real, differences = expected["input_ids"] != model.tokenizer.vocabulary.pad_id, {}
    for name, values in ours.items():
        if values.shape != expected[name].shape:
            raise ValueError(f"{name} in {path} must have shape {values.shape}; it has {expected[name].shape}.")
        difference = np.abs(values - expected[name])
        if not real.all():
            # The token axis, or the query axis of attentions, is last but one everywhere.
            difference = np.moveaxis(difference, -2, 1)[real]
        differences[name] = float(difference.max()) if difference.size else 0.0
    others = tuple(name for name in expected if name not in ours and name not in _INPUTS)
    return Verification(differences, tolerance, others)
