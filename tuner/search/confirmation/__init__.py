"""The confirmation: the best trials and the untuned default trained again on fresh seeds, at full budget, after the last trial.

The best of many noisy scores is too high on average (the winner's curse). `finalists` selects what is trained again, `stage`
trains it, `statistics` ranks it on select and compares the first finalist with others on dev, and `outcome` builds the entries
of results.json. No training of the confirmation is a trial of the study.
"""
