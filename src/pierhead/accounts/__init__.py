"""Who there is, and what they hold: users, teams, robots, tokens, roles, grants, and projects' members."""
