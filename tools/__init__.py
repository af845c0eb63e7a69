"""Beside the package: train, bench, convert, paper, each a room started by `python -m tools.ROOM`.

They need PyTorch and more (the extras `train`, `teacher`, `bench`); minimeso does not.
"""
