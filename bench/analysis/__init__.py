"""What follows from records: pure functions, which old results gain at once."""
