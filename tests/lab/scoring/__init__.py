"""The diagnosis scored against the ground truth: each cell built, its node asked, its remedy carried out.

`python -m tests.lab.scoring` runs all of it and writes a report.
"""
