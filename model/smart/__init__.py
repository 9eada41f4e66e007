"""SMART regularisation: settings and cost, the smoothness term, its variants and its alarms."""
