"""Models that the Nucleotide Transformer is compared with, each read from its published checkpoint by plain PyTorch.

None runs code from the hub. They answer the same questions: `tokenize`, `forward`, `embed`, `random_twin`.
"""
