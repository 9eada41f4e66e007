"""Files that outlive a process: the store, checkpoints, kept models, atomic writes and retries."""
