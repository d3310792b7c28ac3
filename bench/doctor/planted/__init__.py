"""Implementations with one fault each, which the instrument must catch; run by their paths."""
