"""The parent's side of measuring: it starts workers, sends them requests, and sleeps meanwhile.

No framework is imported here; `bench.worker.protocol` is the wire to a worker.
"""
