"""Earlier results for a new search (`--warm-start`): read, mapped into its space, and trusted as far as they prove right."""
