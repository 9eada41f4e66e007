"""How each section of a report looks: from its numbers to elements of HTML and SVG, and nothing else."""
