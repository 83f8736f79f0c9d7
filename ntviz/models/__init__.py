"""Named checkpoints, loading and the forward pass. `models.load` is the front door; torch is imported when it is used."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from ntviz.models import registry
from ntviz.models.corpus import seen
from ntviz.models.protocol import OUTPUTS, DNAModel, Embedder, Forward
from ntviz.models.registry import SPECS, ModelSpec

if TYPE_CHECKING:
    from ntviz.models.verification import Verification

__all__ = [
    "OUTPUTS",
    "SPECS",
    "DNAModel",
    "Embedder",
    "Forward",
    "ModelSpec",
    "load",
    "registry",
    "seen",
    "verify",
]


def load(
    name_or_path: str | os.PathLike[str] = "ntviz-mini",
    *,
    device: str = "auto",
    dtype: str = "float32",
    revision: str | None = None,
    max_tokens: int | None = None,
) -> Any:
    """A model ready for `forward` and `embed`, from a directory, the bundle, the Hugging Face cache or the hub.

    A `NucleotideTransformer`, or a `peers.peer.Peer` where config.json is that of a model it is compared with (DNABERT-2,
    HyenaDNA, Enformer, BPNet, SpliceAI).

    Parameters
    ----------
    name_or_path
        A checkpoint directory, a short name (`ntviz models` lists them), or a hub repository. A directory that is called as
        a known model is taken before it if it holds a checkpoint; `info["origin"]` says which was.
    device
        "auto" (a GPU when there is one), "cpu", "cuda", "cuda:1" or "mps".
    dtype
        "float32", "bfloat16" or "float16".
    revision
        The hub's branch, tag or commit.
    max_tokens
        Overrides the length limit, `<cls>` included. Rotary models run beyond the published limit; quality falls.

    Raises
    ------
    FileNotFoundError
        The checkpoint, its config.json, its weights or one of its shards is not there.
    ValueError
        An unknown name, device or dtype; a damaged file, or a pickle that holds more than tensors; a tensor that is missing,
        unknown, not finite or of another shape than config.json implies.

    Notes
    -----
    An encoder saved without its language-model head gives hidden states, attentions and `embed`; logits are an error.

    Never runs code from the hub. Warns with `LicenceNotice` when the weights are not free for commercial use.

    References
    ----------
    Dalla-Torre et al., Nucleotide Transformer, Nature Methods 2025.
    """
    from ntviz.models import checkpoints, nucleotide_transformer, peers

    located = checkpoints.locate(name_or_path, revision=revision)
    family = peers.family(located.directory) or nucleotide_transformer
    model = family.load(located, device=device, dtype=dtype, max_tokens=max_tokens)
    model.info["origin"] = located.origin
    licence = located.licence
    if "-NC" in licence:
        shared = ", and so is what is derived from them (embeddings, adapters, fine-tuned models)"
        warnings.warn(
            f"The weights of {model.name} are licensed {licence}: not for commercial use{shared * ('-SA' in licence)}.",
            registry.LicenceNotice,
            stacklevel=2,
        )
    return model


def verify(directory: str | os.PathLike[str], *, tolerance: float = 1e-4) -> Verification:
    """Largest differences between a checkpoint directory and the expected.npz beside it; see `verification.verify`."""
    from ntviz.models import verification

    return verification.verify(directory, tolerance=tolerance)
