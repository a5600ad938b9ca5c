"""What makes the parameter files of `udg.detection` from data, in the order they depend."""
