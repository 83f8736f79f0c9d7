"""Attention above a threshold, counted by one Triton kernel a layer: scores live in registers, no map is ever written.

Each program owns a run of queries. It goes over the keys once for the log-sum-exp of each query, noting between which
blocks of keys a weight may exceed the threshold, and goes over those blocks again to count, by integer atomics: the sums do
not depend on the order in which programs finish. Triton is imported when a kernel is wanted, never by this module.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

tl: Any  # triton.language, and _scores for Triton: both from _kernel()
_scores_of: Any

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_ANY = ("lengths", "specials", "counts", "from_special", "paired", "mirrored", "o_batch", "o_head", "n_heads",
        "n_tokens", "n_blocks")  # fmt: skip
_OLDEST = (8, 0)  # compute capability from which Triton multiplies on tensor cores


def available(device: torch.device | str) -> bool:
    """Whether `above` runs on this device: a GPU that Triton compiles for, or any in Triton's interpreter.

    The first question about a GPU counts a small case there; where that fails, for want of a C compiler for example, one
    warning says why, and the answer is False from then on.
    """
    device = torch.device(device)
    on_gpu = device.type == "cuda"
    if not (on_gpu or os.environ.get("TRITON_INTERPRET") == "1") or find_spec("triton") is None:
        return False
    if not on_gpu:
        return True
    if torch.cuda.get_device_capability(device) < _OLDEST:
        return False
    index = torch.cuda.current_device() if device.index is None else device.index
    return _works(torch.device("cuda", index))


def above(
    query: torch.Tensor, key: torch.Tensor, *, scaling: float, threshold: float, lengths: Sequence[int] | torch.Tensor,
    is_special: torch.Tensor, out: torch.Tensor | None = None,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    """Numbers of pairs whose weight exceeds the threshold, of one layer: counts, from_special, paired, mirrored.

    Each is [batch, head, token] int64, as in `attention.Above.Result`; places beyond a sequence's length hold 0. Integer sums
    make every run give the same counts; they are those of plain torch but for pairs that lie at the threshold within the
    rounding of the products, see `near_threshold`.

    Parameters
    ----------
    query, key
        [batch, head, token, head_dim] float32, bfloat16 or float16, with any strides. Products are summed in float32.
    scaling
        Factor of the scores.
    lengths
        [batch] tokens of each sequence; what follows is padding, which nobody attends to.
    is_special
        [batch, token] bool, tokens that lie on no base.
    out
        [4, batch, head, token] int64, the last axis without gaps: to be added to, and returned in four parts. None: zeros.
    """
    lengths = _checked(query, key, threshold, lengths, is_special, out)
    n_batch, n_heads, n_tokens, dim = query.shape
    if out is None:
        out = torch.zeros(4, n_batch, n_heads, n_tokens, dtype=torch.int64, device=query.device)
    if query.dtype == torch.bfloat16 and os.environ.get("TRITON_INTERPRET") == "1":
        query, key = query.float(), key.float()  # the interpreter would multiply their bits as integers
    rows, columns, depth, warps, stages = _blocks(dim, query.element_size())
    n_blocks = -(-n_tokens // rows)
    with torch.cuda.device(query.device) if query.device.type == "cuda" else nullcontext():
        _kernel()[(n_blocks * n_batch * n_heads,)](
            query, key, lengths, is_special.contiguous().view(torch.uint8), *out.unbind(),
            *query.stride(), *key.stride(), *out.stride()[1:3], n_heads, n_tokens, n_blocks,
            float(scaling), math.log(threshold),
            dim=dim, depth=depth, padded=-(-dim // depth) * depth, rows=rows, columns=columns,
            num_warps=warps, num_stages=stages, enable_fp_fusion=True,
        )  # fmt: skip
    return out.unbind()


def near_threshold(
    query: torch.Tensor, key: torch.Tensor, *, scaling: float, threshold: float, lengths: Any, within: float = 1e-5
) -> torch.Tensor:
    """Pairs whose weight lies within a share `within` of the threshold on either side, [batch, head] int64; in float64.

    No more pairs than these can be counted differently by two ways of computing whose weights differ by no more; 1e-5 is
    more than float32 rounding moves a weight. Two keys with the same score have 0.5 each, from both queries:

    >>> same = torch.zeros(1, 1, 2, 16)
    >>> near_threshold(same, same, scaling=1.0, threshold=0.5, lengths=[2]).tolist()
    [[4]]
    """
    near = torch.zeros(query.shape[:2], dtype=torch.int64, device=query.device)
    low, high = math.log(threshold) + math.log1p(-within), math.log(threshold) + math.log1p(within)
    for sequence, length in enumerate(torch.as_tensor(lengths).tolist()):
        keys = key[sequence, :, :length].double().transpose(-1, -2)
        for rows in query[sequence, :, :length].split(256, dim=1):
            weights = torch.log_softmax(rows.double() @ keys * scaling, -1)
            near[sequence] += ((weights >= low) & (weights <= high)).sum((1, 2))
    return near


def _checked(
    query: torch.Tensor, key: torch.Tensor, threshold: float, lengths: Any, is_special: torch.Tensor, out: Any
) -> torch.Tensor:
    """The lengths as a tensor on the device, if everything belongs together."""
    if query.ndim != 4 or query.dtype not in _DTYPES or not 0 < threshold < 1:
        raise ValueError(
            "query must be [batch, head, token, head_dim], float32, bfloat16 or float16, and the threshold a share "
            f"strictly between 0 and 1; received {list(query.shape)} {query.dtype} and {threshold}."
        )
    n_batch, n_heads, n_tokens, dim = query.shape
    tensors = {
        "key": (key, [n_batch, n_heads, n_tokens, dim], query.dtype),
        "is_special": (is_special, [n_batch, n_tokens], torch.bool),
    }
    if out is not None:
        tensors["out"] = out, [4, n_batch, n_heads, n_tokens], torch.int64
    for name, (one, shape, dtype) in tensors.items():
        gaps = name == "out" and one.stride(-1) != 1
        if list(one.shape) != shape or one.dtype != dtype or one.device != query.device or gaps:
            raise ValueError(
                f"{name} must be {shape} {dtype} on {query.device}{', its last axis without gaps' if gaps else ''}; "
                f"received {list(one.shape)} {one.dtype} on {one.device}, strides {list(one.stride())}."
            )
    lengths = torch.as_tensor(lengths)
    # Reading lengths that are on a GPU would wait for it; there the kernel cuts them to the tokens that there are.
    fits = lengths.device.type != "cpu" or bool(((lengths >= 0) & (lengths <= n_tokens)).all())
    if lengths.shape != (n_batch,) or lengths.is_floating_point() or not fits:
        raise ValueError(f"lengths must be {n_batch} whole numbers from 0 to {n_tokens}; received {lengths.tolist()}.")
    return lengths.to(query.device)


def _blocks(dim: int, size: int) -> tuple[int, int, int, int, int]:
    """Queries and keys of a block, dimensions summed at a time, warps, stages: registers hold a block at head_dim 32 to 128."""
    if size == 4:
        return 64, 64 if dim <= 64 else 32, 16, 4, 2
    return 64, 64, max(16, 1 << (dim - 1).bit_length()), 4, 2


@cache
def _works(device: torch.device) -> bool:
    """Whether a small case counts right on a GPU; warns with the reason where it does not."""
    generator = torch.Generator().manual_seed(0)
    query, key = (3 * torch.randn(1, 2, 100, 32, generator=generator) for _ in range(2))
    expected = (torch.softmax(query.double() @ key.double().mT, -1) > 0.3).sum(2)
    near = near_threshold(query, key, scaling=1.0, threshold=0.3, lengths=[100]).sum()
    special = torch.zeros(1, 100, dtype=torch.bool, device=device)
    query, key = query.to(device), key.to(device)
    try:
        counts, *_ = above(query, key, scaling=1.0, threshold=0.3, lengths=[100], is_special=special)
        counts = counts.cpu()
    except Exception as error:  # noqa: BLE001  whatever stops a compiler or a driver, plain torch still counts
        reason = f"{type(error).__name__}: {error}"
    else:
        if int((counts - expected).abs().sum()) <= int(near):
            return True
        reason = f"it counted {int(counts.sum())} pairs where there are {int(expected.sum())}"
    warnings.warn(
        f"Triton's kernel does not work on {device}, and attention is counted by plain torch instead, with the same "
        f"result and more slowly. The reason: {reason}",
        RuntimeWarning,
        stacklevel=3,
    )
    return False


@cache
def _kernel() -> Any:
    """`_count`, compiled by Triton when it is launched, or interpreted if TRITON_INTERPRET was 1 when Triton was imported."""
    global tl, _scores_of
    triton, tl = import_module("triton"), import_module("triton.language")
    _scores_of = triton.jit(_scores)
    # One compilation serves all numbers of tokens and heads, wherever the results lie.
    return triton.jit(do_not_specialize=_ANY)(_count)


def _scores(
    q, queries, keys, is_row, is_column, q_dim, k_dim, scaling,
    dim: tl.constexpr, depth: tl.constexpr, padded: tl.constexpr, rows: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    """Scaled scores [rows, columns], summed over head_dim `depth` at a time; q is used where that is all of it."""
    scores = tl.zeros([rows, columns], tl.float32)
    for first in tl.static_range(0, padded, depth):
        part = first + tl.arange(0, depth)
        is_part = (part < dim)[None, :]
        k = tl.load(keys[:, None] + part[None, :] * k_dim, mask=is_column[:, None] & is_part, other=0.0)
        if depth < padded:
            q = tl.load(queries[:, None] + part[None, :] * q_dim, mask=is_row[:, None] & is_part, other=0.0)
        scores = tl.dot(q, tl.trans(k), scores, input_precision="ieee")
    return scores * scaling


def _count(
    query, key, lengths, specials, counts, from_special, paired, mirrored,
    q_batch, q_head, q_token, q_dim, k_batch, k_head, k_token, k_dim,
    o_batch, o_head, n_heads, n_tokens, n_blocks, scaling, log_threshold,
    dim: tl.constexpr, depth: tl.constexpr, padded: tl.constexpr, rows: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    """The kernel: one program counts `rows` queries of one head of one sequence."""
    program = tl.program_id(0)
    row = (program % n_blocks) * rows + tl.arange(0, rows)
    plane = (program // n_blocks).to(tl.int64)
    batch = plane // n_heads
    head = plane % n_heads
    length = tl.minimum(tl.load(lengths + batch).to(tl.int32), n_tokens)
    is_row = row < length
    queries = query + batch * q_batch + head * q_head + row * q_token
    keys = key + batch * k_batch + head * k_head
    part = tl.arange(0, depth)
    is_part = is_row[:, None] & (part < dim)[None, :]
    q = tl.load(queries[:, None] + part[None, :] * q_dim, mask=is_part, other=0.0)
    # A program whose queries are all padding has no keys to go over.
    end = tl.where((program % n_blocks) * rows < length, length, 0)

    top = tl.full([rows], float("-inf"), tl.float32)
    total = tl.where(is_row, 0.0, 1.0)
    nearest = tl.zeros([rows], tl.int32) + n_tokens
    farthest = tl.zeros([rows], tl.int32)
    for start in range(0, end, columns):
        column = start + tl.arange(0, columns)
        is_column = column < length
        scores = _scores_of(
            q, queries, keys + column * k_token, is_row, is_column, q_dim, k_dim, scaling,
            dim, depth, padded, rows, columns,
        )  # fmt: skip
        scores = tl.where(is_column[None, :], scores, float("-inf"))
        best = tl.max(scores, 1)
        higher = tl.maximum(top, best)
        total = total * tl.exp(top - higher) + tl.sum(tl.exp(scores - higher[:, None]), 1)
        top = higher
        # The sum so far is no more than the whole: what cannot exceed the threshold of this cannot of that.
        # 0.01 is far more than rounding.
        may = is_row & (best + 0.01 > top + tl.log(total) + log_threshold)
        nearest = tl.where(may, tl.minimum(nearest, start), nearest)
        farthest = tl.where(may, start + columns, farthest)
    begin = tl.min(nearest, 0)
    end = tl.minimum(tl.max(farthest, 0), end)

    limit = top + tl.log(total) + log_threshold
    special = specials + batch * n_tokens
    base_row = is_row & (tl.load(special + row, mask=is_row, other=1) == 0)
    place = batch * o_batch + head * o_head
    for start in range(begin, end, columns):
        column = start + tl.arange(0, columns)
        is_column = column < length
        scores = _scores_of(
            q, queries, keys + column * k_token, is_row, is_column, q_dim, k_dim, scaling,
            dim, depth, padded, rows, columns,
        )  # fmt: skip
        exceeds = (scores > limit[:, None]) & is_row[:, None] & is_column[None, :]
        if tl.max(tl.max(exceeds.to(tl.int32), 1), 0) > 0:
            from_base = exceeds & base_row[:, None]
            n_base = tl.sum(from_base.to(tl.int32), 0)
            n_special = tl.sum(exceeds.to(tl.int32), 0) - n_base
            at = place + column
            tl.atomic_add(counts + at, n_base.to(tl.int64), mask=n_base > 0, sem="relaxed")
            tl.atomic_add(from_special + at, n_special.to(tl.int64), mask=n_special > 0, sem="relaxed")
            base_column = is_column & (tl.load(special + column, mask=is_column, other=1) == 0)
            mirror = 2 * row[:, None] - column[None, :]
            pair = from_base & base_column[None, :] & (mirror >= 0) & (mirror < length)
            pair = pair & (tl.load(special + mirror, mask=pair, other=1) == 0)
            n_paired = tl.sum(pair.to(tl.int32), 0)
            tl.atomic_add(paired + at, n_paired.to(tl.int64), mask=n_paired > 0, sem="relaxed")
            tl.atomic_add(mirrored + place + mirror, pair.to(tl.int64), mask=pair, sem="relaxed")
