"""The instrument: measures the implementations of `resnet_impls` side by side and reports."""

__version__ = "0.1.0"
