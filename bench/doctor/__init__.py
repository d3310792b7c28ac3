"""The instrument examined on the user's own machine: its self-tests and its noise floor."""
