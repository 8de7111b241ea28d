"""The pages for people, rendered here. `pages` is the door; all else is loaded by the first request to it."""
