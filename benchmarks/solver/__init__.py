"""What `udg.solve` does to pictures, how well and how fast; no network, nothing of the paper's."""
