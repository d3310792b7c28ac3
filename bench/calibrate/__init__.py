"""What workers do besides measuring cells: certificates, peaks, noise floor, largest batch."""
