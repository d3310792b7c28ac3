"""What workers are asked besides measuring: certificates, peaks, noise floor, largest batch."""
