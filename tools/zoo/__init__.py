"""Networks that people run on CPUs, written down as their papers and torchvision have them, with
random weights: what `minimeso convert` is measured by."""
