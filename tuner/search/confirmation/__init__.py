"""The confirmation: the best trials and the untuned default trained again on fresh seeds, at full budget, after the last trial.

A search's best score is the best of many noisy ones, so it says too much (the winner's curse). `finalists` says what is trained
again, `stage` trains it, `bound` ranks it on select, `bootstrap` compares what came first with the others on dev, and `outcome`
puts it into results.json. No training of the confirmation is a trial of the study.
"""
