"""Mutation testing: small changes to the code, one at a time, each of which a test should notice.

`python -m data.mutation` (`make mutation`) runs it. It does what mutmut and cosmic-ray do for Python, and the same for
the SQL of the views, which these cannot change.
"""
