"""`resnet-bench compare`: what changed between runs, and whether that is allowed."""
