"""The experiments of Kawa & Syga (SECRYPT 2021), one command each: `python -m tools.paper NAME`.

`results.py` is what they share: finished runs, resuming, intervals, tables and charts;
`figures_of_paper.py` holds the paper's own figures; every other module is one experiment.
"""
