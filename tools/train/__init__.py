"""Training of the detectors on faces, and what makes a shipped model of it."""
