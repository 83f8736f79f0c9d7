"""The published splice networks against outputs of their originals, and deltas against those of SpliceAI's own tool.

The expected numbers lie beside the clone in continuous integration, as the data of test_shared_data.py do, and are no part of the
repository: they are outputs of networks under CC BY-NC 4.0. The networks themselves come from PyPI.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from peer_files import some_networks

from ntviz import annotation, data, models
from ntviz.genome import Interval
from ntviz.models.peers.spliceai import CONTEXT
from ntviz.reference import Reference
from ntviz.variants.alleles import Allele
from ntviz.variants.splice import EVENTS, SpliceScorer

EXPECTED = Path(__file__).resolve().parents[2] / "shared" / "fixtures" / "spliceai"
# Two genes within 5,000 bp of their ends, insertions and a deletion, the last bases of a gene, both strands, gains and losses that the mask hides.
DELTAS = ("overlap_RP5-860F19.8_TMEM239", "JAG1_d-1_insGGTAAG", "JAG1_near_last_base", "HNF4A_d-1_del3", "clinvar21816", "KCNQ2_a-2_insA")  # fmt: skip


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The networks of the package spliceai 1.3.1, unpacked and not installed."""
    folder = tmp_path_factory.mktemp("wheel")
    command = ["-m", "pip", "download", "--quiet", "--no-deps", "spliceai==1.3.1", "--dest"]
    subprocess.run([sys.executable, *command, str(folder)], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    with pytest.warns(models.registry.LicenceNotice, match="Illumina"):
        return models.load(folder, device="cpu")


def shared(name: str) -> Path:
    must = f"{EXPECTED / name} must lie beside the clone here, and does not. Copy it there, or unset CI."
    assert (EXPECTED / name).is_file(), must
    return EXPECTED / name


def predicted(model, name: str):
    """Prediction of a window, in the direction of its strand."""
    window = json.loads(shared("windows.json").read_text())[name]
    if "text" in window:
        return model.predict(window["text"], flanks="N").probabilities[0]
    place = Interval(window["contig"], window["start"] - CONTEXT, window["end"] + CONTEXT)
    bases = Reference(data.bundle("chr20")).fetch(place).sequence
    found = model.predict(bases, strand=window["strand"]).probabilities[0]
    return found if window["strand"] == "+" else found[::-1]


def test_networks_equal_keras_and_the_frozen_graph(published):
    keras, frozen = (np.load(shared(f"{one}.npz")) for one in ("expected", "expected_cispliceai"))
    small = models.load("ci-spliceai", device="cpu")
    for name in ("hnf4a_plus", "short_text"):
        np.testing.assert_allclose(predicted(small, name), frozen[name], atol=1e-5)
    np.testing.assert_allclose(predicted(published, "contig_gap"), keras["contig_gap_mean"], atol=1e-5)
    for number, expected in enumerate(keras["jag1_minus_models"]):
        found = predicted(some_networks(published, number), "jag1_minus")
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_deltas_and_masks_equal_the_tools(published):
    rows = pd.read_csv(shared("expected_delta.tsv"), sep="\t", dtype=str, keep_default_na=False)
    genes = annotation.read(data.bundle("genes")).table
    # The tool knows one transcript a gene, and hides what lies outside of it.
    transcripts = annotation.from_table(genes[genes["element"] == "exon"])
    scorer = SpliceScorer(published, Reference(data.bundle("chr20")), transcripts, mask="nearest")
    compared = 0
    for row in rows[rows["ID"].isin(DELTAS)].to_dict("records"):
        status, effects = scorer.effects(Allele(row["CHROM"], int(row["POS"]), row["REF"], row["ALT"]))
        assert status == "ok"
        (effect,) = (one for one in effects if one.gene.name == row["SYMBOL"])
        values = [[float(row[f"{prefix}DS_{event}"]) for event in EVENTS] for prefix in ("", "M1_")]
        expected, masked = np.array(values)
        np.testing.assert_allclose(effect.scores, expected, atol=1e-5)
        np.testing.assert_allclose(effect.masked, masked, atol=1e-5)
        places = np.array([int(row[f"DP_{event}"]) for event in EVENTS])
        assert (effect.places == places)[np.abs(expected) >= 0.001].all(), row["ID"]
        compared += 1
    assert compared == len(DELTAS) + 1  # two genes of the first
    known = {"mnv": "ok", "ref_longer_than_100": "too_long", "intergenic": "no_gene", "ref_mismatch": "ref_mismatch"}
    for row in rows[rows["DS_AG"] == "."].to_dict("records"):
        (plan,) = scorer.plan([Allele(row["CHROM"], int(row["POS"]), row["REF"], row["ALT"])])
        assert plan.status == known[row["ID"]]
