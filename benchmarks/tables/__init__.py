"""The paper's tables, one script a table; what only draws is in `figures`."""
