"""A history of many runs: what is said of it, as Markdown and as a page."""
