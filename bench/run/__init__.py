"""`resnet-bench run`: what is measured next, by which certificates, and into which folder."""
