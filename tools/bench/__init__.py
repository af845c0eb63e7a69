"""Measurements of the engine, its time, its memory and its errors, beside its peers."""
