"""What a search found: trial records, results.json, the summary and the model card."""
