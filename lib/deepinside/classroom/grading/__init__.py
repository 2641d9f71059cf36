"""Grading of students' notebooks: ``python -m deepinside grade``."""
