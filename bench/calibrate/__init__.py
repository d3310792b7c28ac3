"""What workers are asked besides cells: certificates, peaks, noise floor, largest batch."""
