"""The toy servers, standard library only. Each module is one arrow on a request's way."""
