"""The servers that many nodes share, real ones: each module starts one on a free port of loopback and stops it."""
