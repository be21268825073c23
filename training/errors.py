"""The one exception of this package that is meant for the user's eyes."""


class TrainingError(Exception):
    """Something the user can put right; the message is one line that says what and how."""
