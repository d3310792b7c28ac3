"""This machine: its facts, its processors, and its state around a block."""
