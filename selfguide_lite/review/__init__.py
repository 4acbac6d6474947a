"""Shows people one pair at a time and writes down what they say: as a page in a browser, or in the terminal.

The views count it: a person's verdict overrides every filter, and an edited answer replaces the votes.
"""
