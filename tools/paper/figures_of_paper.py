"""What Kawa & Syga (SECRYPT 2021) report, as data, in the order of their tables: best first.

Their faces are those of Afchar et al. (12,353 to train, 7,104 to test), their machine is another:
orders and ratios may be compared with ours, absolute figures not.
"""

from __future__ import annotations

from typing import NamedTuple

#: What the tables call an activation setting.
NAMES = {
    "leaky_relu": "Leaky ReLU",
    "pish": "Pish",
    "swish": "Swish",
    "mish": "Mish",
    "relu": "ReLU",
    "original": "ReLU + Leaky ReLU",
}


class Stage1(NamedTuple):
    """Means over 12 runs of 30 epochs; loss is the mean squared error."""

    accuracy: float
    loss: float
    val_accuracy: float
    val_loss: float


TABLE1 = {
    "leaky_relu": Stage1(0.973, 0.027, 0.923, 0.059),
    "pish": Stage1(0.954, 0.047, 0.923, 0.060),
    "swish": Stage1(0.976, 0.031, 0.918, 0.064),
    "mish": Stage1(0.949, 0.049, 0.912, 0.067),
    "relu": Stage1(0.966, 0.035, 0.909, 0.067),
}


class Stage2(NamedTuple):
    """Means over 16 runs on two divisions into training and validation."""

    val_accuracy: float
    val_loss: float


#: By activation setting and learning rate. Two of the twelve combinations were not printed.
TABLE2 = {
    ("swish", 1e-3): Stage2(0.905, 0.071),
    ("pish", 1e-3): Stage2(0.905, 0.071),
    ("leaky_relu", 1e-2): Stage2(0.900, 0.074),
    ("leaky_relu", 1e-3): Stage2(0.899, 0.074),
    ("original", 1e-2): Stage2(0.880, 0.086),
    ("original", 1e-3): Stage2(0.877, 0.090),
    ("swish", 1e-2): Stage2(0.875, 0.092),
    ("pish", 1e-2): Stage2(0.844, 0.108),
    ("leaky_relu", 1e-4): Stage2(0.829, 0.115),
    ("original", 1e-4): Stage2(0.829, 0.115),
}


class Stage3(NamedTuple):
    """Accuracy on the test faces over the five best models of a setting."""

    least: float
    mean: float
    most: float


TABLE3 = {
    ("swish", 1e-3): Stage3(0.865, 0.891, 0.918),
    ("leaky_relu", 1e-3): Stage3(0.844, 0.888, 0.907),
    ("original", 1e-2): Stage3(0.793, 0.878, 0.911),
    ("pish", 1e-3): Stage3(0.733, 0.857, 0.928),
    ("leaky_relu", 1e-2): Stage3(0.793, 0.848, 0.911),
}
#: Accuracy there of the MesoInception-4 weights that Afchar et al. published.
PUBLISHED_ACCURACY = 0.917

#: Time of one random image, mean of 2,000, beyond that of ReLU.
TABLE4 = {
    "relu": 0.0,
    "leaky_relu": 0.00929,
    "mish": 0.01074,
    "swish": 0.02217,
    "pish": 0.03174,
}
TABLE4_RELU_MS = 31.757

#: Accuracy of SqueezeNet on CIFAR-10, mean of 3 runs of 100 epochs.
TABLE5 = {"swish": 0.887, "pish": 0.886, "mish": 0.885, "relu": 0.878}

#: Pish's derivative at 0 as the printed formula gives it: arctan(ln 2 + 1/2).
PISH_DERIVATIVE_AT_0 = 0.873240
#: Where Pish is least, how deep it is there, and its slope as x grows.
PISH_LEAST_AT, PISH_LEAST, PISH_SLOPE = -1.333340, -0.555545, 1.5707963
