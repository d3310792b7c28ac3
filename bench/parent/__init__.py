"""The parent's side of measuring: it starts workers, gives them turns, and sleeps meanwhile.

No framework is imported here; `bench.channel` is the wire to `bench.worker`.
"""
