"""Hidden states of tokens reduced to one vector a sequence, on the device where they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

POOLINGS = ("mean", "cls", "max")


def pool(
    states: torch.Tensor, covering: torch.Tensor, poolings: Sequence[str], *, cls: bool, name: str
) -> np.ndarray:
    """Vectors of sequences, float32 [sequence, pooling, hidden].

    Parameters
    ----------
    states
        [sequence, token, hidden].
    covering
        bool [sequence, token], true where a token covers bases: neither padding nor a special token.
    poolings
        Of "mean" and "max" over the tokens that cover bases, and "cls", the first token.
    cls
        Whether the first token is a special one.
    name
        Of the model, for messages.

    Raises
    ------
    ValueError
        An unknown pooling, or "cls" of a model without such a token.
    """
    found = []
    for how in poolings:
        if how == "mean":
            # The products would be rounded in half precision, and sums of a thousand tokens overflow in it.
            weights = covering.to(torch.float32)
            total = torch.einsum("sth,st->sh", states.to(torch.float32), weights)
            found.append(total / weights.sum(1, keepdim=True).clamp(min=1))
        elif how == "max":
            found.append(states.masked_fill(~covering[..., None], -torch.inf).amax(1).to(torch.float32))
        elif how == "cls":
            if not cls:
                raise ValueError(
                    f"pooling 'cls' needs a special first token; {name} has none. Pool by 'mean' or 'max'."
                )
            found.append(states[:, 0].to(torch.float32))
        else:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}; got {how!r}.")
    return torch.stack(found, dim=1).cpu().numpy()
