"""Checkpoints: where they are, their config.json and tensors, and the model that they make. Reads safetensors and weights-only .bin."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import pickle
import re
import warnings
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntviz import environment
from ntviz.models import registry

if TYPE_CHECKING:
    import torch

SAFE, SAFE_INDEX = "model.safetensors", "model.safetensors.index.json"
BIN, BIN_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
_WANTED = ("config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_KERAS = "spliceai1.h5"
_UNPACKED = Path("spliceai", "models")
_REVISED = re.compile(r"ntv3_(pretrained|tracks|annot|generative)\w*", re.IGNORECASE)
_WRAPPERS = {"module", "model", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Parts of names that DataParallel, a class around the model, torch.compile, FSDP and checkpointed activations add."""
_ENDS = {"gamma": "weight", "beta": "bias"}
"""Of a LayerNorm as TensorFlow, and `save_pretrained` of transformers 5 for ESM, name it."""


kept: dict[Any, Any] | None = None
"""Models that were loaded, with their state and their files, where several notebooks share a kernel; None: none is kept."""


def load(
    name_or_path: str | os.PathLike[str] = "ntviz-mini", *, device: str = "auto", dtype: str = "float32",
    revision: str | None = None, max_tokens: int | None = None,
) -> Any:  # fmt: skip
    """A model ready for `forward` and `embed`, from a directory, the bundle, the Hugging Face cache or the hub.

    A `NucleotideTransformer`, a `SegmentNT`, an `NTv3`, or a peer where config.json is that of DNABERT-2, HyenaDNA, Enformer, BPNet or
    SpliceAI. Never runs code from the hub. Warns with `LicenceNotice` when the weights are not free for commercial use. An encoder saved without its
    language-model head gives hidden states, attentions and `embed`.

    Parameters
    ----------
    name_or_path
        A checkpoint directory, a short name (`ntviz models` lists them), or a hub repository. A directory that is called as
        a known model comes before it if it holds a checkpoint; `info["origin"]` says which was.
    device, dtype
        "auto" (a GPU when there is one), "cpu", "cuda", "cuda:1" or "mps"; "float32", "bfloat16" or "float16".
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
    """
    from ntviz.models import nucleotide_transformer, peers
    from ntviz.models.model import DTYPES

    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}.")
    located = locate(name_or_path, revision=revision)
    where, family = environment.device(device), peers.family(located.directory) or nucleotide_transformer
    key, files = (located, where, dtype, max_tokens), list[Path]()
    model, state, known = (kept or {}).get(key, (None, None, ()))
    if model is None or state != _state(model, located.directory):
        environment.openings.append(files.append)
        try:
            model, known = family.load(located, max_tokens).placed(located, where, DTYPES[dtype]), ()
        finally:
            environment.openings.remove(files.append)
    for file in known:
        environment.opened(file)
    if kept is not None and files:
        if len(kept) > 3:
            kept.clear()
        kept[key] = (model, _state(model, located.directory), files)
    licence = located.licence
    if "-NC" in licence or "non-commercial" in licence:
        shared = ", and so is what is derived from them (embeddings, adapters, fine-tuned models)" * ("-SA" in licence)
        end = f": not for commercial use{shared}" if "-NC" in licence else ""
        warnings.warn(f"The weights of {model.name} are licensed {licence}{end}.", registry.LicenceNotice, stacklevel=2)
    return model


def _state(model: Any, directory: Path) -> Any:
    """What is another where a network was trained or changed, or a file of its folder replaced."""
    files = sorted((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in directory.iterdir())
    return files, [(id(value), value._version) for value in model.module.state_dict(keep_vars=True).values()]


@dataclass(frozen=True)
class Located:
    """A checkpoint directory: the named checkpoint that it is, if any, its name, and where it comes from, in words.

    `revision` is the hub's commit, "local", "bundle" or the package that it comes from.
    """

    directory: Path
    spec: registry.ModelSpec | registry.PeerSpec | None
    revision: str
    name: str
    origin: str = "Hugging Face hub"

    @property
    def licence(self) -> str:
        """Licence of the weights, as far as it is known."""
        return self.spec.licence if self.spec is not None else "not stated"


def local(directory: Path) -> Located:
    """A checkpoint directory as it stands; a known model if it is called as one."""
    if (directory / _UNPACKED / _KERAS).is_file():
        directory = directory / _UNPACKED
    spec = registry.find("spliceai-10k" if (directory / _KERAS).is_file() else directory.name)
    known = registry.find(str(directory))
    before = f", which comes before the known model {known.name}" if known is not None else ""
    return Located(directory, spec, "local", spec.name if spec else directory.name, f"folder {directory}{before}")


def locate(name_or_path: str | os.PathLike[str], *, revision: str | None = None, fetch: bool = True) -> Located:
    """The checkpoint's directory: a local one, the bundle's, the Hugging Face cache's, or freshly downloaded; see `models.load`.

    Without `fetch` a FileNotFoundError says that it is not on this machine.
    """
    name = os.fspath(name_or_path)
    path, spec = Path(name).expanduser(), registry.find(name)
    holds = any((path / held).is_file() for held in ("config.json", _KERAS, _UNPACKED / _KERAS))
    if holds or (spec is None and path.is_dir()):
        return local(path)
    if isinstance(spec, registry.PeerSpec) and spec.wheel is not None:
        package, version, inside = spec.wheel
        with suppress(importlib.metadata.PackageNotFoundError):
            # The package is not imported.
            directory = Path(str(importlib.metadata.distribution(package).locate_file(inside)))
            if directory.is_dir():
                origin = f"package {package} {version}"
                return Located(directory, spec, origin, spec.name, origin)
        raise FileNotFoundError(
            f"{spec.name} is read from the package {package} {version}, which is not installed. Run `pip install --no-deps "
            f"{package}=={version} h5py`, or pass a folder with its files. Licence of the weights: {spec.licence}."
        )
    if spec is not None and "/" not in spec.repository:
        directory = environment.data_dir() / spec.repository
        if not (directory / "config.json").is_file():
            raise FileNotFoundError(
                f"{directory} must hold the bundled model {spec.name}: run `pip install ntviz-data` or `ntviz data fetch "
                "bundle`, or set NTVIZ_DATA to a clone's data/ folder."
            )
        return Located(directory, spec, "bundle", spec.name, "bundle of ntviz")
    if _REVISED.fullmatch(name.rpartition("/")[2]):
        raise ValueError(
            f"{name} is of NTv3's revised release of 2026, whose layout is not supported. Load one of 2025, such as ntv3_650m_pre or "
            "ntv3_650m_post; `ntviz models` lists them."
        )
    if spec is None and not re.fullmatch(r"\w[\w.-]*/[\w.-]+", name):
        near = registry.suggestions(name)
        raise ValueError(
            f"A model is a checkpoint directory, a known name or a hub repository; got {name!r}, which is none. "
            + (f"Did you mean {' or '.join(near)}? " if near else "")
            + "`ntviz models` lists the names."
        )
    repository = spec.repository if spec is not None else name
    passed_over = f"The folder {path} holds no config.json and was passed over. " if path.is_dir() else ""
    directory = _from_hub(repository, revision, passed_over, fetch)
    return Located(directory, spec, directory.name, spec.name if spec is not None else name.rpartition("/")[2])


def _from_hub(repository: str, revision: str | None, passed_over: str, fetch: bool = True) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    def snapshot(*patterns: str, offline: bool = False) -> Path:
        wanted = [*_WANTED, *patterns]
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted, local_files_only=offline))

    def weighted(directory: Path) -> bool:
        with suppress(FileNotFoundError):
            return bool(weight_files(directory))
        return False

    with suppress(LocalEntryNotFoundError, OfflineModeIsEnabled, FileNotFoundError):
        cached = snapshot("*.safetensors*", "pytorch_model*", offline=True)
        if (cached / "config.json").is_file() and weighted(cached):
            return cached
    if not fetch:
        raise FileNotFoundError(
            f"The checkpoint {repository} must be on this machine; it is not. Load it once with network."
        )
    try:
        # Safetensors first: a repository that holds both formats is not downloaded twice.
        fresh = snapshot("model*.safetensors", SAFE_INDEX)
        return fresh if weighted(fresh) else snapshot("pytorch_model*.bin", BIN_INDEX)
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        if isinstance(error, GatedRepoError):
            passed_over += "It is given out on request: ask on its page, then type `hf auth login`. "
        raise FileNotFoundError(
            f"The checkpoint {repository} is not in the Hugging Face cache and could not be downloaded "
            f"({type(error).__name__}). {passed_over}Connect once and run "
            f"`python -c \"from ntviz import models; models.load('{repository}')\"`, copy the "
            "directory here and pass its path, or set HF_HOME to a cache that has it, or to a folder that you may write to."
        ) from error


def read_config(directory: Path, needed: Collection[str] = ()) -> dict[str, Any]:
    """The checkpoint's config.json, which must give the keys that are needed."""
    path = directory / "config.json"
    if not path.is_file():
        raise _absent(directory, "config.json", "Pass the folder that `save_pretrained` wrote.")
    try:
        config = json.loads(environment.opened(path).read_text(encoding="utf-8"))
        missing = [key for key in needed if config.get(key) is None]
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} must be JSON, an object: {error}. Download the file again.") from error
    if missing:
        raise ValueError(f"{path} must give {', '.join(needed)}; {', '.join(missing)} is missing.")
    return config


def weight_files(directory: Path) -> list[Path]:
    """The files that hold the tensors: safetensors before .bin, one file before shards."""
    for single, index in ((SAFE, SAFE_INDEX), (BIN, BIN_INDEX)):
        if (directory / single).is_file():
            return [directory / single]
        if (directory / index).is_file():
            return _shards(directory, index)
    advice = "Other pickles (.pt, .pth, .joblib) are not read, because loading them can run code."
    raise _absent(directory, f"{SAFE} or {BIN} (or their sharded forms)", advice)


def _shards(directory: Path, index: str) -> list[Path]:
    try:
        listed = json.loads((directory / index).read_text(encoding="utf-8"))["weight_map"]
        names = sorted({str(name) for name in listed.values()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{directory / index} must be JSON with a weight_map from tensors to files; reading it "
            f"failed: {type(error).__name__}: {error}. Download it again."
        ) from error
    elsewhere = [name for name in names if Path(name).name != name]
    if elsewhere:
        raise ValueError(
            f"{directory / index} must name files beside it; it names {elsewhere[0]!r}. Do not use this checkpoint."
        )
    absent = [name for name in names if not (directory / name).is_file()]
    if absent:
        raise FileNotFoundError(
            f"{index} names {len(names)} shards; {', '.join(absent)} not in {directory}. Download the missing shards."
        )
    return [directory / name for name in names]


def _absent(directory: Path, what: str, advice: str) -> FileNotFoundError:
    """The error, with what to pass instead: trainers write several checkpoints into a folder, and PEFT adapters alone."""
    held = ", ".join(sorted(p.name for p in directory.iterdir())[:8]) or "nothing"
    inside = sorted(path.parent.name for path in directory.glob("*/config.json"))
    if (directory / "adapter_config.json").is_file():
        advice = "These are adapters of PEFT without the model they belong to: save merge_and_unload(), or see finetuning.load."
    elif inside:
        advice = f"Pass one of the checkpoints in it: {', '.join(inside[:8])}."
    return FileNotFoundError(f"A model directory must hold {what}; {directory} holds {held}. {advice}")


def read_tensors(directory: Path) -> dict[str, torch.Tensor]:
    """Every tensor of the checkpoint on the CPU, by the name of the model's own module.

    Safetensors are memory-mapped; of a .bin `weights_only=True` builds tensors and plain containers and runs nothing.
    """
    import torch

    tensors: dict[str, torch.Tensor] = {}
    for path in weight_files(directory):
        content = _read(environment.opened(path))
        for name, value in content.items() if isinstance(content, dict) else [(None, content)]:
            if not isinstance(name, str) or not isinstance(value, torch.Tensor):
                raise ValueError(f"{directory} must map names to tensors; {name!r} is a {type(value).__name__}.")
            parts = [part for part in name.split(".") if part not in _WRAPPERS] or [name]
            plain = ".".join((*parts[:-1], _ENDS.get(parts[-1], parts[-1])))
            if plain in tensors:
                raise ValueError(f"Each tensor must be there once; {plain} is there twice in {directory}.")
            tensors[plain] = value
    return tensors


def _read(path: Path) -> Any:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            # A foreign pickle protocol is worth a warning to torch; here it ends in the error below.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} must hold tensors only; it is corrupt or asks to run code ({str(error).partition(chr(10))[0]}). "
            "Refused. Ask for a safetensors file, or convert it where you trust it."
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(
            f"{path} must be a whole file of tensors; it is truncated or corrupt: download it again "
            f"({str(error).partition(chr(10))[0]})."
        ) from error


def assign(
    module: torch.nn.Module, tensors: dict[str, torch.Tensor], *, origin: str, optional: Collection[str] = (), unused: str = ""
) -> None:  # fmt: skip
    """Puts a checkpoint's tensors, named as the module names them, into the module, which need not have memory yet.

    Every one, or an error that says which does not fit. `optional` are tensors of the module that a checkpoint may lack, `unused`
    is a pattern of names that may stand in it.
    """
    own = module.state_dict()
    given = {name: tensors[name] for name in own if name in tensors}
    wrong = [name for name in given if given[name].shape != own[name].shape]
    if wrong:
        raise ValueError(
            f"{len(wrong)} tensors of {origin} do not have the shape that its config.json implies, first {wrong[0]}: "
            f"expected {tuple(own[wrong[0]].shape)}, got {tuple(given[wrong[0]].shape)}. Nothing was loaded."
        )
    real = [name for name in given if own[name].is_floating_point()]
    faults = {
        "missing": [name for name in own if name not in given and name not in optional],
        "unknown": [name for name in tensors if name not in own and not re.fullmatch(unused, name)],
        "quantised": [name for name in real if not given[name].is_floating_point()],
    }
    if any(faults.values()):
        parts = [
            f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for what, names in faults.items()
            if names
        ]
        raise ValueError(
            f"{origin} must hold each tensor of its config's network and no other; it has {' and '.join(parts)}. "
            "Nothing was loaded."
        )
    # Of nan in a query fused attention makes finite numbers: nothing downstream could tell.
    infinite = [name for name in real if not bool(given[name].isfinite().all())]
    if infinite:
        raise ValueError(
            f"Weights must be finite; {len(infinite)} tensors of {origin} hold nan or infinity, first {infinite[0]}: training "
            "diverged, or numbers were too large for float16."
        )
    module.load_state_dict(given, strict=False, assign=True)


def weight_hash(directory: Path) -> str:
    """SHA-256 over the weight files, in name order: what tells two sets of weights apart."""
    digest = hashlib.sha256()
    for path in weight_files(directory):
        with path.open("rb") as handle:
            hashlib.file_digest(handle, lambda: digest)
    return digest.hexdigest()
