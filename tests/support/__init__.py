"""What several rooms of tests share: detectors, clips, faces, worlds, a browser."""
