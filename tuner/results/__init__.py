"""The results of a search: trial records, results.json, the summary and the model card."""
