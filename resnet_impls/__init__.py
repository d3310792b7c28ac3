"""What is measured: one ResNet, written once in every framework's own way."""
