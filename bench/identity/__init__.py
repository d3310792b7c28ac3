"""The proof that what is timed is the reference's function, and where it is not."""
