"""Background work: what kinds of jobs there are, and running them. What waits is rows (`metadata/jobs.py`)."""
