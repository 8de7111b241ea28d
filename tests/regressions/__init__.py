"""What failed elsewhere, each tried on a real server here: README.md tells where, and which test tries it."""
