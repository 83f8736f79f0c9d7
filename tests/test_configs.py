"""What a checkpoint's config.json asks to be run is not run: code in its folder, code on the hub, kernels of the hub."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from transformers import AutoConfig, EsmConfig, EsmForMaskedLM, dynamic_module_utils
from transformers.integrations import hub_kernels

from ntviz import models

FIXTURES = Path(__file__).parent / "fixtures"
SEQUENCE = "ACGTTGCAGGATCCATTACGTACCAGTTAG" * 4

PLANTED = ("planted_esm", "modeling_esm", "kernel")
KERNEL = "someone/kernel"
CODE = {"AutoConfig": "planted_esm.EsmConfig", "AutoModelForMaskedLM": "planted_esm.EsmForMaskedLM"}
FAR_CODE = {name: f"someone/code--{where}" for name, where in CODE.items()}
ASKED = {
    "code in the folder": {"auto_map": CODE},
    "code on the hub": {"auto_map": FAR_CODE},
    "a kernel": {"attn_implementation": KERNEL},
    "a kernel, privately": {"_attn_implementation": KERNEL},
    "a kernel, inside": {"_attn_implementation_internal": KERNEL},
    "a kernel for experts": {"experts_implementation": KERNEL, "_experts_implementation_internal": KERNEL},
    "a kernel by part": {"attn_implementation": {"": KERNEL, "encoder": KERNEL}},
}
ASKED["all"] = {name: value for asked in ASKED.values() for name, value in asked.items()}


@pytest.fixture
def followed(monkeypatch):
    """What somebody tried to fetch or run; each attempt is refused, and listed even where the refusal is caught."""
    attempts = []

    def trap(owner, name, what):
        def refuse(*arguments, **_options):
            attempts.append((what, str(arguments[0])))
            raise PermissionError(f"{what} was asked for: {arguments[0]}")

        monkeypatch.setattr(owner, name, refuse)

    # transformers looks for kernels only where a package for them is installed.
    monkeypatch.setattr(hub_kernels, "is_kernels_available", lambda: True)
    trap(hub_kernels, "get_kernel", "kernel")
    trap(dynamic_module_utils, "get_cached_module_file", "code")
    trap(socket, "getaddrinfo", "network")
    trap(socket.socket, "connect", "network")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    return attempts


@pytest.fixture
def asking(tmp_path):
    """A copy of a checkpoint whose config asks for more, beside code that leaves a mark when it runs."""

    def make(name: str, changes: dict) -> Path:
        directory = Path(shutil.copytree(FIXTURES / name, tmp_path / name))
        for module in PLANTED:
            (directory / f"{module}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
        for file in ("config.json", "tokenizer_config.json"):
            path = directory / file
            before = json.loads(path.read_text()) if path.is_file() else {}
            path.write_text(json.dumps(before | changes))
        return directory

    return make


def numbers(model) -> dict[str, np.ndarray]:
    batch = model.tokenize(SEQUENCE[:96])
    return {
        "fused": model.forward(batch).logits,
        "eager": model.forward(batch, outputs=("logits", "attentions")).attentions,
        "again": model.forward(batch).logits,
        "twin": model.random_twin(3).forward(batch).logits,
    }


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("name", ["nt_v1_tiny", "nt_v2_tiny"])
def test_nothing_that_a_config_asks_for_is_followed(name, asked, asking, followed, tmp_path):
    modules = set(sys.modules)
    model, clean = (models.load(path, device="cpu") for path in (asking(name, asked), FIXTURES / name))
    for (which, got), expected in zip(numbers(model).items(), numbers(clean).values(), strict=True):
        np.testing.assert_array_equal(got, expected, err_msg=which)
    assert followed == [] and not (tmp_path / "ran").exists()
    assert not {module.rpartition(".")[2] for module in set(sys.modules) - modules} & set(PLANTED)
    assert model.module.config._attn_implementation == clean.module.config._attn_implementation == "sdpa"
    assert not any(KERNEL in str(value) for value in model.module.config.to_dict().values())


@pytest.mark.parametrize("name", ["dnabert2_tiny", "hyenadna_tiny", "enformer_tiny"])
def test_nor_is_it_in_configs_of_peers(name, asking, followed, tmp_path):
    model, clean = (models.load(path, device="cpu") for path in (asking(name, ASKED["all"]), FIXTURES / name))
    vectors = (one.embed([one.tokenize(SEQUENCE)], layers=[one.layers]) for one in (model, clean))
    np.testing.assert_array_equal(*vectors)
    assert followed == [] and not (tmp_path / "ran").exists()


# The traps spring: transformers itself, given the same config, follows it.


def test_transformers_alone_would_fetch_the_kernel_and_run_the_code(asking, followed):
    directory = asking("nt_v2_tiny", ASKED["a kernel"] | {"auto_map": CODE})
    config = json.loads((directory / "config.json").read_text())
    with pytest.raises(ValueError, match=f"trying to load from '{KERNEL}'"):
        EsmForMaskedLM(EsmConfig(**config))
    with pytest.raises(PermissionError, match="code was asked for"):
        AutoConfig.from_pretrained(directory, trust_remote_code=True)
    assert followed == [("kernel", KERNEL), ("code", str(directory))]


def test_the_oldest_transformers_that_is_taken_ignores_the_inner_key():
    """transformers 5.0 to 5.2 took `_attn_implementation_internal` from a config.json, and any repository with it."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    (taken,) = (one for one in map(Requirement, project["dependencies"]) if one.name == "transformers")
    for version in ("5.0.0", "5.1.0", "5.2.0"):
        assert version not in taken.specifier
    assert EsmConfig(_attn_implementation_internal=KERNEL)._attn_implementation is None
