"""The forms that a report takes: Markdown, CSV, HTML, the terminal, an index."""
