"""nbgrader's settings; it is to be called in this folder."""

c = get_config()  # noqa: F821 - nbgrader runs this file

c.CourseDirectory.course_id = "convnets"
# the same words as in the notebooks of `make students`
stub = 'raise NotImplementedError("not done yet")'
c.ClearSolutions.code_stub = {"python": stub}
c.ClearSolutions.text_stub = "*Write your answer here.*"
# seconds of a cell, with the check in it
c.ExecutePreprocessor.timeout = 120
