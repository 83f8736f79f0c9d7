"""Masked language modelling from FASTA files: corpora, masking, counting baselines and the training run.

`corpus.read` cuts genomes, `baselines.baselines` counts, `training.train` trains, `evaluation.evaluate` judges on
held-out regions. The modules are imported by name, so that reading a corpus loads no torch.
"""
