"""Every measurement of the project, and what makes the numbers that it ships; not installed."""
