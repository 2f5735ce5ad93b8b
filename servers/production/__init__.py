"""The real servers: for each, the command a person would write, and where to look inside it."""
