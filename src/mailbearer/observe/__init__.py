"""What operators and developers look at: the log with its redaction, the mail log with its fixed verbs, the metrics.

Nothing here decides anything or knows a secret; a registered one is blotted out as a second line of defence.
docs/observing.md.
"""
