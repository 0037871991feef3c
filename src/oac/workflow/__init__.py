"""A study's variants, files and paths, as the rules ask for them."""

from oac.workflow.files import StudyFiles

__all__ = ["StudyFiles"]
