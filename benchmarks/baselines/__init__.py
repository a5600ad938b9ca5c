"""The methods that the paper compares with, each written from its own paper."""
