"""What only the course needs: widgets, charts, quizzes, exercise checks, and the stand-in's controls."""
