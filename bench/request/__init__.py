"""What is asked for, and the cells that it stands for."""
