"""What a command line asks for: its words, the options they make, and the matrix of cells."""
