"""The classroom: checks of the tasks, how answers are compared, and grading."""
