"""The applications that servers serve: small ones that behave, and bad_*.py that do not."""
