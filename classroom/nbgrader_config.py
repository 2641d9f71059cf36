"""nbgrader's settings; it is to be called in this folder."""

from pathlib import Path

from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    DeduplicateIds,
    Execute,
    LimitOutput,
    NbGraderPreprocessor,
    OverwriteCells,
    OverwriteKernelspec,
    SaveAutoGrades,
)

from deepinside.classroom.checks import TASKS
from deepinside.classroom.grading.cells import grade_cells
from deepinside.classroom.grading.course import Course

c = get_config()  # noqa: F821 - nbgrader runs this file


class RestoreMetadata(NbGraderPreprocessor):
    """Find cells again whose metadata were lost, as Colab drops them."""

    def preprocess(self, nb, resources):
        """Put nbgrader's metadata back."""
        course = Course(Path(__file__).resolve().parent)
        lost = course.restore_metadata(
            resources["nbgrader"]["notebook"], nb.cells
        )
        if lost:
            self.log.warning(
                "Metadata were lost, and found again: %s", ", ".join(lost)
            )
        return nb, resources


class GradeByChecks(NbGraderPreprocessor):
    """Grade by the installed checks, out of a notebook's reach."""

    def preprocess(self, nb, resources):
        """Put points where nbgrader looks; run other notebooks like it."""
        notebook = resources["nbgrader"]["notebook"]
        if notebook not in TASKS:
            return Execute(parent=self).preprocess(nb, resources)
        for remark in grade_cells(notebook, nb.cells):
            self.log.warning("%s: %s", notebook, remark)
        return nb, resources


c.CourseDirectory.course_id = "convnets"
# the same words as in the notebooks of `make students`
stub = 'raise NotImplementedError("not done yet")'
c.ClearSolutions.code_stub = {"python": stub}
c.ClearSolutions.text_stub = "*Write your answer here.*"
# outputs stay as they were handed in, for the Formgrader and the feedback
c.Autograde.sanitize_preprocessors = [
    RestoreMetadata,
    DeduplicateIds,
    OverwriteKernelspec,
    OverwriteCells,
    CheckCellMetadata,
]
c.Autograde.autograde_preprocessors = [
    GradeByChecks,
    LimitOutput,
    SaveAutoGrades,
    AssignLatePenalties,
    CheckCellMetadata,
]
# seconds of a cell, in a notebook of your own
c.ExecutePreprocessor.timeout = 120
