"""Points written into the cells of a notebook, where nbgrader reads them.

nbgrader runs a notebook and believes its cells: one that names its own function `checks` gets
all points. Here the points come from a kernel in which the checks are out of its reach.
"""

import asyncio
import json
from collections.abc import Sequence
from importlib import import_module

from nbformat import from_dict

from deepinside.classroom.grading.archives import Found
from deepinside.classroom.grading.confinement import LIMITS, Limits
from deepinside.classroom.grading.course import Cell, Course, grade_id
from deepinside.classroom.grading.execution import Grades, grade_submission
from deepinside.classroom.grading.submissions import read_submission

TASKS = "deepinside.classroom.checks"


def grade_cells(
    notebook: str, cells: Sequence[Cell], *, tasks: str = TASKS, limits: Limits = LIMITS
) -> list[str]:
    """Replace the outputs of the cells that check answers, and return the remarks.

    An answer without points leaves an error in its cell, another one the number of points, as
    nbgrader wants it.

    Parameters
    ----------
    notebook : str
        A key of TASKS.
    cells : sequence of dict
        Of a notebook with nbgrader's metadata; changed in place.
    tasks : str
        The module that has TASKS.
    limits : Limits
        Of time and memory.
    """
    listed = import_module(tasks).TASKS[notebook]
    # the cells with checks are not run: what they say counts for nothing
    run = [cell | {"source": ""} if grade_id(cell).endswith("-check") else cell for cell in cells]
    content = json.dumps({"cells": run}).encode()
    found = Found(f"{notebook}.ipynb", content)
    submission = read_submission(found, {notebook: listed}, Course())
    grades = Grades(remarks=[submission.error])
    if not submission.error:
        grades = asyncio.run(grade_submission(submission, listed, tasks=tasks, limits=limits))
    for task in listed:
        said = [remark for remark in grades.remarks if remark.startswith(f"{task.name}: ")]
        text = "\n".join(said) or "; ".join(grades.remarks)
        for cell in cells:
            if grade_id(cell) == f"{task.name}-check":
                points = grades.points.get(task.name, 0)
                made = _outputs(points, text if said else "", text or "not done yet")
                cell["outputs"] = [from_dict(output) for output in made]
    return grades.remarks


def _outputs(points: float, hint: str, reason: str) -> list[dict]:
    if not points:
        return [{"output_type": "error", "ename": "AssertionError", "evalue": reason,
                 "traceback": [reason]}]  # fmt: skip
    told = [{"output_type": "stream", "name": "stdout", "text": hint}] if hint else []
    value = {"output_type": "execute_result", "data": {"text/plain": f"{points:g}"},
             "metadata": {}, "execution_count": None}  # fmt: skip
    return [*told, value]
