"""Masked language modelling from FASTA files: corpora, masking, the training run, and how good it is beside counting.

`corpus.read` cuts genomes, `training.train` trains, `evaluation.evaluate` judges on held-out regions and
`evaluation.baselines` counts. The modules are imported by name, so that reading a corpus loads no torch.
"""
