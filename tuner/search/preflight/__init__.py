"""Before the first trial: does the largest configuration fit, what do a few take, and what will the search cost?"""
