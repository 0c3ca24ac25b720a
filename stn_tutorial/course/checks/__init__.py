"""The checks that the exercises call: one module a chapter, one function an exercise.

A check prints that the exercise is solved, or that it is open (*Not answered yet*). A
wrong answer raises `Wrong`, with the first case that shows it and a hint. In the strict
mode, which is for graders, a missing answer raises as well: `Open`. Checks try random
shapes, from a fixed seed. Importing a module of checks loads no library but PyTorch and
NumPy.
"""

from stn_tutorial.course.checks._grading import Open, Wrong, strict

__all__ = ["Open", "Wrong", "strict"]
