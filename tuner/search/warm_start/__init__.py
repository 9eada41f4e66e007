"""Earlier results for a new search (`--warm-start`): reads them, maps them into its space, and selects the usable ones."""
