"""Many machines: one plan cut into shards, and what starts each where."""
