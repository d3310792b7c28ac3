"""The plots: their data, their forms, and the process that draws them."""
