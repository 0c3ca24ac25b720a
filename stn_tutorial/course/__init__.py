"""What makes a notebook a lesson: figures, quizzes, checks of exercises, reports."""
