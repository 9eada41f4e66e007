"""The encoder: loading a backbone, the network with its task heads, and computation without padding."""
