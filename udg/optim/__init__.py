"""The loop that runs any method until its gap is small enough, and what a method has to offer.

Nothing here knows a particular method.
"""
