"""The report of very many records, or nodes: bounded, a pass over files that hold them."""
