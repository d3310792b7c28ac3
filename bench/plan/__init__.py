"""How long a run will take, by what was measured before. Nothing runs here, and no clock is read
but for what a run that goes on is told of it.
"""
