"""The checks that the exercises call: one module a chapter, one function an exercise.

A check prints whether the exercise is solved. A wrong answer raises `Wrong`, with the
first case that shows it and a hint. Checks try random shapes, from a fixed seed.
"""

from stn_tutorial.course.checks._grading import Wrong

__all__ = ["Wrong"]
