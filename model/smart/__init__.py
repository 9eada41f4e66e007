"""SMART regularisation: the smoothness term, its variants, its cost and its alarms."""
