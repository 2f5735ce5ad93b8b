"""The toy servers, in the standard library only. Each module is one arrow on the way of a request."""
