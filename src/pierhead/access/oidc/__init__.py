"""Signing in by somebody else's word: OpenID Connect for people, and the tokens of workflows for machines."""
