"""The benchmark of collection: its pace, what pushes and pulls notice of it, and what it costs elsewhere."""
