"""Pictures and clips as pixels: read, converted, written whole.  Knows nothing of networks."""
