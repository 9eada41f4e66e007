"""Progress displays: terminal, notebook, plain lines and JSON lines."""
