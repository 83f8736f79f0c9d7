"""Names of regulatory elements: those of ENCODE and Ensembl, to those of the attention analysis."""

from __future__ import annotations

REGULATORY: dict[str, str] = {
    # ENCODE's candidate cis-regulatory elements; of "pELS,CTCF-bound" the part before the comma counts.
    "PLS": "promoter",
    "pELS": "enhancer",
    "dELS": "enhancer",
    # Registry V2 and V3.
    "CTCF-only": "CTCF_binding_site",
    "DNase-H3K4me3": "open_chromatin",
    "DNase-only": "open_chromatin",
    # Registry V4: CA means chromatin accessibility.
    "CA-CTCF": "CTCF_binding_site",
    "CA-H3K4me3": "open_chromatin",
    "CA-TF": "TF_binding_site",
    "CA": "open_chromatin",
    "TF": "TF_binding_site",
    # Ensembl's Regulatory Build, GFF.
    "promoter": "promoter",
    "enhancer": "enhancer",
    "CTCF_binding_site": "CTCF_binding_site",
    "open_chromatin_region": "open_chromatin",
    "TF_binding_site": "TF_binding_site",
}
"""Element of the attention analysis by class of ENCODE's registry or feature of Ensembl's Regulatory Build.

For `read(path, rename=REGULATORY)`. Each region counts as one element, as in Ensembl's build, from which the paper took
its own. So an enhancer that CTCF binds too (``dELS,CTCF-bound``) is an enhancer only, and open chromatin is what has no
other class; DNase-H3K4me3 and CA-H3K4me3, which are far from known starts of genes, are open chromatin. Ensembl's
promoter_flanking_region and ENCODE's Low-DNase are none of the nine and keep their names.
"""
