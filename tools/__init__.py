"""Scripts beside the package: train, convert, reference. They need PyTorch; minimeso does not."""
