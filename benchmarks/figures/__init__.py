"""The paper's figures, one script a figure; what only counts is in `tables`."""
