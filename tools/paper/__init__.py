"""The experiments of Kawa & Syga (SECRYPT 2021), one command each: `python -m tools.paper NAME`.

Shared are finished runs and their tables (`results.py`), intervals of means and of differences
(`intervals.py`), whether the order is the paper's (`ordering.py`), pages and charts (`pages.py`),
training on faces (`stages.py`) and on pictures (`classify.py`, `images.py`), and the paper's own
figures (`figures_of_paper.py`). Every other module is one experiment.
"""
