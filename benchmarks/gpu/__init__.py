"""What wants a GPU: one command a step, which ends within ten minutes and can go on again."""
