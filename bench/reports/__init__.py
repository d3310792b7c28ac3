"""What is shown of records. Knows nothing of how they are measured."""
