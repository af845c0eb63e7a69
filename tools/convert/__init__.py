"""Model files made of others' weights, and references to verify them by."""
